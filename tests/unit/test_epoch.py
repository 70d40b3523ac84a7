"""After a loss or a move: what was open ends, targets are compared first, nothing counts twice."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
import structlog

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.epoch import Began
from callpoint.domain.errors import ConflictError, UnavailableError
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import epoch, issue, reconcile, sweep, use
from callpoint.workers.crew import Crew, Rhythm
from tests.fakes.invariants import check_settled, told
from tests.fakes.stage import BOTH, Deciders, Stage, make_stage
from tests.fakes.world import World

DECIDERS = Deciders()
LOGGER = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])


async def staged() -> tuple[Stage, World]:
    stage = await make_stage(idle=None, deciders=DECIDERS)
    world = stage.node()
    await world.incident(targets=BOTH)
    return stage, world


async def recovered(stage: Stage, why: Began = Began.RECOVERED) -> World:
    """What ``log recover`` and ``installation adopt`` do, and a server that starts after it."""
    await epoch.begin(stage.store, why, actor="gina", reason="of a test")
    return stage.node()


async def test_what_was_open_in_the_copy_ends_and_is_never_issued_again():
    """An approval that was taken up in the lost range is not taken up a second time."""
    stage, world = await staged()
    asked, approved, active = await world.ask(), await world.approved(), await world.active()
    backup = stage.state.clone()
    await issue.issue(world.services, world.caller("alice"), approved.id)
    stage.store.state = backup
    after = await recovered(stage)
    states = [(await after.get(a.id)).state for a in (asked, approved, active)]
    ended = ActivationState.ENDED
    assert states == [ActivationState.WITHDRAWN, ActivationState.WITHDRAWN, ended]
    assert (await after.get(active.id)).end_reason is EndReason.RECOVERED
    (event,) = told(stage.state, ev.EpochBegan)
    assert (event.number, event.why, event.ended, event.actor) == (2, "recovered", 3, "gina")
    await reconcile.reconcile(after.services)
    with pytest.raises(ConflictError, match="withdrawn"):
        await issue.issue(after.services, after.caller("alice"), approved.id)
    with pytest.raises(ConflictError):
        await use.reveal_all(after.services, after.caller("alice"), active.id)
    await sweep.sweep(after.services)
    check_settled(stage.state, stage.targets)
    assert not any(target.accounts for target in stage.targets.values())


@pytest.mark.parametrize("why", list(Began))
async def test_nothing_is_given_on_a_target_that_was_not_compared(why: Began):
    """One that does not answer stays shut until it was compared; it is written down once."""
    stage, _ = await staged()
    after = await recovered(stage, why)
    approved = await after.approved()
    stage.targets["orders-db"].fail("list_managed")
    await reconcile.reconcile(after.services)
    with pytest.raises(UnavailableError, match="orders-db was not compared"):
        await issue.issue(after.services, after.caller("alice"), approved.id)
    assert (await after.get(approved.id)).state is ActivationState.APPROVED
    await reconcile.reconcile(after.services)
    restarted = stage.node()
    made = await issue.issue(restarted.services, restarted.caller("alice"), approved.id)
    assert made.state is ActivationState.ACTIVE
    known = await stage.store.read(epoch.epoch_of)
    assert known is not None
    assert known.compared == BOTH
    await reconcile.reconcile(restarted.services)
    assert await stage.store.read(epoch.epoch_of) == known
    check_settled(stage.state, stage.targets)


async def test_a_move_ends_nothing():
    """Nothing was lost: what is live stays, and epochs are counted on."""
    stage, world = await staged()
    active = await world.active()
    await recovered(stage)
    moved = await recovered(stage, Began.MOVED)
    assert (await moved.get(active.id)).state is ActivationState.ENDED
    again = await recovered(stage, Began.MOVED)
    assert [e.number for e in told(stage.state, ev.EpochBegan)] == [2, 3, 4]
    known = await stage.store.read(epoch.epoch_of)
    assert known is not None
    assert known.lost_at is not None
    await reconcile.reconcile(again.services)
    later = await again.active()
    await recovered(stage, Began.MOVED)
    assert (await again.get(later.id)).state is ActivationState.ACTIVE


async def test_a_loss_counts_as_one_incident_in_every_budget():
    """What was lost may have been one: the last of a budget then needs the added approver."""
    stage, _ = await staged()
    after = await recovered(stage)
    await reconcile.reconcile(after.services)
    await after.incident("inc-8", targets=BOTH)
    await after.incident("inc-9", targets=BOTH)
    await after.active(incident="inc-8")
    assert (await after.ask(incident="inc-9")).request.quorum.extra == 1
    stage.clock.advance(timedelta(days=91))
    await after.incident("inc-10", targets=BOTH)
    findings = (await after.ask(incident="inc-10")).request.findings
    assert not [text for text in findings if "budget" in text]


@pytest.mark.parametrize("how", ["epoch", "halted log"])
async def test_rows_of_an_unsure_past_revoke_nothing_before_the_comparison(how: str):
    """Where the target cannot be compared it is left alone, however long; the other one is not."""
    stage, world = await staged()
    made = await world.active()
    if how == "epoch":
        await recovered(stage)
    else:
        stage.clock.advance(timedelta(hours=1))
        stage.store.log_down = True
    orders, billing = stage.targets["orders-db"], stage.targets["billing-db"]
    orders.fail("list_managed", times=10**6)
    orders.calls.clear()
    restarted = stage.node()
    await _work(restarted, lambda: not billing.accounts)
    later = stage.clock.monotonic() + 120
    await _work(restarted, lambda: stage.clock.monotonic() > later)
    assert orders.accounts
    assert {method for method, _ in orders.calls} == {"list_managed"}
    stage.store.log_down = False
    orders.forget_faults()
    await _work(restarted, lambda: not orders.accounts)
    await sweep.sweep(restarted.services)
    assert {x.state for x in stage.leases(made.id)} == {LeaseState.ENDED}
    check_settled(stage.state, stage.targets)


async def _work(world: World, done: Callable[[], bool]) -> None:
    """The crew of a server that starts, in simulated time, until ``done`` says so."""

    async def nothing() -> None:
        """No nonces, and no rules to follow."""

    stop = asyncio.Event()
    crew = Crew(world.services, LOGGER, forget_nonces=nothing, follow=nothing, rhythm=Rhythm())
    async with asyncio.TaskGroup() as group:
        group.create_task(crew.run(stop))
        async with asyncio.timeout(20):
            while not done():  # noqa: ASYNC110 -- what is awaited is the crew's doing
                await asyncio.sleep(0)
        stop.set()
