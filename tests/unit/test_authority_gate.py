"""What gives access through a gateway asks policy; what takes it away asks nobody and waits not."""

from collections.abc import AsyncGenerator, Callable

import pytest

from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Used
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    LogUnavailableError,
    StoreUnavailableError,
)
from callpoint.domain.governance import Bundle
from callpoint.domain.kill import Scope
from callpoint.domain.session import SessionState
from callpoint.lifecycle import kill
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.resume import resume
from callpoint.ports.authority import Arrival, Outcome, Reach, Standing
from callpoint.ports.decider import Decider
from tests.fakes.behind import GATEWAY, SOURCE, connect
from tests.unit.test_authority import READ, opened, row, told
from tests.unit.test_one_gate import broken, denying

BARRED = pytest.mark.parametrize("build", [denying, broken])


@BARRED
async def test_no_session_opens(build: Callable[[Bundle], Decider]):
    """Policy says no, or is broken: no session, no credential, and the secret is not spent."""
    world, authority, made = await opened()
    second = await connect(world, made.activation)
    barred = GatewayAuthority(world.with_decider(build).services, GATEWAY)
    arrival = Arrival(second.connection.id, SOURCE, GATEWAY)
    with pytest.raises(DeniedError):
        await barred.open_session(arrival)
    assert len(told(world, ev.SessionOpened)) == 1
    assert [e.decision.allowed for e in told(world, ev.AccessRefused)] == [False]
    assert (await authority.open_session(arrival)).session


@BARRED
async def test_nothing_is_allowed_and_everything_ends(build: Callable[[Bundle], Decider]):
    """Each action is refused, on record; a report is taken, and the session ends as ever."""
    world, authority, made = await opened()
    before = await authority.decide(made.session, READ)
    barred = GatewayAuthority(world.with_decider(build).services, GATEWAY)
    verdict = await barred.decide(made.session, READ)
    assert (verdict.allowed, bool(verdict.reasons)) == (False, True)
    assert [e.allowed for e in told(world, ev.ActionDecided)] == [True, False]
    assert await barred.report(made.session, Outcome(before.number, Used())) is Standing.OPEN
    await barred.end_session(made.session, "gone")
    assert (await row(world, made.session)).state is SessionState.CLOSED


@BARRED
async def test_nobody_resumes(build: Callable[[Bundle], Decider]):
    """What an allowance has stopped stays stopped."""
    world, authority, made = await opened(allowance=Allowance(actions=0))
    assert (await authority.decide(made.session, READ)).is_paused
    barred = world.with_decider(build)
    with pytest.raises(DeniedError):
        await resume(barred.services, world.caller("carol"), made.activation, "I looked")
    assert (await row(world, made.session)).state is SessionState.PAUSED


async def test_without_the_log_nothing_is_allowed_and_everything_ends():
    """No evidence, no action; what was done is told, a kill goes through, all is logged later."""
    world, authority, made = await opened()
    first = await authority.decide(made.session, READ)
    world.store.log_down = True
    with pytest.raises(LogUnavailableError):
        await authority.decide(made.session, READ)
    assert await authority.report(made.session, Outcome(first.number, Used(1, 2))) is Standing.OPEN
    await kill.kill(world.services, world.caller("bob"), Scope.ACTIVATION, made.activation)
    await authority.end_session(made.session, "killed")
    world.store.log_down = False
    await world.store.merge_spool()
    with pytest.raises(ConflictError):
        await authority.decide(made.session, READ)
    ended = [e.reason for e in told(world, ev.SessionEnded)]
    assert (ended, len(told(world, ev.ActionFinished))) == (["killed"], 1)
    assert not world.store.state.spool


async def test_without_the_store_nothing_is_allowed():
    """Nobody can say, so nothing is let through; and nothing is numbered twice afterwards."""
    world, authority, made = await opened()
    world.store.dead = True
    with pytest.raises(StoreUnavailableError):
        await authority.decide(made.session, READ)
    world.store.dead = False
    numbers = [(await authority.decide(made.session, READ)).number for _ in range(2)]
    assert len(set(numbers)) == 2


async def test_a_kill_reaches_every_gateway_that_listens():
    """The order is pushed, and it covers the session."""
    world, authority, made = await opened()
    orders = authority.cuts()
    assert await anext(orders) is None
    await kill.kill(world.services, world.caller("bob"), Scope.PRINCIPAL, "alice")
    order = await anext(orders)
    assert order is not None
    assert (order.reach, order.covers(made)) == (Reach.PRINCIPAL, True)
    assert isinstance(orders, AsyncGenerator)
    await orders.aclose()
