"""Long outages, wrong clocks, old backups, cancelled callers, late and broken targets."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.errors import (
    ClockError,
    ConflictError,
    LogUnavailableError,
    StoreUnavailableError,
    TargetError,
)
from callpoint.domain.kill import Scope
from callpoint.domain.lease import LeaseState
from callpoint.domain.review import Judgement
from callpoint.lifecycle import give_back, issue, kill, reconcile, review, sweep, use
from tests.fakes.clock import SimulatedClock
from tests.fakes.faults import Fault
from tests.fakes.invariants import check_always, check_settled, history, told
from tests.fakes.simulated_target import Session
from tests.fakes.stage import BOTH, Deciders, Stage, make_stage
from tests.fakes.world import World

DECIDERS = Deciders()
SECOND = timedelta(seconds=1)


async def staged() -> tuple[Stage, World]:
    """An open incident that names both targets."""
    stage = await make_stage(idle=None, deciders=DECIDERS)
    world = stage.node()
    await world.incident(targets=BOTH)
    return stage, world


def log_in(stage: Stage, activation: str) -> list[Session]:
    """A session on each target, as the requester has with what it fetched."""
    made = []
    for lease in stage.leases(activation):
        target = stage.targets[lease.plan.target]
        account = target.accounts[lease.plan.account]
        assert account.secret is not None
        made.append(target.open_session(account.name, account.secret))
    return made


async def test_a_target_that_is_dead_for_an_hour_is_tried_all_the_time_and_then_revoked():
    """Attempts never stop and never lie further apart than the cap; only doublings are loud."""
    stage, world = await staged()
    made = await world.active()
    sessions = log_in(stage, made.id)
    stage.targets["orders-db"].down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert [s.alive for s in sessions] == [False, True], "one dead target must not keep the other"
    tries, last = [], stage.clock.now()
    for _ in range(3600):
        stage.clock.advance(SECOND)
        before = [x.attempts for x in stage.leases(made.id)]
        await sweep.sweep(world.services)
        if [x.attempts for x in stage.leases(made.id)] != before:
            tries.append(stage.clock.now() - last)
            last = stage.clock.now()
    (stuck,) = [x for x in stage.leases(made.id) if x.state is LeaseState.ENDING]
    assert stuck.attempts > 60
    assert max(tries) <= world.services.limits.backoff_cap + 2 * SECOND
    assert tries[0] <= 2 * SECOND
    loud = [e.attempts for e in told(stage.state, ev.LeaseStuck)]
    assert loud == [2**n for n in range(len(loud))]
    assert len(loud) == stuck.attempts.bit_length()
    notices = [n for n in stage.notices.said if n.kind == "lease:stuck"]
    assert len(notices) == len(loud)
    assert {n.to for n in notices} == {("erin", "frank", "gina", "hugo")}
    stage.targets["orders-db"].down = False
    stage.clock.advance(timedelta(seconds=61))
    await sweep.sweep(world.services)
    assert not any(s.alive for s in sessions)
    check_settled(stage.state, stage.targets)


async def test_without_the_log_nothing_is_given_and_everything_is_taken():
    """Issue, reveal and request stop; return and revocation go on, and their events wait."""
    stage, world = await staged()
    active, approved = await world.active(), await world.approved()
    (first, _) = stage.leases(active.id)
    stage.store.log_down = True
    with pytest.raises(LogUnavailableError):
        await issue.issue(world.services, world.caller("alice"), approved.id)
    with pytest.raises(LogUnavailableError):
        await use.reveal(world.services, world.caller("alice"), first.id)
    with pytest.raises(LogUnavailableError):
        await world.ask()
    size = len(stage.state.leaves)
    await give_back.give_back(world.services, world.caller("alice"), active.id)
    assert {x.state for x in stage.leases(active.id)} == {LeaseState.ENDED}
    assert not any(target.accounts for target in stage.targets.values())
    assert len(stage.state.leaves) == size
    waiting = [draft.type for draft in stage.state.spool]
    check_always(stage.state, stage.targets)
    said = Judgement("justified", "1 root")  # type: ignore[arg-type]  # not reached
    with pytest.raises(LogUnavailableError):
        await review.close(world.services, world.caller("erin"), active.id, said)
    stage.store.log_down = False
    assert await world.services.store.merge_spool() == 0
    merged = [ev.name(item.event) for item in history(stage.state)][size:]
    assert merged == waiting
    stage.clock.advance(timedelta(minutes=30))
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)


async def test_a_log_that_fails_between_intent_and_live_gives_nothing():
    """The account that was made is gone again, and its credential was never kept."""
    stage, world = await staged()
    made = await world.approved()
    target = stage.targets["orders-db"]
    target.around = lambda method: _halt_log(stage, method == "issue")
    with pytest.raises(LogUnavailableError):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not target.accounts
    assert (await world.get(made.id)).end_reason is EndReason.ISSUE_FAILED
    stage.heal()
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)


class _halt_log:  # noqa: N801 -- used like a function
    def __init__(self, stage: Stage, now: bool) -> None:
        self._stage, self._now = stage, now

    def __enter__(self) -> None:
        self._stage.store.log_down |= self._now

    def __exit__(self, *_: object) -> None:
        return None


async def test_without_the_store_nothing_is_given_and_work_resumes():
    """Every step says that the store is away; once it is back, time has done its work."""
    stage, world = await staged()
    active, approved = await world.active(), await world.approved()
    log_in(stage, active.id)
    stage.store.dead = True
    alice = world.caller("alice")
    for act in (
        lambda: issue.issue(world.services, alice, approved.id),
        lambda: use.reveal_all(world.services, alice, active.id),
        lambda: give_back.give_back(world.services, alice, active.id),
        lambda: kill.kill(world.services, alice, Scope.EVERYTHING),
        lambda: sweep.sweep(world.services),
        lambda: reconcile.reconcile(world.services),
        world.ask,
    ):
        with pytest.raises(StoreUnavailableError):
            await act()
    stage.clock.advance(timedelta(minutes=31))
    stage.store.dead = False
    await sweep.sweep(world.services)
    assert (await world.get(active.id)).end_reason is EndReason.EXPIRED
    check_settled(stage.state, stage.targets)


async def test_a_clock_that_jumps_back_stops_what_gives_and_not_what_takes():
    """Issue and reveal wait for the clock; return revokes meanwhile."""
    stage, world = await staged()
    active, approved = await world.active(), await world.approved()
    stage.clock.jump(timedelta(seconds=-6))
    with pytest.raises(ClockError, match="jumped back"):
        await issue.issue(world.services, world.caller("alice"), approved.id)
    with pytest.raises(ClockError, match="jumped back"):
        await use.reveal_all(world.services, world.caller("alice"), active.id)
    await give_back.give_back(world.services, world.caller("alice"), active.id)
    assert not any(target.accounts for target in stage.targets.values())
    stage.clock.jump(timedelta(seconds=6))
    await issue.issue(world.services, world.caller("alice"), approved.id)
    check_settled(stage.state, stage.targets)


async def test_a_small_step_back_stops_nothing():
    """NTP may move the clock by less than the limit."""
    stage, world = await staged()
    made = await world.approved()
    stage.clock.jump(timedelta(seconds=-4))
    made = await issue.issue(world.services, world.caller("alice"), made.id)
    assert made.state is ActivationState.ACTIVE


async def test_a_clock_that_jumps_forward_ends_what_it_passed():
    """What expired by the new time is revoked, and stays revoked when the clock is put right."""
    stage, world = await staged()
    made = await world.active()
    stage.clock.jump(timedelta(hours=1))
    await sweep.sweep(world.services)
    stage.clock.jump(timedelta(hours=-1))
    assert (await world.get(made.id)).end_reason is EndReason.EXPIRED
    check_settled(stage.state, stage.targets)
    with pytest.raises(ConflictError):
        await use.reveal_all(world.services, world.caller("alice"), made.id)


@pytest.mark.parametrize("seconds", [-6, 6])
async def test_a_target_with_another_time_gets_no_issue(seconds: int):
    """Expiry at a target whose clock is off by more than five seconds means nothing."""
    stage, world = await staged()
    made = await world.approved()
    stage.targets["orders-db"].offset = timedelta(seconds=seconds)
    with pytest.raises(ClockError, match="orders-db"):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not any(target.accounts for target in stage.targets.values())
    stage.targets["orders-db"].offset = timedelta(seconds=4)
    await issue.issue(world.services, world.caller("alice"), made.id)


@pytest.mark.parametrize("seconds", [-6, 6])
async def test_a_node_whose_clock_is_not_the_stores_issues_nothing(seconds: int):
    """Expiry is fixed by the store's clock, and targets are compared with the node's."""
    stage, world = await staged()
    made, living = await world.approved(), await world.active()
    ours = SimulatedClock(stage.clock.now() + timedelta(seconds=seconds), auto=True)
    services = replace(world.services, clock=ours)
    with pytest.raises(ClockError, match=re.escape(f"differ by {-seconds:+d}")):
        await issue.issue(services, world.caller("alice"), made.id)
    await give_back.give_back(services, world.caller("alice"), living.id)
    assert not any(target.accounts for target in stage.targets.values())
    ours.jump(timedelta(seconds=-seconds * 2 / 3))
    await issue.issue(services, world.caller("alice"), made.id)
    check_settled(stage.state, stage.targets)


async def test_a_restored_backup_knows_nothing_of_later_accounts_and_removes_them():
    """Accounts that an older database cannot explain are told of and removed."""
    stage, world = await staged()
    backup = stage.state.clone()
    made = await world.active()
    log_in(stage, made.id)
    stage.store.state = backup
    restarted = stage.node()
    assert not stage.activations()
    found = await reconcile.reconcile(restarted.services)
    assert len(found.unknown) == len(found.removed) == 2
    assert len(told(stage.state, ev.UnknownAccountFound)) == 2
    assert not any(t.accounts or t.live_sessions() for t in stage.targets.values())
    check_settled(stage.state, stage.targets)


async def test_a_backup_from_before_the_end_ends_again():
    """A lease that came back to life in the database is closed when its account is missing."""
    stage, world = await staged()
    made = await world.active()
    backup = stage.state.clone()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    stage.store.state = backup
    restarted = stage.node()
    found = await reconcile.reconcile(restarted.services)
    assert len(found.missing) == 2
    check_settled(stage.state, stage.targets)
    assert (await world.get(made.id)).state is ActivationState.ENDED


async def test_a_caller_that_goes_away_anywhere_in_issue_leaves_nothing_half_done():
    """Cancelled at any turn, an issue has not begun, is whole, or is revoked."""
    outcomes = set()
    for turns in range(60):
        stage, world = await staged()
        made = await world.approved()
        work = issue.issue(world.services, world.caller("alice"), made.id)
        task = asyncio.get_running_loop().create_task(work)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        check_always(stage.state, stage.targets)
        states = {x.state for x in stage.leases()}
        assert len(states) <= 1 or states <= {LeaseState.ENDING, LeaseState.ENDED}
        stage.clock.advance(timedelta(seconds=121))
        await sweep.sweep(stage.node().services)
        check_settled(stage.state, stage.targets)
        outcomes.add((await world.get(made.id)).state)
    assert outcomes == {ActivationState.APPROVED, ActivationState.ENDED, ActivationState.ACTIVE}


@pytest.mark.parametrize("how", [None, *Fault])
async def test_an_account_that_a_slow_target_makes_after_the_kill_is_removed(how: Fault | None):
    """Revocation looked before the account was there; whoever made it takes it away again."""
    stage, world = await staged()
    made = await world.approved()
    orders = stage.targets["orders-db"]
    orders.delays["issue"] = 100
    if how is not None:
        orders.fail("issue", how)
    task = asyncio.get_running_loop().create_task(
        issue.issue(world.services, world.caller("alice"), made.id)
    )
    for _ in range(50):
        await asyncio.sleep(0)
    assert {x.state for x in stage.leases()} == {LeaseState.PLANNED, LeaseState.LIVE}
    killed = await kill.kill(stage.node().services, world.caller("bob"), Scope.ACTIVATION, made.id)
    assert killed.alive == ()
    with pytest.raises((ConflictError, TargetError)):
        await task
    check_settled(stage.state, stage.targets)


async def test_two_nodes_issue_once():
    """Of two nodes that issue the same activation one is refused, and one credential is made."""
    stage, world = await staged()
    made = await world.approved()
    other = stage.node()
    results = await asyncio.gather(
        issue.issue(world.services, world.caller("alice"), made.id),
        issue.issue(other.services, other.caller("alice"), made.id),
        return_exceptions=True,
    )
    assert sum(isinstance(r, ConflictError) for r in results) == 1
    assert [x.state for x in stage.leases()] == [LeaseState.LIVE] * 2
    check_settled(stage.state, stage.targets)


async def test_two_nodes_revoke_once():
    """A claimed lease is left alone by every other node until the claim runs out."""
    stage, world = await staged()
    made = await world.active()
    for target in stage.targets.values():
        target.down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    for target in stage.targets.values():
        target.down, target.delays = False, {"disable": 20}
    stage.clock.advance(timedelta(seconds=5))
    await asyncio.gather(sweep.sweep(world.services), sweep.sweep(stage.node().services))
    assert {x.attempts for x in stage.leases()} == {2}
    check_settled(stage.state, stage.targets)
