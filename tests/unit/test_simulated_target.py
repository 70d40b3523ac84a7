"""The simulated target behaves as badly as it promises, and its clock moves only when told."""

import asyncio
from datetime import timedelta

import pytest

from callpoint.domain.errors import RequestError, TargetRefusedError, TargetUnknownError
from callpoint.ports.targets import Attempt, MintRequest
from tests.fakes.clock import START, SeededRandom, SimulatedClock
from tests.fakes.simulated_target import Fault, LoginRefusedError, SimulatedTarget

INSTALLATION = "abc123"


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def target(clock):
    return SimulatedTarget("orders-db", clock, SeededRandom(1), INSTALLATION)


def _plan(target, handle="abc123x1", minutes=30):
    return target.plan(
        MintRequest(
            handle=handle,
            target=target.target,
            role="repair",
            not_after=START + timedelta(minutes=minutes),
        )
    )


async def test_a_session_outlives_its_account_until_it_is_killed(target):
    """Dropping the account does not end its session; killing does."""
    plan = _plan(target)
    issued = await target.issue(plan)
    session = target.open_session(issued.credential.username, issued.credential.secret)
    await target.revoke(plan)
    assert session.work()
    assert (await target.verify_absent(plan, issued.credential)).dead is False
    assert await target.kill_sessions(plan) == 0
    with pytest.raises(ConnectionError):
        session.work()
    assert (await target.verify_absent(plan, issued.credential)).dead


async def test_expiry_refuses_logins_and_spares_sessions(target, clock):
    """After ``not_after`` the password is refused while the open session goes on."""
    plan = _plan(target)
    issued = await target.issue(plan)
    session = target.open_session(issued.credential.username, issued.credential.secret)
    clock.advance(timedelta(minutes=31))
    probe = await target.probe(plan, issued.credential)
    assert (probe.attempt, probe.code) == (Attempt.REFUSED, "28P01")
    assert session.work()
    target.reap()
    assert target.accounts == {}
    assert target.live_sessions() == []


@pytest.mark.parametrize(
    "how,error,exists",
    [
        (Fault.REFUSED, TargetRefusedError, False),
        (Fault.NOT_DONE, TargetUnknownError, False),
        (Fault.UNANSWERED, TargetUnknownError, True),
    ],
)
async def test_a_failing_call_is_done_or_not_as_asked(target, how, error, exists):
    """ "Not done" leaves no account, "done but unanswered" leaves one, and both raise."""
    plan = _plan(target)
    target.fail("issue", how, times=1)
    with pytest.raises(error):
        await target.issue(plan)
    assert (plan.account in target.accounts) is exists


async def test_a_fault_can_wait_for_the_nth_call(target):
    """``after`` lets calls pass first, and ``times`` ends the fault."""
    plan = _plan(target)
    target.fail("disable", Fault.NOT_DONE, times=1, after=1)
    await target.disable(plan)
    with pytest.raises(TargetUnknownError):
        await target.disable(plan)
    await target.disable(plan)


async def test_a_silent_target_is_unknown_not_refused(target):
    """While down, a probe says unknown and everything else raises unknown."""
    plan = _plan(target)
    issued = await target.issue(plan)
    target.down = True
    assert (await target.probe(plan, issued.credential)).attempt is Attempt.UNKNOWN
    with pytest.raises(TargetUnknownError):
        await target.revoke(plan)


async def test_what_a_session_leaves_behind_is_found(target):
    """A role made by the session shows in the diff; what the account owned goes with it."""
    before = await target.issue(_plan(target))
    session = target.open_session(before.credential.username, before.credential.secret)
    session.leave("role", "backdoor")
    session.leave("table", "scratch", owned=True)
    await target.revoke(_plan(target))
    found = await target.diff_persistence(_plan(target), before.baseline)
    assert [(item.kind, item.name) for item in found] == [("role", "backdoor")]
    assert found == await target.diff_persistence(_plan(target), None)


async def test_an_unreachable_standby_is_not_dead(target):
    """A session on an endpoint that does not answer is unknown, so the account is not dead."""
    target.endpoints = ("standby",)
    plan = _plan(target)
    issued = await target.issue(plan)
    session = target.open_session(plan.account, issued.credential.secret, "standby")
    target.unreachable = {"standby"}
    await target.disable(plan)
    with pytest.raises(TargetUnknownError):
        await target.kill_sessions(plan)
    await target.revoke(plan)
    absence = await target.verify_absent(plan, issued.credential)
    assert absence.unreachable == ("standby",)
    assert absence.dead is False
    assert session.work()


def test_handles_of_others_are_refused(target):
    """A plan for another installation's handle or an unknown role is an error of the request."""
    with pytest.raises(RequestError):
        _plan(target, handle="zzz999x1")
    with pytest.raises(RequestError):
        target.plan(MintRequest(handle="abc123x1", target="t", role="dba", not_after=START))


async def test_disabled_accounts_refuse_logins(target):
    """After ``disable`` the old secret is refused, also when the account has gone already."""
    plan = _plan(target)
    issued = await target.issue(plan)
    await target.disable(plan)
    with pytest.raises(LoginRefusedError):
        target.open_session(plan.account, issued.credential.secret)
    await target.revoke(plan)
    await target.disable(plan)


async def test_sleep_waits_for_the_simulated_clock(clock):
    """A sleeper wakes when the clock was advanced far enough, and a jump does not wake it."""
    async with asyncio.TaskGroup() as tasks:
        sleeper = tasks.create_task(clock.sleep(timedelta(seconds=5)))
        await asyncio.sleep(0)
        clock.jump(timedelta(hours=1))
        clock.advance(timedelta(seconds=4))
        await asyncio.sleep(0)
        assert not sleeper.done()
        clock.advance(timedelta(seconds=1))
    assert clock.monotonic() == 5
    clock.advance(timedelta(seconds=-60))
    assert clock.monotonic() == 5


async def test_an_automatic_clock_moves_itself():
    """With ``auto`` a sleep returns at once and time has passed."""
    clock = SimulatedClock(auto=True)
    await clock.sleep(timedelta(minutes=1))
    assert clock.now() == START + timedelta(minutes=1)
