"""The life of an incident, event by event in every state."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from callpoint.domain import event as ev
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.incident import TRANSITIONS, Incident, apply, fold_incident
from callpoint.domain.incident_state import IncidentState

AT = datetime(2026, 3, 1, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
S = IncidentState

DECLARED = ev.IncidentDeclared(
    incident="inc-7", severity=Severity.SEV1, targets=("orders-db",), person="frank"
)
CONFIRMED = ev.IncidentConfirmed(incident="inc-7", person="gina")
RESOLVED = ev.IncidentResolved(incident="inc-7", by="gina")


def reported(source: str = "pager", *targets: str) -> ev.IncidentReported:
    return ev.IncidentReported(
        incident="inc-7",
        source=source,
        severity=Severity.SEV2,
        targets=targets or ("orders-db",),
        fresh_until=AT + HOUR,
        body_sha256="0",
    )


LIVES: dict[str, tuple[ev.AnyEvent, ...]] = {
    "none": (),
    "declared": (DECLARED,),
    "open": (DECLARED, CONFIRMED),
    "reported": (reported(),),
    "resolved": (DECLARED, CONFIRMED, RESOLVED),
    "resolved by its source": (reported(), RESOLVED),
}
EVENTS: dict[str, ev.AnyEvent] = {
    "declare": DECLARED,
    "confirm": CONFIRMED,
    "resolve": RESOLVED,
    "report": reported(),
    "report by another": reported("other"),
    "something else": ev.ActivationLapsed(),
}
RESULTS = {
    ("none", "declare"): S.DECLARED,
    ("none", "report"): S.OPEN,
    ("none", "report by another"): S.OPEN,
    ("declared", "confirm"): S.OPEN,
    ("declared", "resolve"): S.RESOLVED,
    ("open", "resolve"): S.RESOLVED,
    ("reported", "report"): S.OPEN,
    ("reported", "resolve"): S.RESOLVED,
}


@pytest.mark.parametrize("life, name", list(product(LIVES, EVENTS)))
def test_every_event_in_every_state_moves_as_expected_or_not_at_all(life, name):
    """Another person confirms, a source speaks for its own incidents, and resolved is the end."""
    found = fold_incident((event, AT) for event in LIVES[life])
    expected = RESULTS.get((life, name))
    if expected is None:
        with pytest.raises(ConflictError):
            apply(found, EVENTS[name], AT)
    else:
        assert apply(found, EVENTS[name], AT).state is expected


@pytest.mark.parametrize("before, after", list(product(IncidentState, IncidentState)))
def test_every_pair_of_states_is_a_step_or_refused(before, after):
    """Only declared to open, and either to resolved; unknown and none are answers, not states."""
    possible = {(S.DECLARED, S.OPEN), (S.DECLARED, S.RESOLVED), (S.OPEN, S.RESOLVED)}
    found = Incident("inc-7", "declared", Severity.SEV1, (), AT, state=before)
    assert set(TRANSITIONS) == set(IncidentState)
    if (before, after) in possible:
        assert found.moved(after).state is after
    else:
        with pytest.raises(ConflictError, match="cannot become"):
            found.moved(after)


def test_a_silent_source_makes_an_open_incident_unknown_and_nothing_else():
    """Past ``fresh_until`` open reads as unknown; resolved stays resolved."""
    found = fold_incident([(reported(), AT)])
    assert found is not None
    assert found.state_at(AT + HOUR) is S.OPEN
    assert found.state_at(AT + HOUR + timedelta(microseconds=1)) is S.UNKNOWN
    over = apply(found, RESOLVED, AT)
    assert over.state_at(AT + 2 * HOUR) is S.RESOLVED


def test_a_declared_incident_never_goes_stale():
    """What persons said holds until a person says otherwise."""
    found = fold_incident([(DECLARED, AT), (CONFIRMED, AT)])
    assert found is not None
    assert found.state_at(AT + 1000 * HOUR) is S.OPEN
    assert (found.declared_by, found.confirmed_by) == ("frank", "gina")


def test_a_further_report_says_what_the_incident_names_now():
    """Severity, targets and freshness follow the source; when it opened does not change."""
    again = reported("pager", "billing-db")
    found = fold_incident([(reported(), AT), (again, AT + HOUR)])
    assert found is not None
    assert (found.targets, found.opened_at) == (("billing-db",), AT)


def test_its_age_is_never_negative():
    """A clock that stepped back does not make an incident younger than nothing."""
    found = fold_incident([(reported(), AT)])
    assert found is not None
    assert found.age_at(AT - HOUR) == timedelta(0)
    assert found.age_at(AT + HOUR) == HOUR


def test_a_log_that_tells_an_impossible_incident_is_tampering():
    """Confirming what nobody declared cannot have happened."""
    with pytest.raises(TamperError, match="impossible"):
        fold_incident([(CONFIRMED, AT)])
    assert fold_incident([]) is None


def test_a_row_is_found_by_source_and_freshness():
    """State, source and freshness are what a store finds an incident by."""
    found = fold_incident([(reported(), AT)])
    assert found is not None
    index = found.index()
    assert (index.state, index.subject, index.due_at) == ("open", "pager", AT + HOUR)
    assert (found.key(), found.stored(4).version) == ("inc-7", 4)
