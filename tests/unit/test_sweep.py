"""What time does: lapse, idle, expire, escalate; once, and on any number of nodes."""

import asyncio
from datetime import timedelta

import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState, EndReason
from callpoint.domain.ids import incident_stream
from callpoint.domain.incident import Incident, apply
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import give_back, issue, review, sweep, use
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.revoke import backoff
from callpoint.ports.stores import Transaction
from tests.fakes.invariants import check_settled
from tests.fakes.stage import BOTH, IDLE, Deciders, Stage, make_stage
from tests.fakes.world import World, make_world

DECIDERS = Deciders()
MOMENT = timedelta(microseconds=1)


async def staged(idle: timedelta | None = None) -> tuple[Stage, World]:
    stage = await make_stage(idle=idle, deciders=DECIDERS)
    world = stage.node()
    await world.incident(targets=BOTH)
    return stage, world


async def swept(world: World, key: str) -> Activation:
    await sweep.sweep(world.services)
    return await world.get(key)


async def test_nothing_is_due_and_nothing_happens():
    """A pass over a quiet installation writes nothing."""
    stage, world = await staged()
    await world.active()
    before = len(stage.state.leaves)
    assert await sweep.sweep(world.services) == sweep.Swept()
    assert len(stage.state.leaves) == before


async def test_a_request_that_nobody_answered_lapses_at_its_deadline():
    """Not a moment earlier, and silence is a no."""
    stage, world = await staged()
    made = await world.ask()
    stage.clock.advance(timedelta(minutes=10) - MOMENT)
    assert (await swept(world, made.id)).state is ActivationState.REQUESTED
    stage.clock.advance(MOMENT)
    assert (await swept(world, made.id)).state is ActivationState.LAPSED


async def test_an_approval_that_is_not_taken_up_lapses_after_the_same_span():
    """It counts from the approval."""
    stage, world = await staged()
    made = await world.ask()
    await world.vote("carol", made.id)
    stage.clock.advance(timedelta(minutes=9))
    await world.vote("dave", made.id)
    stage.clock.advance(timedelta(minutes=10) - MOMENT)
    assert (await swept(world, made.id)).state is ActivationState.APPROVED
    stage.clock.advance(MOMENT)
    assert (await swept(world, made.id)).state is ActivationState.LAPSED


async def test_what_expires_is_ended_and_dead_in_the_same_pass():
    """At ``not_after``, with its sessions."""
    stage, world = await staged()
    made = await world.active()
    stage.clock.advance(timedelta(minutes=30) - MOMENT)
    assert (await swept(world, made.id)).state is ActivationState.ACTIVE
    stage.clock.advance(MOMENT)
    assert (await swept(world, made.id)).end_reason is EndReason.EXPIRED
    check_settled(stage.state, stage.targets)


async def test_what_is_not_used_ends_as_idle_and_each_use_puts_it_off():
    """Idleness counts from the last fetch; it never lengthens ``not_after``."""
    stage, world = await staged(IDLE)
    made = await world.active()
    stage.clock.advance(IDLE - MOMENT)
    assert (await swept(world, made.id)).state is ActivationState.ACTIVE
    await use.reveal_all(world.services, world.caller("alice"), made.id)
    stage.clock.advance(IDLE - MOMENT)
    assert (await swept(world, made.id)).state is ActivationState.ACTIVE
    stage.clock.advance(MOMENT)
    assert (await swept(world, made.id)).end_reason is EndReason.IDLE
    check_settled(stage.state, stage.targets)


async def test_an_active_one_whose_incident_is_over_is_ended():
    """Whatever let it go on, the next sweep of any node ends it."""
    stage, world = await staged()
    made = await world.active()
    over = ev.IncidentResolved(incident="inc-7", by="bob")

    def resolve_alone(tx: Transaction) -> None:
        tx.append(incident_stream("inc-7"), over)
        tx.put(apply(tx.get(Incident, "inc-7"), over, tx.now()))

    await stage.store.transact(resolve_alone)
    assert (await swept(world, made.id)).end_reason is EndReason.INCIDENT_RESOLVED


async def test_a_lease_whose_issuer_died_is_revoked_with_all_the_others():
    """A planned lease is given a minute, then the whole activation ends in one pass."""
    stage, world = await staged()
    made = await world.approved()
    stage.targets["orders-db"].delays["issue"] = 1_000_000
    task = asyncio.get_running_loop().create_task(
        issue.issue(world.services, world.caller("alice"), made.id)
    )
    for _ in range(50):
        await asyncio.sleep(0)
    assert {x.state for x in stage.leases()} == {LeaseState.PLANNED, LeaseState.LIVE}
    stage.fuse.light(0)  # the issuing process is dead: whatever it tries, nothing happens
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    stage.heal()
    other = stage.node()
    stage.clock.advance(timedelta(seconds=59))
    assert (await swept(other, made.id)).state is ActivationState.ACTIVE
    stage.clock.advance(timedelta(seconds=1))
    assert (await swept(other, made.id)).end_reason is EndReason.ISSUE_FAILED
    check_settled(stage.state, stage.targets)


async def test_each_review_deadline_that_passes_is_said_once():
    """Triage after a day, the verdict after five; no more findings after that."""
    stage, world = await staged()
    made = await world.active()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    stage.clock.advance(timedelta(hours=24))
    for _ in range(3):
        assert len((await swept(world, made.id)).findings) == 1
    stage.clock.advance(timedelta(days=4))
    for _ in range(3):
        await swept(world, made.id)
    found = (await world.get(made.id)).findings
    assert [f.kind for f in found] == ["review_overdue"] * 2
    assert len({f.text for f in found}) == 2


async def test_who_can_review_is_told_that_the_review_is_late():
    """The reviewers, the governors and security: not the requester, who may not review it."""
    stage, world = await staged()
    made = await world.active()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    stage.clock.advance(timedelta(hours=24))
    await swept(world, made.id)
    told = stage.notices.said[-1]
    able = review.who_may_review(made, world.services.rules.last_proven)
    assert (told.kind, told.about, told.urgent) == ("review:overdue", made.id, True)
    assert able
    assert set(told.to) == able | set(watchers(world.services))
    assert "alice" not in told.to
    assert "deadline" in told.text


async def test_a_review_in_time_raises_nothing():
    """Who met the deadlines is not told of."""
    stage, world = await staged()
    made = await world.active()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    await review.triage(world.services, world.caller("erin"), made.id)
    stage.clock.advance(timedelta(days=4))
    assert not (await swept(world, made.id)).findings


async def test_two_passes_at_once_do_everything_once():
    """Any number of nodes may sweep: each piece of work looks again."""
    stage, world = await staged()
    for _ in range(3):
        await world.active()
    pending = await world.ask()
    stage.clock.advance(timedelta(minutes=31))
    other = stage.node()
    one, two = await asyncio.gather(sweep.sweep(world.services), sweep.sweep(other.services))
    assert one.moved + two.moved == 4
    assert one.dead + two.dead == 6
    assert (await world.get(pending.id)).state is ActivationState.LAPSED
    check_settled(stage.state, stage.targets)


async def test_a_dead_target_starves_no_other():
    """What can be revoked is revoked in the same pass; what cannot is counted as failed."""
    stage, world = await staged()
    await world.active()
    stage.targets["billing-db"].down = True
    stage.clock.advance(timedelta(minutes=31))
    found = await sweep.sweep(world.services)
    assert (found.moved, found.dead, found.failed, found.errors) == (1, 1, 1, ())
    assert not stage.targets["orders-db"].accounts


async def test_no_more_than_the_cap_works_on_one_target_at_a_time():
    """Eight revocations at once on a target, the others wait for a free lane."""
    world = await make_world()
    await world.incident()
    for _ in range(12):
        await world.active()
    world.clock.advance(timedelta(minutes=31))
    busy = most = 0
    disable, verify = world.target.disable, world.target.verify_absent

    async def begin(plan) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        await disable(plan)

    async def finish(plan, credential):
        nonlocal busy
        seen = await verify(plan, credential)
        busy -= 1
        return seen

    world.target.disable, world.target.verify_absent = begin, finish  # type: ignore[method-assign]
    assert (await sweep.sweep(world.services)).dead == 12
    assert most == world.services.limits.per_target


async def test_what_our_own_side_cannot_do_is_told_and_the_rest_is_done():
    """A target without a connector here is one line of the result; nothing else waits for it."""
    stage, world = await staged()
    await world.active()
    stage.clock.advance(timedelta(minutes=31))
    gone = stage.targets.pop("billing-db")
    found = await sweep.sweep(world.services)
    assert (found.dead, found.failed) == (1, 1)
    (stuck,) = [x for x in stage.leases() if x.state is LeaseState.ENDING]
    assert "no connector for billing-db" in stuck.last_error
    stage.targets["billing-db"] = gone
    stage.clock.advance(timedelta(seconds=2))
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)


@pytest.mark.parametrize("attempts, seconds", [(1, 1), (2, 2), (3, 4), (7, 60), (10_000, 60)])
async def test_waiting_doubles_up_to_the_cap_with_jitter(attempts, seconds):
    """Between half and all of the span, never more than a minute, however many attempts."""
    world = await make_world()
    spans = [backoff(world.services, attempts).total_seconds() for _ in range(200)]
    assert seconds / 2 <= min(spans) <= max(spans) <= seconds
    assert max(spans) > min(spans)
