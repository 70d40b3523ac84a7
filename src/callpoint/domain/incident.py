"""The outside record that justifies an activation.

``reported``/``declared`` by somebody, ``open`` once confirmed, ``resolved`` at the end. *Unknown*
(the feed that would say so is silent) is told apart from *none* (I11).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.event import AnyEvent
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.record import Index

DECLARED = "declared"
"""Source of an incident that persons declared."""

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
        id: Our id or the one its source gave it, for instance ``inc-7``.
        source: ``declared`` by persons, or the configured source that reported it.
        severity: How bad.
        targets: The configured targets that it names.
        declared_by: Person id, empty when a source reported it.
        confirmed_by: Person id; a source's report needs none.
        fresh_until: For a source's incident: after it, the state reads as unknown.
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
            raise ConflictError(
                f"incident {self.id} is {self.state} and cannot become {to}",
                way_out="nothing is left to do"
                if to is self.state
                else "declare a new one if it is not over",
            )
        return msgspec.structs.replace(self, state=to)

    def state_at(self, now: datetime) -> IncidentState:
        """The state as it counts for a decision: open, but its source fell silent, is unknown."""
        stale = self.fresh_until is not None and now > self.fresh_until
        return IncidentState.UNKNOWN if self.state is IncidentState.OPEN and stale else self.state

    def age_at(self, now: datetime) -> timedelta:
        """How long it has been open, never negative."""
        return max(now - self.opened_at, timedelta(0))


def fold_incident(events: Iterable[tuple[AnyEvent, datetime]]) -> Incident | None:
    """Replay an incident from its events, first to last; None without events.

    Raises:
        TamperError: The events are not a life that an incident can have.
    """
    state: Incident | None = None
    for event, at in events:
        try:
            state = apply(state, event, at)
        except ConflictError as error:
            raise TamperError(f"the log holds an impossible incident: {error.message}") from error
    return state


def apply(state: Incident | None, event: AnyEvent, at: datetime) -> Incident:
    """The incident after ``event``; None before its first one.

    Raises:
        ConflictError: The transition table has no such step.
    """
    match event:
        case ev.IncidentDeclared() if state is None:
            return Incident(
                id=event.incident,
                source=DECLARED,
                severity=event.severity,
                targets=event.targets,
                opened_at=at,
                declared_by=event.person,
            )
        case ev.IncidentReported():
            return _reported(state, event, at)
        case ev.IncidentConfirmed() if state is not None:
            opened = state.moved(IncidentState.OPEN)
            return msgspec.structs.replace(opened, confirmed_by=event.person)
        case ev.IncidentResolved() if state is not None:
            return msgspec.structs.replace(state.moved(IncidentState.RESOLVED), resolved_at=at)
        case _:
            raise ConflictError(f"{ev.name(event)} cannot happen to this incident now")


def _reported(state: Incident | None, event: ev.IncidentReported, at: datetime) -> Incident:
    """A first report opens it; a further one of an open incident says what it names now."""
    if state is None:
        return Incident(
            id=event.incident,
            source=event.source,
            severity=event.severity,
            targets=event.targets,
            opened_at=at,
            state=IncidentState.OPEN,
            fresh_until=event.fresh_until,
        )
    if state.source != event.source:
        raise ConflictError(f"incident {state.id} belongs to {state.source}, not {event.source}")
    if state.state is not IncidentState.OPEN:
        raise ConflictError(f"incident {state.id} is {state.state}")
    return msgspec.structs.replace(
        state, severity=event.severity, targets=event.targets, fresh_until=event.fresh_until
    )
