"""Offline grants and journals, where reads are answered beside their record and outcomes ride."""

import asyncio
from datetime import timedelta

import pytest

from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Portion, Used
from callpoint.domain.errors import ConflictError, RequestError
from callpoint.domain.gateway import Evidence
from callpoint.domain.offline import OnLoss, grant_digest
from callpoint.domain.offline_journal import (
    BEGINNING,
    Chained,
    DecidedOffline,
    FinishedOffline,
    GrantUsed,
    JournalEntry,
    LeftOffline,
    ReportedLate,
    Told,
    chained,
)
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import Spending
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.session_memory import LiveSession
from callpoint.lifecycle.session_recorder import DISAGREES
from callpoint.ports.authority import Outcome, Standing
from tests.fakes.authority import GRANTS
from tests.fakes.behind import GATEWAY
from tests.fakes.beside import Lax, lax, running
from tests.fakes.invariants import check_always, history
from tests.unit.test_authority import READ, told

JOURNAL = "journal1"


async def enduring(allowance: Allowance | None = None) -> Lax:
    return await lax(allowance, GRANTS, on_loss=OnLoss.OFFLINE)


async def granted(made: Lax, session: str) -> str:
    """Its grant; empty for none."""
    return (await made.authority.grants(JOURNAL, [session])).grants.get(session, "")


async def spent(made: Lax) -> Spending:
    return await made.world.services.store.read(lambda view: view.get(Spending, made.activation))


def journal(*entries: JournalEntry) -> Told:
    found: list[Chained] = []
    for entry in entries:
        before = found[-1].hash if found else BEGINNING
        found.append(chained(len(found) + 1, before, entry))
    return Told(JOURNAL, tuple(found), is_whole=True)


def stream(made: Lax, session: str) -> list[tuple[str, int]]:
    """The actions in its own stream, in order."""
    events = [item.event for item in history(made.world.store.state)]
    return [
        (ev.name(event), event.number)
        for event in events
        if isinstance(event, ev.ActionDecided | ev.ActionFinished) and event.session == session
    ]


def remembered(made: Lax, session: str) -> LiveSession:
    """What the authority's process knows of it."""
    live = made.authority._keeping.find(session)
    assert live is not None
    return live


def stopped(made: Lax, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder takes nothing from here on: what is answered beside its record waits."""

    async def nothing() -> list[object]:
        await asyncio.sleep(0)
        return []

    monkeypatch.setattr(made.recorder, "_taken", nothing)


async def test_a_grant_between_reads_disturbs_none_of_them():
    """It changes the session's row: what waits is recorded in order, and reads stay as fast."""
    made = await enduring(Allowance(actions=1000, rows=10_000))
    async with running(made.recorder):
        session = (await made.open()).session
        for _ in range(3):
            one, other, token = await asyncio.gather(
                made.authority.decide(session, READ),
                made.authority.decide(session, READ),
                granted(made, session),
            )
            assert one.allowed
            assert other.allowed
            assert GRANTS.read(token).operations in ((), READ.operations)
        await made.settled()
        assert (await made.authority.decide(session, READ)).number == 7
        await made.settled()
    kinds = [(e.number, e.evidence) for e in told(made.world, ev.ActionDecided)]
    assert [number for number, _ in kinds] == list(range(1, 8))
    assert [kind for _, kind in kinds].count(Evidence.WITH) >= 4
    assert kinds[-1][1] is Evidence.WITH
    assert not told(made.world, ev.SessionEnded)


async def test_what_is_spent_in_advance_is_not_granted_as_well():
    """Stock, grant, and what is spent are together no more than the activation's allowance."""
    made = await enduring(Allowance(actions=128, rows=100))
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        row = await spent(made)
        assert row.actions > 1
        assert row.rows > 0
        left = GRANTS.read(await granted(made, session)).allowance
        assert left.rows == 100 - row.rows
        assert left.actions == 20  # the offline allowance is less
        again = await spent(made)
        assert (again.actions, again.rows) == (row.actions, row.rows)


async def test_a_grant_that_finds_the_rows_moved_looks_at_what_is_ahead(monkeypatch):
    """A read that rested on what was so before is not let off: it ends the session, no grant."""
    made = await enduring()
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        stopped(made, monkeypatch)
        row = made.world.store.state.records[Session, session][0]
        assert isinstance(row, Session)
        await made.world.store.transact(lambda tx: tx.put(row.moved(SessionState.PAUSED)))
        assert (await made.authority.decide(session, READ)).allowed
        assert await granted(made, session) == ""
        assert await made.authority.standing([session]) == {session: Standing.OVER}
        with pytest.raises(ConflictError, match=DISAGREES):
            await made.authority.decide(session, READ)
        monkeypatch.undo()
        await made.settled()
    assert [e.reason for e in told(made.world, ev.SessionEnded)] == [DISAGREES]


async def test_a_late_outcome_goes_behind_what_waits(monkeypatch):
    """Also of an action that is not on record yet; told once more, it changes nothing."""
    made = await enduring(Allowance(rows=1000))
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        await made.authority.report(session, Outcome(1, Used(rows=1)))
        stopped(made, monkeypatch)
        for _ in range(2):
            assert (await made.authority.decide(session, READ)).allowed
        at = made.world.clock.now()
        twice = [ReportedLate(session, number, Used(rows=5), at) for number in (2, 1, 2)]
        assert (await made.authority.take(journal(*twice))).seq == 3
        monkeypatch.undo()
        await made.authority.report(session, Outcome(3, Used(rows=7)))
        await made.authority.end_session(session, "left")
        assert stream(made, session) == [
            ("action:decided", 1),
            ("action:finished", 1),
            ("action:decided", 2),
            ("action:decided", 3),
            ("action:finished", 2),
            ("action:finished", 3),
        ]
    assert (await spent(made)).rows == 1 + 5 + 7
    assert not told(made.world, ev.ActionFinishedOffline)
    check_always(made.world.store.state, {})


async def test_a_late_outcome_after_a_crash(monkeypatch):
    """What the dead process had not written: an outcome is, and an action shows that it was."""
    made = await enduring(Allowance(rows=1000))
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        stopped(made, monkeypatch)
        await made.authority.report(session, Outcome(1, Used(rows=1)))
        await made.authority.decide(session, READ)
        at = made.world.clock.now()
        second = GatewayAuthority(made.world.services, GATEWAY, grants=GRANTS)
        late = [ReportedLate(session, number, Used(rows=5), at) for number in (1, 2)]
        await second.take(journal(*late))
        (finished,) = told(made.world, ev.ActionFinished)
        assert (finished.number, finished.rows) == (1, 5)
        (beside,) = told(made.world, ev.ActionFinishedOffline)
        assert (beside.number, beside.rows, beside.is_late) == (2, 5, True)
        assert "decided about the action is not on record" in beside.trouble
        (finding,) = [event.finding for event in told(made.world, ev.FindingRaised)]
        assert finding.kind == "offline_trouble"
        made.recorder.forget(remembered(made, session))  # it is dead


@pytest.mark.parametrize("how", ["recorder", "decision", "report", "end", "journal", "taken over"])
async def test_an_outcome_told_to_two_processes_counts_once(monkeypatch, how):
    """One has it waiting, the other is told by the journal: it is on record once, and counts so."""
    made = await enduring(Allowance(rows=1000))
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        await made.settled()
        if how == "report":
            assert (await made.authority.decide(session, READ)).number == 2
            await made.settled()
        stopped(made, monkeypatch)
        await made.authority.report(session, Outcome(1, Used(rows=7)))
        second = GatewayAuthority(made.world.services, GATEWAY, grants=GRANTS)
        if how == "taken over":
            await second.decide(session, READ)
        late = ReportedLate(session, 1, Used(rows=7), made.world.clock.now())
        await second.take(journal(late))
        if how == "decision":
            assert (await made.authority.decide(session, READ)).allowed
        elif how == "report":
            made.recorder._is_open = False  # so it is put on record now, behind what waits
            await made.authority.report(session, Outcome(2, Used()))
        elif how == "end":
            await made.authority.end_session(session, "left")
        elif how == "journal":
            await made.authority.take(journal(late))
        monkeypatch.undo()
        await made.settled()
        assert stream(made, session).count(("action:finished", 1)) == 1
        await made.authority.end_session(session, "left")
    for action in ("action:decided", "action:finished"):
        numbers = [number for name, number in stream(made, session) if name == action]
        assert len(numbers) == len(set(numbers))
    if how in {"recorder", "report", "end", "journal"}:  # nothing else holds anything
        assert (await spent(made)).rows == 7
    assert (await spent(made)).rows >= 7
    check_always(made.world.store.state, {})


async def test_an_outcome_that_is_told_while_more_is_drawn_for_it_counts_once(monkeypatch):
    """The draw hangs, the journal says how it ended: the action holds nothing more to settle."""
    made = await enduring(Allowance(rows=1000))
    store, transact, gate = made.world.store, made.world.store.transact, asyncio.Event()
    hung: list[object] = []

    async def late(work, **how):
        if not hung:
            hung.append(work)
            await gate.wait()
        return await transact(work, **how)

    session = (await made.open()).session
    verdict = await made.authority.decide(session, READ)
    with monkeypatch.context() as patch:
        patch.setattr(store, "transact", late)
        draw = asyncio.ensure_future(made.authority.draw(session, 1, Used(rows=3)))
        await made.settled()
        told_late = ReportedLate(session, 1, Used(rows=7), made.world.clock.now())
        await made.authority.take(journal(told_late))
        gate.set()
        await draw
    with pytest.raises(RequestError, match="no action 1 under way"):
        await made.authority.report(session, Outcome(1, Used(rows=7)))
    assert stream(made, session) == [("action:decided", 1), ("action:finished", 1)]
    assert (await spent(made)).rows >= 7
    assert verdict.allowed


@pytest.mark.parametrize("kept", [True, False])
async def test_a_session_that_was_left_closes_behind_what_waits(monkeypatch, kept):
    """By who numbered its actions with the last number; by somebody else without."""
    made = await enduring(Allowance(actions=1000))
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        if kept:
            stopped(made, monkeypatch)
            await made.authority.decide(session, READ)
        taker = made.authority
        if not kept:
            taker = GatewayAuthority(made.world.services, GATEWAY, grants=GRANTS)
        await taker.take(journal(LeftOffline(session, "closed", made.world.clock.now())))
        monkeypatch.undo()
        await made.settled()
        (closed,) = told(made.world, ev.SessionClosed)
        assert closed.actions == (2 if kept else None)
        assert [e.number for e in told(made.world, ev.ActionDecided)] == [1, 2][: 1 + kept]
        if kept:
            with pytest.raises(ConflictError):
                await made.authority.decide(session, READ)
            assert (await spent(made)).actions == 2


async def test_what_is_set_aside_stops_no_session(monkeypatch):
    """Told actions and a stock exceed the allowance; what was really done does not."""
    made = await enduring(Allowance(rows=100))
    async with running(made.recorder):
        one, other = (await made.open()).session, (await made.open()).session
        for number, session in enumerate((one, other)):
            await made.authority.decide(session, READ)
            await made.authority.report(session, Outcome(1, Used(rows=number)))
        stopped(made, monkeypatch)
        aside = (await spent(made)).rows
        token = await granted(made, one)
        at = made.world.clock.now()
        digest = grant_digest(token)
        decided = DecidedOffline(
            one, 1, digest, at, READ.operations, True, portion=Portion(rows=99 - aside // 2)
        )
        assert aside + 99 - aside // 2 > 100
        await made.authority.take(journal(GrantUsed(one, token), decided))
        assert not told(made.world, ev.SessionPaused)
        ended = FinishedOffline(one, 1, Used(rows=100), at)
        await made.authority.take(journal(GrantUsed(one, token), decided, ended))
        assert [e.because for e in told(made.world, ev.SessionPaused)] == ["100 rows are spent"]
        monkeypatch.undo()


async def test_a_gateway_gives_nothing_back_that_it_did_not_spend():
    """Less than nothing used, or held, is nothing; more than it held counts in full."""
    made = await enduring(Allowance(rows=100, actions=50))
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        await made.authority.report(session, Outcome(1, Used(rows=40)))
        await made.authority.decide(session, READ)
        await made.authority.report(session, Outcome(2, Used(rows=-30)))
        await made.authority.end_session(session, "left")
        session = (await made.open()).session
        token = await granted(made, session)
        at = made.world.clock.now()
        decided = [
            DecidedOffline(session, n, grant_digest(token), at, READ.operations, True, portion=held)
            for n, held in enumerate((Portion(rows=-30), Portion(rows=2)), 1)
        ]
        lies = (
            FinishedOffline(session, 1, Used(rows=-30), at),
            FinishedOffline(session, 1, Used(rows=-30), at),
            FinishedOffline(session, 2, Used(rows=5), at),
        )
        first: tuple[JournalEntry, ...] = (GrantUsed(session, token), *decided)
        await made.authority.take(journal(*first))
        await made.authority.take(journal(*first, *lies))
    row = await spent(made)
    assert (row.rows, row.actions) == (45, 4)
    told_of = told(made.world, ev.ActionFinishedOffline)
    assert [one.rows for one in told_of] == [0, 0, 5]
    assert "nothing is known" in told_of[1].trouble


async def test_a_paused_session_behind_its_back_is_not_granted():
    """Nor one that this process itself has cut."""
    made = await enduring()
    async with running(made.recorder):
        session = (await made.open()).session
        await made.authority.decide(session, READ)
        made.recorder.cut(remembered(made, session), DISAGREES)
        assert await granted(made, session) == ""
        made.world.clock.advance(timedelta(seconds=1))
        await made.settled()
    assert [e.reason for e in told(made.world, ev.SessionEnded)] == [DISAGREES]


async def test_who_writes_in_several_sessions_at_once_never_waits_for_another_who_does(monkeypatch):
    """The recorder and a journal take sessions by name, also one that was promised just now."""
    made = await enduring()
    monkeypatch.setattr(made.recorder, "_something_due", asyncio.Event().wait)
    async with running(made.recorder) as task:
        first, second = sorted([(await made.open()).session for _ in range(2)])
        for session in (second, first):
            for _ in range(2):
                assert (await made.authority.decide(session, READ)).allowed
        locks = [remembered(made, session).writing for session in (first, second)]
        for lock in locks:
            await lock.acquire()
        late = ReportedLate(first, 1, Used(rows=1), made.world.clock.now())
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(made.authority.take(journal(late)))
            await made.settled()
            for lock in locks:
                lock.release()
            async with asyncio.timeout(5):
                parts = await made.recorder._taken()
                assert (await taking).seq == 1
        assert [part.live.id for part in parts] == [first, second]
        for part in parts:
            part.live.writing.release()
        for session in (first, second):
            await made.authority.end_session(session, "left")
        task.cancel()
    assert stream(made, first)[-1] == ("action:finished", 1)
