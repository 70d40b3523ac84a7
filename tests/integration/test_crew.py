"""The background loops over a whole installation: what time does, without anybody asking."""

import asyncio
from datetime import timedelta

import structlog

from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.lease import LeaseState
from callpoint.workers.crew import Crew, Rhythm
from tests.fakes.world import World, make_world

LOGGER = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
QUICK = Rhythm(
    sweep=timedelta(milliseconds=10),
    reconcile=timedelta(milliseconds=10),
    grace=timedelta(seconds=1),
)


async def nothing() -> None:
    """No nonces, and nothing to follow."""


async def run_until(world: World, done, **more) -> None:
    """Let the crew work until ``done`` says so."""
    stop = asyncio.Event()
    crew = Crew(world.services, LOGGER, forget_nonces=nothing, follow=nothing, rhythm=QUICK, **more)
    async with asyncio.TaskGroup() as group:
        group.create_task(crew.run(stop))
        async with asyncio.timeout(20):
            while not await done():  # noqa: ASYNC110 -- what is awaited is a state of the store
                await asyncio.sleep(0)
        stop.set()


async def test_what_expires_is_revoked_by_itself():
    """An activation whose time is over ends, and its account is proven gone."""
    world = await make_world()
    await world.incident()
    made = await world.active()

    async def done() -> bool:
        return (await world.leases(made.id))[0].state is LeaseState.ENDED

    await run_until(world, done)
    ended = await world.get(made.id)
    assert (ended.state, ended.end_reason) == (ActivationState.ENDED, EndReason.EXPIRED)
    assert not world.target.accounts


async def test_targets_are_compared_before_the_first_sweep():
    """An account that no lease explains is removed before the first sweep revokes anything (I8)."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.clock.advance(timedelta(hours=1))
    world.target.plant("tstincunknown0000000", lifetime=timedelta(hours=2))
    world.target.calls.clear()

    async def done() -> bool:
        return not world.target.accounts

    await run_until(world, done)
    own = (await world.leases(made.id))[0].plan.account
    removed = [account for method, account in world.target.calls if method == "revoke"]
    assert removed[0] == "cp_tstincunknown0000000"
    assert own in removed


async def test_a_dead_target_does_not_hold_up_the_start():
    """While a target does not answer, time goes on for everything else."""
    world = await make_world()
    await world.incident()
    asked = await world.ask()
    world.target.down = True
    world.clock.advance(timedelta(hours=1))

    async def done() -> bool:
        return (await world.get(asked.id)).state is ActivationState.LAPSED

    await run_until(world, done)


async def test_an_authority_that_never_answers_holds_up_nothing():
    """A time stamp is waited for by its own loop alone, also when it comes to an end."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    asked = asyncio.Event()

    async def never() -> None:
        asked.set()
        await asyncio.Event().wait()

    async def done() -> bool:
        return asked.is_set() and (await world.leases(made.id))[0].state is LeaseState.ENDED

    await run_until(world, done, stamp=never)
    assert not world.target.accounts
