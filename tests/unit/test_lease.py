"""The life of a lease, pair by pair."""

from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
import pytest

from callpoint.domain.errors import ConflictError
from callpoint.domain.lease import TRANSITIONS, Lease, LeaseState
from callpoint.domain.undo_plan import UndoPlan

AT = datetime(2026, 3, 1, 3, tzinfo=UTC)
PLAN = UndoPlan("simulated", "orders-db", "repair", "h", "cp_h", AT)
LEASE = Lease(id="h", activation="a", principal="alice", plan=PLAN, due_at=AT)
S = LeaseState
POSSIBLE = {
    (S.PLANNED, S.LIVE),
    (S.PLANNED, S.ENDING),
    (S.LIVE, S.ENDING),
    (S.ENDING, S.ENDED),
}


@pytest.mark.parametrize("before, after", list(product(LeaseState, LeaseState)))
def test_every_pair_of_states_is_a_step_or_refused(before, after):
    """Planned, live, ending, ended: forwards only, and never past ending without proof."""
    lease = msgspec.structs.replace(LEASE, state=before)
    if (before, after) in POSSIBLE:
        assert lease.moved(after).state is after
    else:
        with pytest.raises(ConflictError, match=f"is {before} and cannot become {after}"):
            lease.moved(after)


def test_there_is_no_giving_up():
    """The only way out of ending is ended, and every state has a row in the table."""
    assert TRANSITIONS[S.ENDING] == {S.ENDED}
    assert not TRANSITIONS[S.ENDED]
    assert set(TRANSITIONS) == set(LeaseState)


def test_making_it_due_lets_go_of_the_claim():
    """Work that is due again is free for every worker."""
    claimed = msgspec.structs.replace(LEASE, claimed_until=AT)
    due = claimed.due(AT + timedelta(seconds=1))
    assert (due.claimed_until, due.due_at) == (None, AT + timedelta(seconds=1))
    assert due.index().due_at == due.due_at


def test_a_lease_without_a_box_gives_nothing():
    """What was sealed is gone from the row once it ends."""
    assert not msgspec.structs.replace(LEASE, box="sealed").without_box().box


def test_a_row_is_found_by_activation_and_target():
    """State, activation and target are what a store finds a lease by."""
    index = LEASE.index()
    assert (index.state, index.parent, index.subject) == ("planned", "a", "orders-db")
    assert (LEASE.key(), LEASE.stored(2).version) == ("h", 2)
