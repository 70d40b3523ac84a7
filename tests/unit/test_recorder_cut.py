"""What the recorder does about a session that it ended itself, and about what comes behind."""

import asyncio

import pytest

from callpoint.domain import event as ev
from callpoint.domain.allowance import Used
from callpoint.domain.errors import LogUnavailableError, StoreUnavailableError
from callpoint.lifecycle.session_recorder import DISAGREES
from callpoint.ports.authority import Outcome
from tests.fakes.beside import lax, running
from tests.unit.test_authority import DELETE, READ, told


async def test_a_decision_on_its_way_does_not_delay_the_end_of_its_session():
    """Behind a cut it spends in advance as ever: the end is written at once all the same."""
    made = await lax()
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        live = await made.authority._keeping.get(session)
        made.recorder.cut(live, DISAGREES)
        made.recorder.keep(live)
        await made.settled()
        assert [e.reason for e in told(made.world, ev.SessionEnded)] == [DISAGREES]


async def test_the_last_number_is_of_an_action_that_can_be_on_record(monkeypatch):
    """What the store was never given, and what an end overtook, would look like a lost record."""
    made = await lax()
    store, transact, gate = made.world.store, made.world.store.transact, asyncio.Event()

    async def late(work, **how):
        await gate.wait()
        return await transact(work, **how)

    async def silent(_work):
        raise StoreUnavailableError("no answer", way_out="try again")

    session = (await made.open()).session
    with monkeypatch.context() as patch:
        patch.setattr(store, "read", silent)
        with pytest.raises(StoreUnavailableError):
            await made.authority.decide(session, READ)
    assert (await made.authority.decide(session, READ)).number == 1
    with monkeypatch.context() as patch:
        patch.setattr(store, "transact", late)
        report = asyncio.ensure_future(made.authority.report(session, Outcome(1, Used())))
        await made.settled()
        behind = asyncio.ensure_future(made.authority.decide(session, DELETE))
        await made.settled()
        end = asyncio.ensure_future(made.authority.end_session(session, "left"))
        behind.cancel()  # its client is gone, and it waits for the outcome's record
        await asyncio.wait([behind])
        gate.set()
        await asyncio.gather(report, end)
    (closed,) = told(made.world, ev.SessionClosed)
    assert closed.actions == 1


@pytest.mark.parametrize("runs", [False, True], ids=["taken back", "begins later all the same"])
@pytest.mark.parametrize("how", ["cancelled", "silent", "no log"])
async def test_a_decision_that_was_given_up_before_it_began_has_no_number(monkeypatch, how, runs):
    """Its client is gone, or the store says nothing: nothing is on record, and nothing missing."""
    made = await lax()
    store, transact, gate = made.world.store, made.world.store.transact, asyncio.Event()
    begun: list[asyncio.Future[object]] = []

    async def late(work, **words):
        if how == "cancelled":
            # As a store does that took the work just before who asked for it went away.
            begun.append(asyncio.ensure_future(behind(work, words)))
            return await asyncio.shield(begun[0])
        if how == "no log":
            raise LogUnavailableError("the log cannot be signed now")
        begun.append(asyncio.ensure_future(behind(work, words)))
        raise StoreUnavailableError("no answer", way_out="try again")

    async def behind(work, words):
        await gate.wait()
        return await transact(work, **words) if runs else None

    session = (await made.open()).session
    assert (await made.authority.decide(session, DELETE)).number == 1
    with monkeypatch.context() as patch:
        patch.setattr(store, "transact", late)
        asked = asyncio.ensure_future(made.authority.decide(session, DELETE))
        await made.settled()
        asked.cancel()
        await asyncio.wait([asked])
    gate.set()
    await asyncio.gather(*begun, return_exceptions=True)
    assert (await made.authority.decide(session, DELETE)).number == 2
    await made.authority.end_session(session, "left")
    assert [one.number for one in told(made.world, ev.ActionDecided)] == [1, 2]
    (closed,) = told(made.world, ev.SessionClosed)
    assert closed.actions == 2


async def test_a_decision_that_had_begun_keeps_its_number(monkeypatch):
    """It may be on record, so no other action gets its number."""
    made = await lax()
    store, transact = made.world.store, made.world.store.transact

    async def lost(work, **how):
        await transact(work, **how)
        raise StoreUnavailableError("no answer", way_out="try again")

    session = (await made.open()).session
    with monkeypatch.context() as patch:
        patch.setattr(store, "transact", lost)
        with pytest.raises(StoreUnavailableError):
            await made.authority.decide(session, DELETE)
    assert (await made.authority.decide(session, DELETE)).number == 2
    assert [one.number for one in told(made.world, ev.ActionDecided)] == [1, 2]
