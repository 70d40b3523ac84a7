"""Whatever fails, and wherever the process dies: a stored secret works, and a holder's does not."""

from contextlib import suppress
from datetime import timedelta

import pytest

from callpoint.domain.errors import CallpointError
from callpoint.domain.kill import Scope
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import give_back, issue, sweep
from callpoint.lifecycle.merge import tend
from tests.fakes.checked_out import (
    ACCOUNT,
    TARGET,
    in_force,
    make_place,
    row_of,
    static_of,
    stored_secrets,
)
from tests.fakes.faults import Fault
from tests.fakes.mortal import ProcessDiedError
from tests.fakes.signed_order import pull, with_home
from tests.fakes.simulated_static import OWNERS_SECRET
from tests.fakes.simulated_target import LoginRefusedError

CALLS = ("rotate", "kill_sessions", "presence", "probe", "baseline", "diff_persistence")
WAYS = (Fault.NOT_DONE, Fault.UNANSWERED, Fault.REFUSED)


def must_hold(stage):
    """At any moment: the secret in force is stored, or it is the one from before we came."""
    world = stage.node()
    assert in_force(stage) in {*stored_secrets(world, stage), OWNERS_SECRET}


async def recover(stage):
    """A new process over what is left; time for claims, back-offs, late calls and expiry."""
    stage.heal()
    world = stage.node()
    for seconds in (121, 121, 31 * 60, 121):
        stage.clock.advance(timedelta(seconds=seconds))
        await sweep.sweep(world.services)
    return world


async def whole_life(world):
    made = await world.approved()
    await issue.issue(world.services, world.caller("alice"), made.id)
    await give_back.give_back(world.services, world.caller("alice"), made.id)


async def must_be_settled(stage, world):
    """Nobody has the account, exactly one stored secret is in force, and it can be used again."""
    row = row_of(stage)
    assert row is not None
    assert row.lease == ""
    assert all(lease.state is LeaseState.ENDED for lease in stage.leases())
    assert stored_secrets(world, stage).count(in_force(stage) or "") == 1
    assert not stage.targets[TARGET].live_sessions(ACCOUNT)
    made = await world.active(incident="inc-7")
    given = (await world.credential(made.id)).credential.secret
    assert given == in_force(stage)
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert in_force(stage) != given
    (lease,) = stage.leases(made.id)
    assert lease.evidence == "rotated, old refused"


@pytest.mark.parametrize("asks_old", [False, True], ids=["sets freely", "asks for the old"])
async def test_a_process_that_dies_anywhere_loses_no_secret(asks_old):
    """Killed before or after every commit and every call of a whole life, then recovered."""
    step = 0
    while True:
        stage = await make_place(asks_old=asks_old)
        world = stage.node()
        stage.fuse.light(step)
        try:
            await whole_life(world)
        except (ProcessDiedError, CallpointError):
            must_hold(stage)
        else:
            break
        world = await recover(stage)
        if static_of(stage).log:
            await must_be_settled(stage, world)
        step += 1
    assert step > 20


@pytest.mark.parametrize("how", WAYS, ids=str)
@pytest.mark.parametrize("call", CALLS)
async def test_each_call_that_fails_is_made_good(call, how):
    """Refused, not done, and done but unanswered, at check-out and at check-in."""
    for after in (0, 1, 2):
        stage = await make_place(asks_old=True)
        world = stage.node()
        stage.targets[TARGET].fail(call, how, after=after)
        with suppress(CallpointError):
            await whole_life(world)
        must_hold(stage)
        world = await recover(stage)
        if static_of(stage).log:
            await must_be_settled(stage, world)


@pytest.mark.parametrize("fences", [True, False], ids=["fences", "does not fence"])
async def test_a_call_that_takes_effect_after_the_account_was_given_back(fences, monkeypatch):
    """A late check-out call is refused by a fence; without one its secret is still a stored one."""
    stage = await make_place(fences=fences)
    world, static = stage.node(), static_of(stage)
    late = []
    original = static.take_effect

    def keep(plan, rotation):
        late.append((plan, rotation))
        monkeypatch.setattr(static, "take_effect", original)
        raise TimeoutError("nobody knows")

    monkeypatch.setattr(static, "take_effect", keep)
    made = await world.approved()
    with suppress(CallpointError, TimeoutError):
        await issue.issue(world.services, world.caller("alice"), made.id)
    await recover_without_time(stage)
    (arguments,) = late
    with suppress(CallpointError):
        original(*arguments)
    assert (in_force(stage) == arguments[1].new) is not fences
    assert in_force(stage) in stored_secrets(world, stage)
    await must_be_settled(stage, stage.node())


async def recover_without_time(stage):
    stage.heal()
    await sweep.sweep(stage.node().services)


async def test_retries_at_a_silent_target_make_one_secret_not_many():
    """The pending secret is taken up again, so a day of silence does not fill the record."""
    stage = await make_place()
    world = stage.node()
    made = await world.active()
    stage.targets[TARGET].down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    for _ in range(20):
        stage.clock.advance(timedelta(seconds=121))
        await sweep.sweep(stage.node().services)
    row = row_of(stage)
    assert row is not None
    assert len(row.candidates) == 2
    stage.targets[TARGET].down = False
    stage.clock.advance(timedelta(seconds=121))
    await sweep.sweep(stage.node().services)
    await must_be_settled(stage, stage.node())


async def test_a_return_while_the_log_is_down_rotates_all_the_same():
    """Revocation waits for no log: the next secret is durable in the spool, then it is set."""
    stage = await make_place()
    world = stage.node()
    made = await world.active()
    before = in_force(stage)
    stage.store.log_down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert in_force(stage) != before
    assert stage.leases(made.id)[0].state is LeaseState.ENDED
    assert in_force(stage) in stored_secrets(world, stage)


async def test_no_issue_while_the_log_is_down():
    """Without a checkpoint over the pending secret the target never hears of it (I1)."""
    stage = await make_place()
    world = stage.node()
    made = await world.approved()
    stage.store.log_down = True
    with pytest.raises(CallpointError):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert static_of(stage).log == []


async def test_a_kill_without_the_store_locks_it_and_the_merge_rotates_it(tmp_path):
    """No secret can be stored, so none is set: locked, nobody on it, and not called dead."""
    stage = await make_place()
    world = with_home(stage.node(), tmp_path)
    made = await world.active()
    given = (await world.credential(made.id)).credential
    session = stage.targets[TARGET].open_session(ACCOUNT, given.secret)
    stage.store.dead = True
    killed = await pull(world, "carol", Scope.EVERYTHING)
    assert (killed.without_store, len(killed.alive)) == (True, 1)
    assert not session.alive
    with pytest.raises(LoginRefusedError, match="28000"):
        stage.targets[TARGET].open_session(ACCOUNT, given.secret)
    assert (ACCOUNT in stage.targets[TARGET].accounts, in_force(stage)) == (True, given.secret)
    stage.store.dead = False
    await tend(world.services)
    await sweep.sweep(world.services)
    (lease,) = stage.leases(made.id)
    assert (lease.state, lease.evidence) == (LeaseState.ENDED, "rotated, old refused")
    assert in_force(stage) != given.secret
