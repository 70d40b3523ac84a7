"""Where a signal stream stands: what of the log was looked at, and what its receiver still lacks.

The queue is the log itself. The row holds a place in it and the few signals before that place that
are not confirmed, so it stays small however long a receiver is away. It is no evidence: a row that
was put back repeats signals, which have the same ``jti`` then.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from callpoint.domain.record import Index

WINDOW = 100
"""Unconfirmed signals in a row; more of them wait in the log."""


class Pending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signal that the receiver has not confirmed.

    Attributes:
        index: Of the entry.
        at: When it happened.
        due_at: Not before; None is at once.
        refusals: How often the receiver said that it cannot take this one.
    """

    index: int
    jti: str
    at: datetime
    due_at: datetime | None = None
    refusals: int = 0

    def is_due(self, now: datetime) -> bool:
        """It may be sent."""
        return self.due_at is None or self.due_at <= now


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verification event that the receiver asked for; at most one waits."""

    jti: str
    at: datetime
    state: str = ""


class Outbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The row of one stream.

    Attributes:
        stream: Configured name.
        origin: Of the log that ``position`` is a place in.
        position: Index of the first entry that was not looked at.
        waiting: Oldest first.
        asked: The verification event that waits.
        claim: Who works on it, until ``claimed_until``.
        failures: Attempts in a row that the receiver did not answer as it should.
        failing_since: When that began.
        error: What was wrong the last time, for a person.
        due_at: No attempt before.
        heard_at: When the receiver last took something, or asked for it.
    """

    stream: str
    origin: str
    position: int
    waiting: tuple[Pending, ...] = ()
    asked: Asked | None = None
    claim: str = ""
    claimed_until: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    error: str = ""
    due_at: datetime | None = None
    heard_at: datetime | None = None
    version: int = 0

    def key(self) -> str:
        return self.stream

    def index(self) -> Index:
        return Index(state="failing" if self.failures else "working")

    def stored(self, version: int) -> "Outbox":
        return msgspec.structs.replace(self, version=version)

    @property
    def room(self) -> int:
        """How many more signals may wait in the row."""
        return max(0, WINDOW - len(self.waiting))

    def due(self, now: datetime) -> tuple[Pending, ...]:
        """What may be sent now, oldest first."""
        return tuple(one for one in self.waiting if one.is_due(now))

    def is_resting(self, now: datetime) -> bool:
        """After a failure: no attempt yet."""
        return self.due_at is not None and now < self.due_at

    def is_held(self, by: str, now: datetime) -> bool:
        """Somebody else works on it."""
        return bool(
            self.claim and self.claim != by and self.claimed_until and now < self.claimed_until
        )

    def looked(self, start: int, end: int, found: Iterable[Pending]) -> "Outbox":
        """Up to ``end`` was looked at; nothing when another was faster."""
        if self.position != start:
            return self
        return self._with(position=end, waiting=(*self.waiting, *found))

    def confirmed(self, tokens: Iterable[str], now: datetime) -> "Outbox":
        """The receiver has them."""
        gone = frozenset(tokens)
        if not gone:
            return self
        return self._with(
            waiting=tuple(one for one in self.waiting if one.jti not in gone),
            asked=None if self.asked and self.asked.jti in gone else self.asked,
            heard_at=now,
        )

    def refused(self, jti: str, until: datetime, error: str) -> "Outbox":
        """The receiver cannot take this one; it is shown again, the others do not wait for it."""
        if self.asked and self.asked.jti == jti:
            return self._with(asked=None, error=error)  # a new one is easily asked for
        return self._with(
            error=error,
            waiting=tuple(
                msgspec.structs.replace(one, due_at=until, refusals=one.refusals + 1)
                if one.jti == jti
                else one
                for one in self.waiting
            ),
        )

    def failed(self, error: str, now: datetime, until: datetime) -> "Outbox":
        """The receiver did not answer as it should; everything waits."""
        return self._with(
            failures=self.failures + 1,
            failing_since=self.failing_since or now,
            error=error,
            due_at=until,
        )

    def reached(self) -> "Outbox":
        """The receiver answers again."""
        keeps = any(one.refusals for one in self.waiting)
        return self._with(
            failures=0, failing_since=None, due_at=None, error=self.error if keeps else ""
        )

    def claimed(self, by: str, until: datetime) -> "Outbox":
        """Somebody works on it."""
        return self._with(claim=by, claimed_until=until)

    def released(self) -> "Outbox":
        """Nobody does."""
        return self._with(claim="", claimed_until=None)

    def moved(self, origin: str, kept: int) -> "Outbox":
        """The log goes on under another origin, with the first ``kept`` entries of before."""
        return self._with(
            origin=origin,
            position=min(self.position, kept),
            waiting=tuple(one for one in self.waiting if one.index < kept),
        )

    def _with(self, **changes: object) -> "Outbox":
        return msgspec.structs.replace(self, **changes)
