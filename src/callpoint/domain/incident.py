"""The outside record that justifies an activation.

``reported``/``declared`` by somebody, ``open`` once confirmed, ``resolved`` at the end. *Unknown*
(the feed that would say so is silent) is told apart from *none* (I11).
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import ConflictError
from callpoint.domain.record import Index


class IncidentState(StrEnum):
    """``none`` and ``unknown`` are answers about an incident that we do not hold or cannot see."""

    DECLARED = "declared"
    OPEN = "open"
    RESOLVED = "resolved"
    UNKNOWN = "unknown"
    NONE = "none"


TRANSITIONS: dict[IncidentState, frozenset[IncidentState]] = {
    IncidentState.DECLARED: frozenset({IncidentState.OPEN, IncidentState.RESOLVED}),
    IncidentState.OPEN: frozenset({IncidentState.RESOLVED}),
    IncidentState.RESOLVED: frozenset(),
    IncidentState.UNKNOWN: frozenset(),
    IncidentState.NONE: frozenset(),
}


class Incident(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An incident as we hold it.

    Attributes:
        id: Our id or the one its source gave it, for instance ``INC-7``.
        source: ``declared`` by persons, or the configured source that reported it.
        severity: How bad.
        targets: The configured targets that it names.
        declared_by: Person id, empty when a source reported it.
        confirmed_by: Person id; a source's report needs none.
        fresh_until: For a source's incident: after it, the state reads as unknown.
        ended_note: Who or what resolved it.
    """

    id: str
    source: str
    severity: Severity
    targets: tuple[str, ...]
    opened_at: datetime
    state: IncidentState = IncidentState.DECLARED
    declared_by: str = ""
    confirmed_by: str = ""
    resolved_at: datetime | None = None
    fresh_until: datetime | None = None
    version: int = 0

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index(state=self.state, subject=self.source, due_at=self.fresh_until)

    def stored(self, version: int) -> "Incident":
        return msgspec.structs.replace(self, version=version)

    def moved(self, to: IncidentState) -> "Incident":
        """Move along the transition table, or ConflictError."""
        if to not in TRANSITIONS[self.state]:
            raise ConflictError(f"incident {self.id} is {self.state} and cannot become {to}")
        return msgspec.structs.replace(self, state=to)

    def state_at(self, now: datetime) -> IncidentState:
        """The state as it counts for a decision: open, but its source fell silent, is unknown."""
        stale = self.fresh_until is not None and now > self.fresh_until
        return IncidentState.UNKNOWN if self.state is IncidentState.OPEN and stale else self.state

    def age_at(self, now: datetime) -> timedelta:
        """How long it has been open, never negative."""
        return max(now - self.opened_at, timedelta(0))
