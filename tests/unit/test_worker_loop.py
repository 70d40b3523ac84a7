"""Loops that nothing ends but being stopped."""

import asyncio
from datetime import timedelta
from typing import Any

import structlog

from callpoint.domain.errors import StoreUnavailableError
from callpoint.workers.loop import LONGEST_WAIT, Loop, Surroundings, run_all
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.world import Notices

SECOND = timedelta(seconds=1)
GRACE = timedelta(seconds=5)


class Room:
    """Surroundings that keep what was said."""

    def __init__(self, *, auto: bool = False) -> None:
        self.lines: list[dict[str, Any]] = []
        self.clock = SimulatedClock(auto=auto)
        self.notices = Notices()
        logger = structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[self._keep],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        )
        self.around = Surroundings(self.clock, SeededRandom(), self.notices, logger)

    def _keep(self, _: Any, level: str, line: Any) -> str:
        self.lines.append({"level": level, **line})
        return ""


class Work:
    """A pass that raises what is prepared, then succeeds, then asks to stop."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.passes = 0
        self.stop = asyncio.Event()

    async def __call__(self) -> None:
        self.passes += 1
        if self.failures:
            raise self.failures.pop(0)
        self.stop.set()


async def test_a_failing_pass_is_said_and_tried_again():
    """An error of ours is one line; the loop goes on until the pass succeeds."""
    room, work = Room(auto=True), Work(StoreUnavailableError("disk full"))
    await Loop("sweep", work, SECOND, room.around).run(work.stop)
    assert work.passes == 2
    ((line),) = room.lines
    assert (line["level"], line["event"], line["loop"]) == ("error", "pass_failed", "sweep")
    assert room.notices.said == []


async def test_a_defect_is_loud_and_ends_nothing():
    """A crash is critical, wakes people once, and the loop goes on."""
    room, work = Room(auto=True), Work(ZeroDivisionError(), ZeroDivisionError())
    await Loop("sweep", work, SECOND, room.around).run(work.stop)
    assert work.passes == 3
    assert [line["level"] for line in room.lines] == ["critical", "critical"]
    assert isinstance(room.lines[0]["exc_info"], ZeroDivisionError)
    (notice,) = room.notices.said
    assert notice.urgent
    assert "hunter2" not in notice.text


async def test_waits_grow_and_are_capped():
    """After failures a pass waits longer each time, with jitter, and never longer than the cap."""
    room = Room(auto=True)
    work = Work(*(StoreUnavailableError("down") for _ in range(12)))
    loop = Loop("sweep", work, SECOND, room.around)
    waits = []
    for _ in range(12):
        await loop.run_once()
        waits.append(loop._wait())
    assert all(
        2 ** min(n, 10) * SECOND >= wait >= min(2**n * SECOND, LONGEST_WAIT) / 2
        for n, wait in enumerate(waits, start=1)
    )
    assert max(waits) <= LONGEST_WAIT
    await loop.run_once()
    assert loop._wait() == SECOND


async def test_stopping_lets_a_pass_finish():
    """What is under way when the process stops is finished within the grace."""
    room, stop = Room(), asyncio.Event()
    begun, finished = asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await asyncio.sleep(0.05)
        finished.append(True)

    idle = Loop("idle", Work(), SECOND, room.around)
    busy = Loop("busy", work, SECOND, room.around)
    async with asyncio.TaskGroup() as group:
        group.create_task(run_all((idle, busy), stop, GRACE))
        await begun.wait()
        stop.set()
    assert finished == [True]


async def test_stopping_does_not_wait_for_ever():
    """A pass that hangs is cut off after the grace."""
    room, stop = Room(), asyncio.Event()
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    loop = Loop("stuck", work, SECOND, room.around)
    async with asyncio.TaskGroup() as group:
        group.create_task(run_all((loop,), stop, timedelta(milliseconds=50)))
        await begun.wait()
        stop.set()
    assert not loop.is_busy
