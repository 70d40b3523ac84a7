"""One loop: a pass, a pause, again; whatever a pass raises is said and tried again, for ever.

A revocation that is not tried is an open door, so no failure of a pass ends its loop, and none
ends the process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from callpoint.domain.errors import CallpointError
from callpoint.ports.clock import Clock, Random
from callpoint.ports.notifiers import Notice, Notifier

LONGEST_WAIT = timedelta(seconds=60)
"""After failures a pass waits longer each time, but never longer than this or its own pause."""

_DOUBLINGS = 10


@dataclass(frozen=True)
class Surroundings:
    """What every loop needs to wait and to be heard."""

    clock: Clock
    random: Random
    notifier: Notifier
    logger: structlog.typing.FilteringBoundLogger


@dataclass(eq=False)
class Loop:
    """A named pass that is repeated.

    Attributes:
        name: For the log.
        work: One pass; may be cancelled between two, never needs to be.
        pause: Between two passes.
        is_busy: A pass runs now.
        failures: Passes that failed since the last one that did not.
    """

    name: str
    work: Callable[[], Awaitable[object]]
    pause: timedelta
    around: Surroundings
    is_busy: bool = False
    failures: int = field(default=0, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Repeat until ``stop`` is set or the task is cancelled; raises nothing else."""
        while not stop.is_set():
            await self.run_once()
            if not stop.is_set():
                await self.around.clock.sleep(self._wait())

    async def run_once(self) -> bool:
        """One pass; False when it failed, which has been said."""
        self.is_busy = True
        try:
            await self.work()
        except Exception as error:  # noqa: BLE001 -- a loop that ends is a revocation that is lost
            self.failures += 1
            await self._say(error)
            return False
        else:
            self.failures = 0
            return True
        finally:
            self.is_busy = False

    def _wait(self) -> timedelta:
        """The pause; after failures doubled each time, with jitter so that replicas spread."""
        if not self.failures:
            return self.pause
        longest = max(LONGEST_WAIT, self.pause)
        doubled: int = 2 ** min(self.failures, _DOUBLINGS)
        return min(self.pause * doubled, longest) * (0.5 + self.around.random.fraction() / 2)

    async def _say(self, error: Exception) -> None:
        """Ours in one line; a defect with its traceback, and people are told of it at once."""
        logger, facts = self.around.logger, {"loop": self.name, "failures": self.failures}
        if isinstance(error, CallpointError):
            logger.error("pass_failed", error=type(error).__name__, detail=str(error), **facts)
            return
        logger.critical("pass_crashed", error=type(error).__name__, exc_info=error, **facts)
        if self.failures == 1:
            await self.around.notifier.notify(
                Notice(
                    kind="worker:crashed",
                    about=self.name,
                    to=(),
                    text=f"the worker {self.name} crashed ({type(error).__name__}) and goes on"
                    " trying; the server's log says more",
                    urgent=True,
                )
            )


async def run_all(loops: tuple[Loop, ...], stop: asyncio.Event, grace: timedelta) -> None:
    """Run every loop until ``stop``; a pass that is under way may finish within ``grace``.

    A revocation that is cut off is taken up again after a restart, but only once its claim is
    over, so it is worth waiting for.
    """
    async with asyncio.TaskGroup() as group:
        tasks = {loop: group.create_task(loop.run(stop), name=loop.name) for loop in loops}
        await stop.wait()
        for loop, task in tasks.items():
            if not loop.is_busy:
                task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks.values(), timeout=grace.total_seconds())
            for task in late:
                task.cancel()
