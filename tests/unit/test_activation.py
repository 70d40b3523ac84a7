"""The life of an activation: every pair of states, every event in every state."""

from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import (
    PENDING,
    TRANSITIONS,
    UNFINISHED,
    Activation,
    ActivationState,
    EndReason,
    begin,
    fold,
)
from callpoint.domain.approval import Quorum
from callpoint.domain.decision import Decision, Effect
from callpoint.domain.eligibility import Lane, Mode, Purpose
from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.request import Request
from callpoint.domain.review import Finding, ReviewVerdict

AT = datetime(2026, 3, 1, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
S = ActivationState

REQUEST = Request(
    installation="tstinc",
    activation="a23456789012",
    eligibility="orders-repair",
    principal="alice",
    persons=("alice",),
    incident="inc-7",
    opens=("orders-db:repair",),
    purpose=Purpose.RECOVER,
    lane=Lane.BREAK_GLASS,
    mode=Mode.ASSISTED,
    ttl=30 * MINUTE,
    idle=5 * MINUTE,
    justification="0" * 64,
    seal_to="age1",
    sources=(),
    nonce="00",
    quorum=Quorum(2, ("group:commanders",)),
    triage=60 * MINUTE,
    close=600 * MINUTE,
    reviewers=("group:security",),
    configuration_digest="c",
    policy_digest="p",
    requested_at=AT,
    lapses_at=AT + 10 * MINUTE,
)
ALLOWED = Decision(Effect.ALLOW, (), (), "p")
FINDING = Finding("residue", "a function is left")

EVENTS: dict[str, ev.AnyEvent] = {
    "vote": ev.ApprovalRecorded(
        approver="carol", person="carol", verdict="approve", statement="", signature="", key=""
    ),
    "approved": ev.ActivationApproved(persons=("carol", "dave")),
    "denied": ev.ActivationDenied(person="carol"),
    "lapsed": ev.ActivationLapsed(),
    "withdrawn": ev.ActivationWithdrawn(),
    "activated": ev.ActivationActivated(not_after=AT + 40 * MINUTE, plans=(), decisions=(ALLOWED,)),
    "revealed": ev.CredentialRevealed(lease="h", decision=ALLOWED),
    "ended": ev.ActivationEnded(
        reason="returned", triage_by=AT + 90 * MINUTE, close_by=AT + 900 * MINUTE
    ),
    "triaged": ev.ReviewTriaged(person="erin"),
    "reviewed": ev.ActivationReviewed(
        person="erin",
        verdict=ReviewVerdict.JUSTIFIED,
        findings=(),
        follow_ups=(),
        checkpoint="1 root",
    ),
}
LIVES: dict[ActivationState, tuple[str, ...]] = {
    S.REQUESTED: (),
    S.APPROVED: ("vote", "approved"),
    S.ACTIVE: ("vote", "approved", "activated"),
    S.ENDED: ("vote", "approved", "activated", "ended"),
    S.REVIEWED: ("vote", "approved", "activated", "ended", "reviewed"),
    S.DENIED: ("denied",),
    S.LAPSED: ("lapsed",),
    S.WITHDRAWN: ("withdrawn",),
}
RESULTS = {
    "vote": {S.REQUESTED: S.REQUESTED},
    "approved": {S.REQUESTED: S.APPROVED},
    "denied": {S.REQUESTED: S.DENIED},
    "lapsed": {S.REQUESTED: S.LAPSED, S.APPROVED: S.LAPSED},
    "withdrawn": {S.REQUESTED: S.WITHDRAWN, S.APPROVED: S.WITHDRAWN},
    "activated": {S.APPROVED: S.ACTIVE},
    "revealed": {S.ACTIVE: S.ACTIVE},
    "ended": {S.ACTIVE: S.ENDED},
    "triaged": {S.ENDED: S.ENDED},
    "reviewed": {S.ENDED: S.REVIEWED},
}


def asked() -> ev.ActivationRequested:
    return ev.ActivationRequested(request=REQUEST, digest=REQUEST.digest(), decisions=(ALLOWED,))


def lived(*names: str) -> Activation:
    return fold([(asked(), AT), *((EVENTS[n], AT + MINUTE) for n in names)])


@pytest.mark.parametrize("state, name", list(product(ActivationState, EVENTS)))
def test_every_event_in_every_state_moves_as_the_table_says_or_not_at_all(state, name):
    """What is not in the table is refused, and nothing else ever changes the state."""
    found = lived(*LIVES[state])
    assert found.state is state
    expected = RESULTS[name].get(state)
    if expected is None:
        with pytest.raises(ConflictError):
            found.apply(EVENTS[name], AT + MINUTE)
    else:
        assert found.apply(EVENTS[name], AT + MINUTE).state is expected


@pytest.mark.parametrize("before, after", list(product(ActivationState, ActivationState)))
def test_a_step_is_possible_exactly_when_the_table_has_it(before, after):
    """The transition table and what events do are the same, for every pair of states."""
    reached = {
        to for moves in RESULTS.values() for at, to in moves.items() if at is before and to != at
    }
    assert (after in TRANSITIONS[before]) == (after in reached)


def test_what_is_over_never_comes_back():
    """Nothing leads from a final state anywhere, and every state has a row in the table."""
    assert set(TRANSITIONS) == set(ActivationState)
    for final in (S.REVIEWED, S.DENIED, S.LAPSED, S.WITHDRAWN):
        assert not TRANSITIONS[final]
    assert set(PENDING) | {S.ACTIVE} == set(UNFINISHED)


@pytest.mark.parametrize("reason", EndReason)
def test_the_reason_to_end_is_kept(reason):
    """Every reason to end is told, with the review that it opens."""
    event = msgspec.structs.replace(EVENTS["ended"], reason=reason)
    ended = lived("vote", "approved", "activated").apply(event, AT + 2 * MINUTE)
    assert (ended.end_reason, ended.ended_at) == (reason, AT + 2 * MINUTE)
    assert ended.review is not None
    assert ended.review.triage_by == AT + 90 * MINUTE


def test_an_unknown_reason_to_end_is_tampering():
    """A log with a reason that does not exist is not replayed into something else."""
    event = msgspec.structs.replace(EVENTS["ended"], reason="bored")
    with pytest.raises(ValueError, match="bored"):
        lived("vote", "approved", "activated").apply(event, AT)


def test_not_after_is_fixed_when_it_becomes_active_and_never_moves():
    """No event of a life changes the moment at which access ends (I3)."""
    found = lived("vote", "approved", "activated")
    for name in ("revealed", "ended", "triaged", "reviewed"):
        found = found.apply(EVENTS[name], AT + 3 * MINUTE)
        assert found.not_after == AT + 40 * MINUTE


def test_what_concerns_a_lease_leaves_the_state_and_adds_what_was_found():
    """Lease events do not move an activation; residue and findings stay with it for its review."""
    found = lived("vote", "approved", "activated")
    plain = ev.LeaseProbed(lease="h", control="accepted")
    assert found.apply(plain, AT) == found
    ended = ev.LeaseEnded(
        lease="h", target="t", evidence="e", control="c", code="", residue=(FINDING,)
    )
    raised = ev.FindingRaised(finding=Finding("account_missing", "gone"))
    after = found.apply(ended, AT).apply(raised, AT)
    assert [f.kind for f in after.findings] == ["residue", "account_missing"]
    assert after.state is found.state


def test_uses_are_counted_and_put_off_idleness():
    """Each reveal counts, and idleness is counted from the last one."""
    found = lived("vote", "approved", "activated")
    assert found.idle_at() == AT + 6 * MINUTE
    used = found.apply(EVENTS["revealed"], AT + 4 * MINUTE)
    assert (used.uses, used.last_used_at) == (1, AT + 4 * MINUTE)
    assert used.idle_at() == used.due_at() == AT + 9 * MINUTE


def test_due_is_the_next_thing_that_time_does():
    """Pending lapses, active idles or expires, ended waits for its review, the rest for nothing."""
    assert lived().due_at() == AT + 10 * MINUTE
    assert lived("vote", "approved").due_at() == AT + 11 * MINUTE
    tireless = msgspec.structs.replace(REQUEST, idle=None)
    active = msgspec.structs.replace(lived("vote", "approved", "activated"), request=tireless)
    assert active.due_at() == AT + 40 * MINUTE
    assert lived("vote", "approved", "activated", "ended").due_at() == AT + 90 * MINUTE
    assert lived("denied").due_at() is None
    assert lived("vote", "approved", "activated", "ended", "reviewed").due_at() is None


def test_votes_that_are_logged_once_more_open_nothing():
    """However late an approval is said to be, it lapses when the signed request says."""
    late = msgspec.structs.replace(lived("vote", "approved"), approved_at=AT + 7 * 24 * 60 * MINUTE)
    assert late.lapse_at() == AT + 20 * MINUTE


def test_a_verdict_counts_as_the_first_look_too():
    """Closing without triage sets both, by the same person."""
    closed = lived("vote", "approved", "activated", "ended", "reviewed").review
    assert closed is not None
    assert (closed.triaged_by, closed.closed_by) == ("erin", "erin")


@pytest.mark.parametrize(
    "events, why",
    [
        ([], "no entry"),
        ([EVENTS["vote"]], "first entry"),
        ([asked(), asked()], "impossible life"),
        ([asked(), EVENTS["activated"]], "impossible life"),
        ([asked(), EVENTS["denied"], EVENTS["vote"]], "impossible life"),
        ([asked(), EVENTS["ended"]], "impossible life"),
    ],
)
def test_a_log_that_tells_an_impossible_life_is_tampering(events, why):
    """A life begins with its request and only takes steps that the table has."""
    with pytest.raises(TamperError, match=why):
        fold([(event, AT) for event in events])


def test_a_row_is_found_by_what_it_is_about():
    """State, incident and eligibility are what a store finds an activation by."""
    made = begin(asked())
    index = made.index()
    assert (index.state, index.parent, index.subject) == ("requested", "inc-7", "orders-repair")
    assert (made.key(), made.stored(3).version) == (REQUEST.activation, 3)
