"""Events of incidents."""

from datetime import datetime

import msgspec

from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision
from callpoint.domain.eligibility import Severity
from callpoint.domain.event_form import Event, Private


class IncidentDeclared(Event, frozen=True, kw_only=True, tag="incident:declared"):
    """A person says there is an incident; it counts only once another person confirms."""

    incident: str
    severity: Severity
    targets: tuple[str, ...]
    person: str
    asked: Asked | None = None
    decisions: tuple[Decision, ...] = ()
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class IncidentReported(Event, frozen=True, kw_only=True, tag="incident:reported"):
    """A configured source reports a firing incident; it is open at once."""

    incident: str
    source: str
    severity: Severity
    targets: tuple[str, ...]
    fresh_until: datetime
    body_sha256: str
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class IncidentConfirmed(Event, frozen=True, kw_only=True, tag="incident:confirmed"):
    """Another person confirms."""

    incident: str
    person: str
    asked: Asked | None = None
    decisions: tuple[Decision, ...] = ()


class IncidentResolved(Event, frozen=True, kw_only=True, tag="incident:resolved"):
    """It is over; ``by`` is a person id or a source."""

    incident: str
    by: str
