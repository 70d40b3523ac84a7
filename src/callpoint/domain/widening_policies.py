"""What widens access between two policy sets (I15).

Only two edits are known to tighten: a forbid more, a permit less. A policy that changes at all is
one removed and one added, so it widens; so does text that cannot be cut into policies. Where a
policy stands, its spacing and its comments mean nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from callpoint.domain.cedar_text import Statement, split_policies
from callpoint.domain.change import Change


def compare_policies(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    """Every policy that differs; a file whose policies are the same is told as such."""
    if dict(old) == dict(new):
        return ()
    try:
        before, after = _statements(old), _statements(new)
    except ValueError as error:
        return (Change("policies", widens=True, text=f"changed and not understood: {error}"),)
    removed = Counter(s for _, s in before) - Counter(s for _, s in after)
    added = Counter(s for _, s in after) - Counter(s for _, s in before)
    changes = (*_moved(before, removed, "removed"), *_moved(after, added, "added"))
    return changes or (Change("policies", widens=False, text="only comments, spacing or places"),)


def is_mentioned(name: str, text: str) -> bool:
    """Whether a policy text may speak of ``name``: as a string, or as one spelt with escapes."""
    return f'"{name}"' in text or "\\" in text


def _statements(policies: Mapping[str, str]) -> list[tuple[str, Statement]]:
    return [
        (file, statement)
        for file, text in sorted(policies.items())
        for statement in split_policies(text)
    ]


def _moved(
    statements: list[tuple[str, Statement]], moved: Counter[Statement], how: str
) -> Iterator[Change]:
    left = Counter(moved)
    for file, statement in statements:
        if left[statement] > 0:
            left[statement] -= 1
            name = f" {statement.id!r}" if statement.id else ""
            yield Change(
                f"policies.{file}",
                widens=_widens(statement, how),
                text=f"{statement.effect}{name} {how}",
            )


def _widens(statement: Statement, how: str) -> bool:
    """A permit that can fail at run time denies everything then: without it, others may permit."""
    if how == "added":
        return statement.effect != "forbid"
    # Where another permit holds as well, a permit less is an obligation less.
    return statement.effect != "permit" or statement.may_fail or statement.obliges
