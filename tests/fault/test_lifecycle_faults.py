"""Every port call of every step fails once, at every place, in both ways; then all is well."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from callpoint.domain.activation import UNFINISHED
from callpoint.domain.errors import CallpointError
from callpoint.domain.kill import Scope
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import (
    give_back,
    incidents,
    issue,
    kill,
    reconcile,
    revoke,
    sweep,
    use,
)
from tests.fakes.faults import Fault
from tests.fakes.hitches import Hitch, hitched
from tests.fakes.invariants import check_settled
from tests.fakes.stage import BOTH, Deciders, Stage, make_stage
from tests.fakes.world import INSTALLATION, World

DECIDERS = Deciders()

Act = Callable[[World, Stage, str], Awaitable[object]]


async def take_up(world: World, stage: Stage, key: str) -> object:
    return await issue.issue(world.services, world.caller("alice"), key)


async def fetch(world: World, stage: Stage, key: str) -> object:
    return [
        await use.reveal(world.services, world.caller("alice"), lease.id)
        for lease in stage.leases(key)
    ]


async def hand_back(world: World, stage: Stage, key: str) -> object:
    return await give_back.give_back(world.services, world.caller("alice"), key)


async def kill_everything(world: World, stage: Stage, key: str) -> object:
    return await kill.kill(world.services, world.caller("bob"), Scope.EVERYTHING)


async def resolve(world: World, stage: Stage, key: str) -> object:
    return await incidents.resolve(world.services, world.caller("bob"), "inc-7")


async def expire(world: World, stage: Stage, key: str) -> object:
    return await sweep.sweep(world.services)


async def compare(world: World, stage: Stage, key: str) -> object:
    return await reconcile.reconcile(world.services)


async def revoke_again(world: World, stage: Stage, key: str) -> object:
    return [await revoke.revoke(world.services, lease.id) for lease in stage.leases(key)]


async def be_approved(world: World, stage: Stage) -> str:
    return (await world.approved()).id


async def be_in_use(world: World, stage: Stage) -> str:
    """Active, with a live session on each target that left something behind."""
    made = await world.active()
    for lease in stage.leases(made.id):
        target = stage.targets[lease.plan.target]
        account = target.accounts[lease.plan.account]
        assert account.secret is not None
        target.open_session(account.name, account.secret).leave("function", f"f_{target.target}")
    return made.id


async def be_expired(world: World, stage: Stage) -> str:
    key = await be_in_use(world, stage)
    stage.clock.advance(timedelta(minutes=31))
    return key


async def be_given_back_while_down(world: World, stage: Stage) -> str:
    key = await be_in_use(world, stage)
    for target in stage.targets.values():
        target.down = True
    await give_back.give_back(world.services, world.caller("alice"), key)
    for target in stage.targets.values():
        target.down = False
    stage.clock.advance(timedelta(minutes=2))
    return key


async def be_at_odds(world: World, stage: Stage) -> str:
    """One account that nobody knows, and one that somebody removed."""
    key = await be_in_use(world, stage)
    orders = stage.targets["orders-db"]
    orders.accounts.pop(next(iter(orders.accounts)))
    unknown = f"{INSTALLATION}zzzzzzzzzzzz00"
    stage.targets["billing-db"].plant(unknown, lifetime=timedelta(hours=9))
    return key


Prepare = Callable[[World, Stage], Awaitable[str]]
STEPS: dict[str, tuple[Prepare, Act]] = {
    "issue": (be_approved, take_up),
    "reveal": (be_in_use, fetch),
    "return": (be_in_use, hand_back),
    "kill": (be_in_use, kill_everything),
    "resolve": (be_in_use, resolve),
    "sweep": (be_expired, expire),
    "revoke": (be_given_back_while_down, revoke_again),
    "reconcile": (be_at_odds, compare),
}


async def begin(prepare: Prepare) -> tuple[Stage, World, Hitch, str]:
    stage = await make_stage(idle=None, deciders=DECIDERS)
    world, hitch = hitched(stage, stage.node())
    await world.incident(targets=BOTH)
    return stage, world, hitch, await prepare(world, stage)


async def recover(stage: Stage, world: World) -> None:
    """Everything answers; claims and back-offs run out; one sweep, one comparison."""
    stage.heal()
    stage.clock.advance(timedelta(seconds=121))
    await sweep.sweep(world.services)
    await reconcile.reconcile(world.services)
    check_settled(stage.state, stage.targets)


async def let_it_end(stage: Stage, world: World) -> None:
    """Time ends what is still active; nothing at all is left."""
    stage.clock.advance(timedelta(minutes=31))
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)
    assert not [a for a in stage.activations() if a.state in UNFINISHED]
    assert {x.state for x in stage.leases()} <= {LeaseState.ENDED}
    for target in stage.targets.values():
        assert not target.accounts
        assert not target.live_sessions()


@pytest.mark.parametrize("how", [Fault.NOT_DONE, Fault.UNANSWERED])
@pytest.mark.parametrize("step", STEPS)
async def test_no_failing_call_leaves_anything_behind(step: str, how: Fault):
    """Whichever call of a step fails, one sweep later no access, session or event is astray."""
    prepare, act = STEPS[step]
    stage, world, hitch, key = await begin(prepare)
    hitch.at(10_000, how)
    await act(world, stage, key)
    calls = tuple(hitch.seen)
    assert len(calls) >= 2
    for place, call in enumerate(calls):
        stage, world, hitch, key = await begin(prepare)
        hitch.at(place, how)
        with suppress(CallpointError):  # that it says so is fine; what it leaves behind counts
            await act(world, stage, key)
        assert len(hitch.seen) > place, f"{call} was not reached"
        hitch.over()
        await recover(stage, world)
        await let_it_end(stage, world)


async def test_each_port_is_among_the_calls_that_fail():
    """Store, targets, notifier, vault and sealer all take part in the steps above."""
    seen: set[str] = set()
    for prepare, act in STEPS.values():
        stage, world, hitch, key = await begin(prepare)
        hitch.at(10_000, Fault.NOT_DONE)
        await act(world, stage, key)
        seen |= set(hitch.seen)
    on_a_target = (
        "issue",
        "skew",
        "residual",
        "probe",
        "disable",
        "kill_sessions",
        "diff_persistence",
        "revoke",
        "verify_absent",
        "list_managed",
    )
    wanted = {f"{name}.{method}" for name in BOTH for method in on_a_target}
    assert seen >= {"store", "notifier", "vault", "sealer"} | wanted
