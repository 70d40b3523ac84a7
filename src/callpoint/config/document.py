"""TOML files as one document that remembers where everything stands, and the list of problems.

Reading goes on after a problem, so that a person sees all of them at once.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field

from callpoint.config.positions import MAX_DEPTH, Lines, Path, dotted, find_lines
from callpoint.domain.errors import ConfigError, ConfigErrors

MAX_BYTES = 1 << 20
"""A configuration is written by people; more than 1 MiB is a mistake or an attack."""

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_TWICE = ("overwrite", "twice", "immutable", "inline table")


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one file, read.

    Attributes:
        file: Name to show.
        data: Nested builtins.
        lines: Where they stand.
        without_lines: It was never a text, so no line can be named.
    """

    file: str
    data: dict[str, object]
    lines: Lines
    without_lines: bool = False


@dataclass(slots=True)
class Problems:
    """Collects errors, each with its place.

    Attributes:
        documents: In the order of reading.
        found: The errors so far.
    """

    documents: tuple[Document, ...]
    found: list[ConfigError] = field(default_factory=list)

    def add(self, path: Path, message: str, way_out: str) -> None:
        """Note that the value at ``path`` is wrong."""
        file, line = self._place(path)
        self.found.append(
            ConfigError(message, file=file, line=line, key=dotted(path), way_out=way_out)
        )

    def _place(self, path: Path) -> tuple[str, int | None]:
        """The file that has most of the path, and the line there."""
        for end in range(len(path), 0, -1):
            for document in self.documents:
                if (line := document.lines.first.get(path[:end])) is not None:
                    return document.file, line
        first = self.documents[0]
        return first.file, None if first.without_lines else 1

    def has_below(self, *paths: Path) -> bool:
        """Whether something at or below one of the paths is wrong."""
        heads = tuple(dotted(path) for path in paths)
        return any(
            e.key == head or e.key.startswith((f"{head}.", f"{head}["))
            for e in self.found
            for head in heads
        )

    def raise_all(self) -> None:
        """Raise what was found.

        Raises:
            ConfigErrors: At least one thing was wrong.
        """
        raise_all(self.found)


def raise_all(found: Iterable[ConfigError]) -> None:
    """Raise the errors together, in the order of files and lines, or return when there is none."""
    errors = sorted(found, key=lambda e: (e.file, e.line or 0, e.key))
    if errors:
        raise ConfigErrors(tuple(errors))


def parse_document(raw: bytes | str, file: str) -> Document:
    """Read one file.

    Raises:
        ConfigError: Too large, not UTF-8, not TOML, or a key written twice.
    """
    text = _text(raw, file)
    lines = find_lines(text)
    if lines.too_deep is not None:
        raise ConfigError(
            f"brackets nest deeper than {MAX_DEPTH}",
            file=file,
            line=lines.too_deep,
            way_out="write flatter tables",
        )
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refused(str(error), text, file, lines) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "a number or date is out of range", file=file, line=1, way_out="shorten it"
        ) from error
    return Document(file, data, lines)


def _text(raw: bytes | str, file: str) -> str:
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            f"the file has more than {MAX_BYTES} bytes",
            file=file,
            line=1,
            way_out="split it into files below callpoint.d/",
        )
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "not UTF-8 text", file=file, line=line, way_out="save the file as UTF-8"
        ) from error


def _refused(message: str, text: str, file: str, lines: Lines) -> ConfigError:
    if lines.twice and any(word in message for word in _TWICE):
        # A table that is written twice has all its keys twice: the table alone says it.
        doubled = {path for path, _, _ in lines.twice}
        return ConfigErrors(
            tuple(
                ConfigError(
                    f"written twice: first on line {first}",
                    file=file,
                    line=second,
                    key=dotted(path),
                    way_out="keep one of them",
                )
                for path, first, second in lines.twice
                if not any(path[:depth] in doubled for depth in range(1, len(path)))
            )
        )
    place = _PLACE.search(message)
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    return ConfigError(
        "not TOML: " + _PLACE.sub("", message)[:200],
        file=file,
        line=line,
        way_out="correct the syntax on this line or just before it",
    )


def closest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'quorum'?`` or, when nothing is near, the list of what is allowed."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "allowed: " + (", ".join(names) or "nothing")
