"""Comparing targets with what we hold, both ways, and only our own handles (I8)."""

from datetime import timedelta

import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import give_back, reconcile
from callpoint.lifecycle.announce import watchers
from tests.fakes.invariants import check_settled, told
from tests.fakes.stage import BOTH, Deciders, Stage, make_stage
from tests.fakes.world import INSTALLATION, World

DECIDERS = Deciders()
UNKNOWN = f"{INSTALLATION}zzzzzzzzzzzz00"
HOUR = timedelta(hours=1)


async def staged() -> tuple[Stage, World]:
    stage = await make_stage(idle=None, deciders=DECIDERS)
    world = stage.node()
    await world.incident(targets=BOTH)
    return stage, world


async def test_where_both_sides_agree_nothing_happens():
    """Live leases and their accounts explain each other."""
    stage, world = await staged()
    await world.active()
    size = len(stage.state.leaves)
    assert await reconcile.reconcile(world.services) == reconcile.Reconciled()
    assert len(stage.state.leaves) == size
    check_settled(stage.state, stage.targets)


async def test_an_account_that_no_lease_explains_is_told_and_removed():
    """With its sessions, whoever made it; people are woken."""
    stage, world = await staged()
    orders = stage.targets["orders-db"]
    orders.plant(UNKNOWN, lifetime=HOUR)
    session = orders.open_session(f"cp_{UNKNOWN}", "planted")
    found = await reconcile.reconcile(world.services)
    assert found.unknown == found.removed == (f"cp_{UNKNOWN}",)
    assert not session.alive
    (event,) = told(stage.state, ev.UnknownAccountFound)
    assert (event.target, event.handle) == ("orders-db", UNKNOWN)
    assert stage.notices.said[-1].urgent
    assert stage.notices.said[-1].to == watchers(world.services) != ()
    check_settled(stage.state, stage.targets)


async def test_an_account_of_another_installation_is_left_alone():
    """A target may serve several; each cares for its own."""
    stage, world = await staged()
    stage.targets["orders-db"].plant("otherizzzzzzzzzzzz00", lifetime=HOUR)
    assert await reconcile.reconcile(world.services) == reconcile.Reconciled()
    assert stage.targets["orders-db"].accounts


async def test_what_cannot_be_removed_now_is_tried_in_every_pass():
    """Unknown and not removed is said, and the next pass goes on."""
    stage, world = await staged()
    orders = stage.targets["orders-db"]
    orders.plant(UNKNOWN, lifetime=HOUR)
    orders.fail("revoke", "not done")
    found = await reconcile.reconcile(world.services)
    assert (found.unknown, found.removed) == ((f"cp_{UNKNOWN}",), ())
    found = await reconcile.reconcile(world.services)
    assert found.removed == (f"cp_{UNKNOWN}",)


async def test_an_account_of_an_ended_lease_that_is_back_is_unknown():
    """A restored target brings nothing back to life."""
    stage, world = await staged()
    made = await world.active()
    kept = dict(stage.targets["orders-db"].accounts)
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    stage.targets["orders-db"].accounts.update(kept)
    found = await reconcile.reconcile(world.services)
    assert found.removed == tuple(kept)
    check_settled(stage.state, stage.targets)


async def test_a_live_lease_without_its_account_ends_with_a_finding():
    """Somebody else removed it: all of the activation ends, and its review reads so."""
    stage, world = await staged()
    made = await world.active()
    stage.targets["orders-db"].accounts.clear()
    found = await reconcile.reconcile(world.services)
    assert len(found.missing) == 1
    after = await world.get(made.id)
    assert (after.state, after.end_reason) == (
        ActivationState.ENDED,
        EndReason.POLICY_VIOLATION,
    )
    assert [f.kind for f in after.findings] == ["account_missing"]
    assert {x.state for x in stage.leases()} == {LeaseState.ENDED}
    check_settled(stage.state, stage.targets)


async def test_an_account_that_the_targets_own_reaper_took_at_expiry_is_no_finding():
    """The first of the three clocks worked; the others follow."""
    stage, world = await staged()
    made = await world.active()
    stage.clock.advance(timedelta(minutes=30))
    for target in stage.targets.values():
        target.reap()
    await reconcile.reconcile(world.services)
    after = await world.get(made.id)
    assert (after.end_reason, after.findings) == (EndReason.EXPIRED, ())
    check_settled(stage.state, stage.targets)


@pytest.mark.parametrize("down", BOTH)
async def test_a_target_that_does_not_answer_is_unknown_and_the_others_are_compared(down):
    """Nothing is concluded from silence."""
    stage, world = await staged()
    made = await world.active()
    for target in stage.targets.values():
        target.plant(UNKNOWN, lifetime=HOUR)
    stage.targets[down].down = True
    found = await reconcile.reconcile(world.services)
    assert found.unreachable == (down,)
    assert found.missing == ()
    assert found.removed == (f"cp_{UNKNOWN}",)
    assert (await world.get(made.id)).state is ActivationState.ACTIVE
