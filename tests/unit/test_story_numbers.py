"""A number that is missing among a session's actions is told, and what it can mean."""

import pytest

from callpoint.audit.entry import Entry
from callpoint.audit.verify.story.numbers import Numbers

STREAM = "session:s1"


def entry(type_: str, **data: object) -> Entry:
    return Entry(type_, 1, "tst", STREAM, 1, "ab" * 32, "2026-03-01T03:00:00.000000Z", data, {})


def act(number: object, evidence: str = "before") -> Entry:
    return entry("action:decided", number=number, evidence=evidence)


@pytest.mark.parametrize(
    "entries, told, because",
    [
        ([act(1), act(2), entry("session:closed", actions=2)], [], ""),
        ([act(1), act(3)], ["Action 2 is not on record"], "nothing was let through"),
        ([act(2, "with"), act(9)], ["Action 1", "Actions 3 to 8 are"], "may have been let through"),
        ([act(1, "with"), entry("session:closed", actions=4)], ["Actions 2 to 4"], "may have been"),
        ([act(1, "with"), entry("session:closed", actions=None)], ["Nobody says"], "may have been"),
        ([act(1), entry("session:closed")], [], ""),
        ([act("many"), act(True), entry("lease:issued")], [], ""),
    ],
)
def test_what_is_missing_is_told(entries, told, because):
    """Between two actions, at the end, and that nobody knows where the end is."""
    numbers = Numbers()
    steps = [step for one in entries if (step := numbers.missing_before(7, one)) is not None]
    assert len(steps) == len(told)
    for step, words in zip(steps, told, strict=True):
        assert step.title.startswith(words)
        assert step.is_loud
        assert step.facts[0].text == "s1"
    assert not steps or because in steps[-1].facts[1].text
