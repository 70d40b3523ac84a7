"""``evidence = "with"``: a reader's yes may come before its record, and never anything else."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Rate, Used
from callpoint.domain.errors import ConflictError, StoreUnavailableError
from callpoint.domain.gateway import Evidence
from callpoint.domain.kill import Scope
from callpoint.domain.operation import Operation
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import Spending
from callpoint.lifecycle import give_back, kill
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.session_recorder import DISAGREES, FAILED, MOST_AHEAD, Recorder
from callpoint.ports.authority import Deed, Outcome, Reach, Standing
from tests.fakes.behind import GATEWAY
from tests.fakes.beside import Lax, lax, running
from tests.fakes.invariants import check_always
from tests.unit.test_authority import DELETE, READ, told


def evidence(made: Lax) -> list[tuple[int, Evidence]]:
    """Of each decision on record, in order."""
    return [(e.number, e.evidence) for e in told(made.world, ev.ActionDecided)]


async def spent_rows(made: Lax) -> int:
    """As it is stored."""
    read = made.world.services.store.read
    return (await read(lambda view: view.get(Spending, made.activation))).rows


async def never(*_args, **_kwargs):
    """A store that does not answer."""
    await asyncio.Event().wait()


async def test_a_reader_does_not_wait_for_its_record():
    """The first yes waits; the next come before their records, which follow in order and say so."""
    made = await lax()
    async with running(made.recorder):
        session = (await made.open()).session
        for number in (1, 2, 3):
            verdict = await made.authority.decide(session, READ)
            assert (verdict.allowed, verdict.number) == (True, number)
            await made.authority.report(session, Outcome(number, Used(1, 2)))
        assert evidence(made) == [(1, Evidence.BEFORE)]
        await made.settled()
        assert evidence(made) == [(1, Evidence.BEFORE), (2, Evidence.WITH), (3, Evidence.WITH)]
        events = told(made.world, ev.ActionDecided)
        assert [e.answered_at for e in events] == [None, *[made.world.clock.now()] * 2]
        assert [e.number for e in told(made.world, ev.ActionFinished)] == [1, 2, 3]
        await made.authority.end_session(session, "left")
    (closed,) = told(made.world, ev.SessionClosed)
    assert closed.actions == 3
    check_always(made.world.store.state, {})


@pytest.mark.parametrize(
    "deed",
    [
        DELETE,
        Deed((*READ.operations, Operation("sql:set", "search_path"))),
        Deed((Operation("ddl:create-view", "public.v"), *READ.operations)),
        Deed((), "SET ROLE x", refused="SET ROLE is never allowed"),
        Deed((Operation("sql:sorcery", "x"),)),
    ],
)
async def test_whatever_is_no_pure_read_is_recorded_before(deed):
    """A writer, whoever steers or defines, and every no wait, behind the reads before them."""
    made = await lax()
    async with running(made.recorder):
        session = (await made.open()).session
        for _ in range(2):
            await made.authority.decide(session, READ)
        await made.authority.decide(session, deed)
        assert evidence(made) == [
            (1, Evidence.BEFORE), (2, Evidence.WITH), (3, Evidence.BEFORE),
        ]  # fmt: skip


async def test_without_the_recorder_everything_is_recorded_before():
    """It has not begun, or has stopped: nobody would write what was left to it."""
    made = await lax()
    session = (await made.open()).session
    await made.authority.decide(session, READ)
    await made.authority.decide(session, READ)
    async with running(made.recorder):
        await made.authority.decide(session, READ)
        await made.authority.decide(session, READ)
    await made.authority.decide(session, READ)
    kinds = [kind.value for _, kind in evidence(made)]
    assert kinds == ["before", "before", "with", "with", "before"]


@pytest.mark.parametrize("how", ["kill", "return", "person"])
async def test_nothing_is_allowed_once_it_is_over(how):
    """What ends it is in force for the very next action, although nobody asked the store again."""
    made = await lax()
    services, caller = made.world.services, made.world.caller
    async with running(made.recorder):
        session = (await made.open()).session
        assert [(await made.authority.decide(session, READ)).allowed for _ in "ab"] == [True] * 2
        match how:
            case "kill":
                await kill.kill(services, caller("bob"), Scope.PRINCIPAL, "alice")
            case "return":
                await give_back.give_back(services, caller("alice"), made.activation)
            case _:
                made.world.clock.advance(timedelta(hours=1))
        with pytest.raises(ConflictError):
            await made.authority.decide(session, READ)
        await made.settled()
        assert [number for number, _ in evidence(made)] == [1, 2]


async def test_what_was_confirmed_two_seconds_ago_counts_no_more():
    """Then the store is asked again, and the answer is recorded before it is given (I4)."""
    made = await lax()
    async with running(made.recorder):
        session = (await made.open()).session
        for wait in (0, 0, 2, 0):
            made.world.clock.advance(timedelta(seconds=wait))
            await made.authority.decide(session, READ)
            await made.settled()
    kinds = [kind.value for _, kind in evidence(made)]
    assert kinds == ["before", "with", "before", "with"]


async def test_a_record_that_disagrees_ends_the_session():
    """Paused behind this process's back: the record stands, and the session is over, on record."""
    made = await lax()
    async with running(made.recorder):
        session = (await made.open()).session
        orders = made.authority.cuts()
        assert await anext(orders) is None
        await made.authority.decide(session, READ)
        row = made.world.store.state.records[Session, session][0]
        assert isinstance(row, Session)
        await made.world.store.transact(lambda tx: tx.put(row.moved(SessionState.PAUSED)))
        assert (await made.authority.decide(session, READ)).allowed
        order = await anext(orders)
        assert order is not None
        assert (order.reach, order.about, order.reason) == (Reach.SESSION, session, DISAGREES)
        with pytest.raises(ConflictError):
            await made.authority.decide(session, READ)
        assert await made.authority.standing([session]) == {session: Standing.OVER}
        made.world.clock.advance(timedelta(seconds=1))
        await made.settled()
        assert [e.reason for e in told(made.world, ev.SessionEnded)] == [DISAGREES]
        assert [number for number, _ in evidence(made)] == [1, 2]
        await orders.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_a_row_that_moved_for_a_good_reason_ends_nothing():
    """Somebody noted that its gateway was heard of: the answers would be the same."""
    made = await lax()
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        row = made.world.store.state.records[Session, session][0]
        assert isinstance(row, Session)
        moved = msgspec.structs.replace(row, heard_at=made.world.clock.now())
        await made.world.store.transact(lambda tx: tx.put(moved))
        for _ in range(3):
            assert (await made.authority.decide(session, READ)).allowed
            await made.settled()
        assert [number for number, _ in evidence(made)] == [1, 2, 3, 4]
    assert not told(made.world, ev.SessionEnded)


@pytest.mark.parametrize("when", ["before", "after", "log"])
async def test_a_record_that_fails_ends_the_session(when):
    """The store or the log: cut at once; later each record is there once, and the end."""
    made = await lax()
    store = made.world.store
    async with running(made.recorder):
        session = (await made.open()).session
        other = (await made.open()).session
        for one in (session, session, other):
            await made.authority.decide(one, READ)
        await made.settled()
        assert (await made.authority.decide(session, READ)).allowed

        def fail() -> None:
            raise StoreUnavailableError("the disk is full")

        if when == "log":
            store.log_down = True
        else:
            setattr(store, when, fail)
        await made.settled()
        with pytest.raises(ConflictError, match=FAILED):
            await made.authority.decide(session, READ)
        if when != "log":
            with pytest.raises(StoreUnavailableError):  # nobody is answered from memory now
                await made.authority.decide(other, READ)
        store.log_down, store.before, store.after = False, lambda: None, lambda: None
        made.world.clock.advance(timedelta(seconds=1))
        await made.settled()
        own = [e.number for e in told(made.world, ev.ActionDecided) if e.session == session]
        assert own == [1, 2, 3]
        assert [e.session for e in told(made.world, ev.SessionEnded)] == [session]
        assert (await made.authority.decide(other, READ)).allowed


async def test_what_a_crash_loses_shows_as_a_gap(monkeypatch):
    """Nothing says that the last ones were recorded; whoever goes on leaves their numbers free."""
    made = await lax()
    async with running(made.recorder) as task:
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        with monkeypatch.context() as patch:
            patch.setattr(made.world.store, "transact", never)
            for _ in range(2):
                await made.authority.decide(session, READ)
            await made.settled()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    second = GatewayAuthority(made.world.services, GATEWAY)
    assert (await second.decide(session, READ)).number == 1 + MOST_AHEAD + 1
    await second.end_session(session, "left")
    assert [number for number, _ in evidence(made)] == [1, 1 + MOST_AHEAD + 1]


async def test_what_is_ahead_of_the_log_is_bounded(monkeypatch):
    """So many answers, and so old a one: then the next waits until one is durable."""
    made = await lax()
    gate, transact = asyncio.Event(), made.world.store.transact

    async def slow(*args, **kwargs):
        await gate.wait()
        return await transact(*args, **kwargs)

    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        monkeypatch.setattr(made.world.store, "transact", slow)
        for _ in range(MOST_AHEAD):
            await made.authority.decide(session, READ)
        async with asyncio.TaskGroup() as group:
            late = group.create_task(made.authority.decide(session, READ))
            await made.settled()
            assert not late.done()
            gate.set()
        assert late.result().allowed
        gate.clear()
        await made.authority.decide(session, READ)
        made.world.clock.advance(timedelta(seconds=1.1))
        async with asyncio.TaskGroup() as group:
            late = group.create_task(made.authority.decide(session, READ))
            await made.settled()
            assert not late.done()
            gate.set()
    assert [number for number, _ in evidence(made)] == list(range(1, MOST_AHEAD + 5))


@pytest.mark.parametrize(
    "allowance, beside",
    [
        (Allowance(actions=1000, rows=100_000), ["before", "with", "with"]),
        (Allowance(actions=20), ["before", "before", "before"]),
        (Allowance(rate=Rate(100, timedelta(minutes=1))), ["before", "before", "before"]),
        (Allowance(objects=2), ["before", "with", "with"]),
    ],
)
async def test_only_what_was_spent_before_is_spent_beside(allowance, beside):
    """A portion is set aside in the store first; near the end, and where a rate counts, none is."""
    made = await lax(allowance)
    async with running(made.recorder):
        session = (await made.open()).session
        for number in (1, 2, 3):
            verdict = await made.authority.decide(session, READ)
            assert verdict.allowed
            await made.authority.report(session, Outcome(number, Used(rows=3)))
        await made.settled()
        other = Deed((Operation("sql:select", "public.other"),))
        await made.authority.decide(session, other)
        await made.authority.end_session(session, "left")
    kinds = [kind.value for _, kind in evidence(made)]
    assert kinds[:3] == beside
    assert kinds[3] == ("before" if allowance.objects else beside[2])
    spent = await made.world.services.store.read(lambda v: v.get(Spending, made.activation))
    assert spent.actions == 4 or allowance.actions is None
    assert spent.rows >= 9 or allowance.rows is None


async def test_what_is_handed_out_while_a_record_is_written_stays_spent(monkeypatch):
    """The store commits, and before it says so more is answered: that is counted all the same."""
    made = await lax(Allowance(actions=1000, rows=4000))
    gate, transact = asyncio.Event(), made.world.store.transact

    async def late(work, *, urgent=False):
        answer = await transact(work, urgent=urgent)
        await gate.wait()
        return answer

    async with running(made.recorder):
        session = (await made.open()).session
        given = [(await made.authority.decide(session, READ)).portion.rows or 0]
        with monkeypatch.context() as patch:
            patch.setattr(made.world.store, "transact", late)
            for _ in range(6):
                given.append((await made.authority.decide(session, READ)).portion.rows or 0)
                await asyncio.sleep(0)
            assert evidence(made)[1:], "nothing was written meanwhile"
            gate.set()
            await made.settled()
        # What is still set aside is given back here; what the seven actions hold is not.
        await made.authority.end_session(session, "left")
    spent = await made.world.services.store.read(lambda v: v.get(Spending, made.activation))
    assert (spent.actions, spent.rows) == (7, sum(given))


@pytest.mark.parametrize("by", ["decision", "outcome", "late"])
async def test_an_outcome_gives_back_once_what_it_did_not_use(monkeypatch, by):
    """Its record was committed and nobody said so: the next attempt gives nothing back again."""
    made = await lax(Allowance(actions=1000, rows=4000))
    transact = made.world.store.transact

    async def unanswered(work, **how):
        await transact(work, **how)
        raise StoreUnavailableError("no answer", way_out="try again")

    async with running(made.recorder):
        session = (await made.open()).session
        verdicts = [await made.authority.decide(session, DELETE) for _ in "ab"]
        if by != "decision":  # without what writes it in the background, it is written at once
            idle = Recorder(made.world.services)
            made.authority = GatewayAuthority(made.world.services, GATEWAY, idle)
            verdicts = [await made.authority.decide(session, DELETE) for _ in "ab"]
        outcome = Outcome(verdicts[0].number, Used(rows=1))
        with monkeypatch.context() as patch:
            patch.setattr(made.world.store, "transact", unanswered)
            attempt: Coroutine[Any, Any, object] = made.authority.report(session, outcome)
            if by == "decision":  # it rides along with the next one
                await attempt
                attempt = made.authority.decide(session, DELETE)
            with pytest.raises(StoreUnavailableError):
                await attempt
        if by == "late":  # something else was written meanwhile
            await made.authority.decide(session, DELETE)
        before = await spent_rows(made)
        if by != "decision":
            await made.authority.report(session, outcome)
        last = await made.authority.decide(session, DELETE)
    finished = [e.number for e in told(made.world, ev.ActionFinished)]
    assert finished == [verdicts[0].number]
    assert await spent_rows(made) >= before + (last.portion.rows or 0)


async def test_an_idle_session_gives_back_what_it_has_set_aside():
    """Others can spend it."""
    made = await lax(Allowance(actions=1000))
    recorder = Recorder(made.world.services)
    made.authority = GatewayAuthority(made.world.services, GATEWAY, recorder)
    async with running(recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        read = made.world.services.store.read
        assert (await read(lambda v: v.get(Spending, made.activation))).actions > 1
        made.world.clock.advance(timedelta(seconds=1))
        await asyncio.sleep(1.1)
        assert (await read(lambda v: v.get(Spending, made.activation))).actions == 1
