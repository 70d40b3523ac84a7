"""The guard of a gateway's sessions: push, poll, time and silence end them (I13)."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import structlog

from callpoint.domain.errors import ConflictError, StoreUnavailableError, UnavailableError
from callpoint.gateways.guard import EXPIRED, LOST, STOPPED, Guard
from callpoint.ports.authority import LOSS, POLL, Arrival, Cut, Opened, Reach, Standing
from callpoint.ports.credential import Credential
from tests.fakes.clock import SimulatedClock

HOUR = timedelta(hours=1)


class Line:
    """An authority of which a test decides what it says, and whether it is heard."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.orders: asyncio.Queue[Cut | Exception | None] = asyncio.Queue()
        self.over: set[str] = set()
        self.is_silent = False
        self.is_cut_off = False
        self.ended: list[tuple[str, str]] = []
        self.while_opening = lambda: None
        self._count = 0

    async def open_session(self, arrival: Arrival) -> Opened:
        self._count += 1
        self.while_opening()
        await settled()
        return Opened(
            session=f"s{self._count}",
            activation=arrival.connection,
            principal="alice",
            persons=("alice",),
            incident="inc-7",
            target="orders-db",
            role="repair",
            credential=Credential("cp_x", "secret"),
            not_after=self.clock.now() + HOUR,
        )

    async def end_session(self, session: str, reason: str) -> None:
        if self.is_silent:
            raise StoreUnavailableError("silent")
        self.ended.append((session, reason))

    async def standing(self, sessions):
        if self.is_silent:
            raise StoreUnavailableError("silent")
        return {s: Standing.OVER if s in self.over else Standing.OPEN for s in sessions}

    async def cuts(self):
        if self.is_cut_off:
            raise UnavailableError("no line")
        yield None
        while True:
            order = await self.orders.get()
            if isinstance(order, Exception):
                raise order
            yield order


async def settled():
    """Everybody who can go on has gone on."""
    for _ in range(30):
        await asyncio.sleep(0)


async def passes(clock: SimulatedClock, span: timedelta, step: timedelta = timedelta(seconds=0.25)):
    """Time passes in small steps, so that everybody wakes when it is due."""
    for _ in range(round(span / step)):
        clock.advance(step)
        await settled()


@asynccontextmanager
async def guarded(lost_after: timedelta = LOSS):
    clock = SimulatedClock()
    line = Line(clock)
    guard = Guard(line, clock, structlog.get_logger(), lost_after)  # type: ignore[arg-type]  # what it uses
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(guard.run(stop))
        await settled()
        try:
            yield clock, line, guard
        finally:
            stop.set()


async def test_an_order_cuts_what_it_covers_at_once():
    """A pushed order ends its sessions without any time passing; the others go on."""
    async with guarded() as (_, line, guard):
        one, two = await guard.admit(arrival("a1")), await guard.admit(arrival("a2"))
        reasons: list[str] = []
        one.on_cut(reasons.append)
        line.orders.put_nowait(Cut(Reach.ACTIVATION, "a1", "killed"))
        await settled()
        assert (one.cut_for, two.cut_for, reasons) == ("killed", "", ["killed"])


async def test_an_order_may_leave_later_sessions_alone():
    """An order about what had begun by a moment ends that, and nothing that began since."""
    async with guarded() as (clock, line, guard):
        one = await guard.admit(arrival("a1"))
        by = clock.now()
        await passes(clock, timedelta(seconds=1))
        two = await guard.admit(arrival("a1"))
        line.orders.put_nowait(Cut(Reach.ACTIVATION, "a1", "killed", by))
        await settled()
        assert (one.cut_for, two.cut_for) == ("killed", "")
        line.orders.put_nowait(Cut(Reach.ACTIVATION, "a1", "killed"))
        await settled()
        assert two.cut_for == "killed"


async def test_an_order_during_the_opening_lets_nobody_in():
    """A session that is cut between its opening and its admission is refused and ended."""
    async with guarded() as (_, line, guard):
        line.while_opening = lambda: line.orders.put_nowait(Cut(Reach.EVERYTHING, "", "killed"))
        with pytest.raises(ConflictError, match="killed"):
            await guard.admit(arrival("a1"))
        assert line.ended == [("s1", "killed")]
        assert guard.sessions == 0


async def test_who_listens_late_to_a_cut_hears_it_all_the_same():
    """What is to be done at a cut is done at once when the cut came first."""
    async with guarded() as (_, line, guard):
        one = await guard.admit(arrival("a1"))
        line.orders.put_nowait(Cut(Reach.SESSION, "s1", "killed"))
        await settled()
        reasons: list[str] = []
        one.on_cut(reasons.append)
        assert reasons == ["killed"]


async def test_the_poll_stands_behind_a_lost_push():
    """What is over and was never pushed is cut within the poll's span."""
    async with guarded() as (clock, line, guard):
        one, two = await guard.admit(arrival("a1")), await guard.admit(arrival("a2"))
        line.over.add("s1")
        await passes(clock, POLL)
        assert (one.cut_for, two.cut_for) == ("over", "")


async def test_a_lost_line_is_taken_up_again():
    """After the line broke the next order is heard; meanwhile nobody is let in."""
    async with guarded() as (clock, line, guard):
        one = await guard.admit(arrival("a1"))
        line.is_cut_off = True
        line.orders.put_nowait(UnavailableError("broken"))
        await settled()
        with pytest.raises(UnavailableError, match="does not hear"):
            await guard.admit(arrival("a2"))
        line.is_cut_off = False
        await passes(clock, timedelta(seconds=1))
        line.orders.put_nowait(Cut(Reach.EVERYTHING, "", "killed"))
        await settled()
        assert one.cut_for == "killed"


async def test_time_ends_a_session_without_anybody():
    """At ``not_after`` it is cut by the gateway's own clock, with the authority silent."""
    async with guarded() as (clock, line, guard):
        one = await guard.admit(arrival("a1"))
        line.is_silent = True
        clock.jump(HOUR)
        await passes(clock, timedelta(seconds=0.5))
        assert one.cut_for == EXPIRED


async def test_silence_cuts_everything_and_not_before():
    """Fifteen seconds without an answer end every session, although heartbeats still come."""
    async with guarded() as (clock, line, guard):
        one = await guard.admit(arrival("a1"))
        line.is_silent = True
        await passes(clock, LOSS - POLL)
        assert one.cut_for == ""
        line.orders.put_nowait(None)
        await passes(clock, POLL + timedelta(seconds=0.5))
        assert one.cut_for == LOST
        with pytest.raises(UnavailableError):
            await guard.admit(arrival("a2"))


@pytest.mark.parametrize("said, kept", [(5, 5), (60, 15)])
async def test_silence_may_be_borne_for_a_shorter_time_only(said: int, kept: int):
    """A gateway's settings shorten the limit, and nothing makes it longer."""
    async with guarded(timedelta(seconds=said)) as (clock, line, guard):
        one = await guard.admit(arrival("a1"))
        line.is_silent = True
        await passes(clock, timedelta(seconds=kept) - POLL)
        assert one.cut_for == ""
        await passes(clock, POLL + timedelta(seconds=0.5))
        assert one.cut_for == LOST


async def test_an_answer_in_time_keeps_sessions():
    """A silence that ends in time ends nothing, and the count begins again."""
    async with guarded() as (clock, line, guard):
        one = await guard.admit(arrival("a1"))
        for _ in range(2):
            line.is_silent = True
            await passes(clock, LOSS - POLL)
            line.is_silent = False
            await passes(clock, POLL)
        assert one.cut_for == ""


async def test_the_end_of_the_gateway_cuts_what_is_left():
    """A gateway that stops leaves no session behind."""
    async with guarded() as (_, _, guard):
        one = await guard.admit(arrival("a1"))
    assert one.cut_for == STOPPED


async def test_one_session_that_fails_at_its_end_saves_no_other():
    """What a session does when it is cut may go wrong; the next one is cut all the same."""

    def fail(_):
        raise RuntimeError("defect")

    async with guarded() as (_, line, guard):
        one, two = await guard.admit(arrival("a1")), await guard.admit(arrival("a2"))
        one.on_cut(fail)
        line.orders.put_nowait(Cut(Reach.EVERYTHING, "", "killed"))
        await settled()
        assert (one.cut_for, two.cut_for) == ("killed", "killed")


async def test_a_session_that_left_is_ended_once_and_not_asked_about():
    """Who goes by itself is no longer watched, also when the authority cannot be told."""
    async with guarded() as (clock, line, guard):
        one = await guard.admit(arrival("a1"))
        await guard.leave(one, "closed")
        assert (line.ended, guard.sessions) == ([("s1", "closed")], 0)
        two = await guard.admit(arrival("a2"))
        line.is_silent = True
        await guard.leave(two, "closed")
        assert guard.sessions == 0
        await passes(clock, LOSS)
        assert two.cut_for == ""


def arrival(activation: str) -> Arrival:
    return Arrival(connection=activation, source="127.0.0.1", gateway="edge")
