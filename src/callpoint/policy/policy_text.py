"""What a policy file must be before Cedar sees it.

Cedar's parser is recursive: measured with cedarpy 4.12, a thousand nested brackets or ten thousand
chained operators end the process with a segmentation fault, which no ``except`` catches. A
proposed policy must not be able to stop the server that revokes, so size and depth are bounded
here, a factor of ten below what was seen to fail and above what a person can review at a glance.
"""

import re
from collections.abc import Iterator

from callpoint.domain.errors import ConfigError
from callpoint.policy.reason import clean

ENDING = ".cedar"
MAX_FILE = 256 * 1024
"""Characters of a file."""
MAX_POLICY = 1024
"""Characters of one policy, not counting comments, white space and what stands in quotes."""
MAX_DEPTH = 50
"""Brackets within brackets."""

_SKIPPED = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*', re.DOTALL)
_OPEN, _CLOSE = "([{", ")]}"


def problems_of(file: str, text: str) -> Iterator[ConfigError]:
    """Whatever makes a file unfit to be read, by Cedar or by a governor."""
    name = clean(file)
    if not file.isascii() or not file.endswith(ENDING):
        yield ConfigError(
            f"a policy file has an ASCII name that ends in {ENDING}", file=name, way_out="rename it"
        )
    yield from _invisible(name, text)
    yield from _too_much(name, text)


def too_much(file: str, text: str) -> ConfigError | None:
    """The first reason why Cedar must not be given the text, None when it may."""
    return next(_too_much(clean(file), text), None)


def _invisible(file: str, text: str) -> Iterator[ConfigError]:
    """A governor must not sign something else than is shown."""
    for number, line in enumerate(text.split("\n"), start=1):
        hidden = [c for c in line if not (c.isprintable() or c in "\t\r")]
        if hidden:
            yield ConfigError(
                f"an invisible character, U+{ord(hidden[0]):04X}",
                file=file,
                line=number,
                way_out="delete it: a reader does not see it, and Cedar does",
            )


def _too_much(file: str, text: str) -> Iterator[ConfigError]:
    if len(text) > MAX_FILE:
        yield ConfigError(
            f"a file has at most {MAX_FILE} characters", file=file, way_out="split it"
        )
        return
    line = 1
    for policy in _SKIPPED.sub(_lines_only, text).split(";"):
        first = line + policy[: len(policy) - len(policy.lstrip())].count("\n")
        line += policy.count("\n")
        if len("".join(policy.split())) > MAX_POLICY:
            yield ConfigError(
                f"a policy has at most {MAX_POLICY} characters",
                file=file,
                line=first,
                way_out="make several policies of it",
            )
        if _depth(policy) > MAX_DEPTH:
            yield ConfigError(
                f"brackets nest at most {MAX_DEPTH} deep",
                file=file,
                line=first,
                way_out="nest its conditions less deeply",
            )


def _lines_only(skipped: re.Match[str]) -> str:
    """Keep the line numbers, and a trace of a quoted string."""
    return ('""' if skipped[0].startswith('"') else "") + "\n" * skipped[0].count("\n")


def _depth(policy: str) -> int:
    deepest = depth = 0
    for character in policy:
        if character in _OPEN:
            depth += 1
            deepest = max(deepest, depth)
        elif character in _CLOSE:
            depth -= 1
    return deepest
