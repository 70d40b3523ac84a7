"""The forced review after an activation (R6): independent, with two deadlines."""

from datetime import datetime
from enum import StrEnum

import msgspec


class ReviewVerdict(StrEnum):
    """What the use turned out to be."""

    JUSTIFIED = "justified"
    DRILL = "drill"
    ROUTINE = "routine"
    MISUSE = "misuse"


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that the review, or Callpoint itself, found; ``text`` names no secret."""

    kind: str
    text: str


class Review(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a review stands.

    Attributes:
        triage_by: First look is due.
        close_by: Verdict is due.
        triaged_by: Person id.
        closed_by: Person id.
        checkpoint: The checkpoint (``<size> <root>``) of the evidence that the reviewer saw.
    """

    opened_at: datetime
    triage_by: datetime
    close_by: datetime
    triaged_at: datetime | None = None
    triaged_by: str = ""
    closed_at: datetime | None = None
    closed_by: str = ""
    verdict: ReviewVerdict | None = None
    findings: tuple[Finding, ...] = ()
    follow_ups: tuple[str, ...] = ()
    checkpoint: str = ""

    def overdue(self, now: datetime) -> bool:
        """Whether a deadline has passed unmet."""
        return any(now > deadline for deadline in self.deadlines())

    def deadlines(self) -> tuple[datetime, ...]:
        """The deadlines that are not met yet, the earliest first; none when closed."""
        if self.closed_at is not None:
            return ()
        if self.triaged_at is not None:
            return (self.close_by,)
        return tuple(sorted((self.triage_by, self.close_by)))

    def next_deadline(self) -> datetime | None:
        """The next deadline, None when closed."""
        return next(iter(self.deadlines()), None)


class Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reviewer says; untrusted.

    Attributes:
        checkpoint: The ``<size> <root>`` of the evidence bundle that was looked at.
    """

    verdict: ReviewVerdict
    checkpoint: str
    findings: tuple[str, ...] = ()
    follow_ups: tuple[str, ...] = ()
