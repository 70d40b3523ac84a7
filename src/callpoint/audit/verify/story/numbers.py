"""The numbers of a session's actions: one that is missing is a record that is missing.

Where decisions are recorded before they are answered, nothing was let through under such a number.
Where they may be recorded beside the answer (``evidence`` ``with``), it may have been, and a crash
has lost the record.
"""

from dataclasses import dataclass, field

from callpoint.audit.entry import Entry
from callpoint.audit.verify.story.tale import Fact, Step
from callpoint.audit.verify.story.words import clean, moment

_BEFORE = "every decision of it was on record before it was answered: nothing was let through"
_BESIDE = "reads of it were recorded beside the answer, so they may have been let through"


@dataclass(slots=True)
class _Seen:
    """Of one session.

    Attributes:
        last: The highest number so far.
        is_beside: Something of it was answered before it was recorded.
    """

    last: int = 0
    is_beside: bool = False


@dataclass(slots=True)
class Numbers:
    """What was seen so far, entry by entry, in order."""

    _sessions: dict[str, _Seen] = field(default_factory=dict)

    def missing_before(self, index: int, entry: Entry) -> Step | None:
        """What is to be told before this entry; None where nothing is missing."""
        seen = self._sessions.setdefault(entry.stream, _Seen())
        match entry.type:
            case "action:decided":
                seen.is_beside = seen.is_beside or entry.data.get("evidence") == "with"
                number = _number(entry.data.get("number"))
                first, last = seen.last + 1, number - 1
                seen.last = max(seen.last, number)
            case "session:closed":
                said = entry.data.get("actions")
                if said is None and seen.is_beside:
                    return _step(index, entry, _UNKNOWN, _BESIDE)
                first, last = seen.last + 1, _number(said)
            case _:
                return None
        if first > last:
            return None
        which = f"Action {first} is" if first == last else f"Actions {first} to {last} are"
        because = _BESIDE if seen.is_beside else _BEFORE
        return _step(index, entry, f"{which} not on record", because)


_UNKNOWN = "Nobody says which action was the last: some may not be on record"


def _step(index: int, entry: Entry, title: str, because: str) -> Step:
    session = clean(entry.stream.removeprefix("session:"))
    facts = (Fact("session", session), Fact("because", because))
    at = moment(entry.at)
    return Step(index, at=at, after="", title=title, kind="", facts=facts, is_loud=True)


def _number(value: object) -> int:
    return value if type(value) is int else 0
