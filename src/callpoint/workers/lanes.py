"""A task for each target with due revocations: none waits for another, and time waits for none."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from functools import partial

from callpoint.lifecycle.drain import drain
from callpoint.lifecycle.services import Services
from callpoint.workers.loop import Loop, Surroundings


class Lanes:
    """Drains targets while ``run`` runs.

    Args:
        services: Of this process.
        around: To be heard when a drain meets a defect.
    """

    def __init__(self, services: Services, around: Surroundings) -> None:
        self._services = services
        self._around = around
        self._loops: dict[str, Loop] = {}
        self._tasks: dict[str, asyncio.Task[bool]] = {}
        self._group: asyncio.TaskGroup | None = None

    @property
    def busy(self) -> tuple[str, ...]:
        """Targets that are drained now."""
        return tuple(sorted(self._tasks))

    def start(self, targets: Iterable[str]) -> None:
        """Drain each of them, unless it is drained already."""
        if self._group is None:
            return  # not begun, or stopping: what is due stays due
        for target in targets:
            if target not in self._tasks:
                task = self._group.create_task(self._loop(target).run_once(), name=target)
                self._tasks[target] = task
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[bool]) -> None:
        self._tasks.pop(task.get_name())

    async def run(self, stop: asyncio.Event, grace: timedelta) -> None:
        """Until ``stop``; what is under way may finish within ``grace``.

        A revocation that is cut off is taken up again once its claim is over.
        """
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await stop.wait()
            finally:
                self._group = None
            if tasks := tuple(self._tasks.values()):
                _, late = await asyncio.wait(tasks, timeout=grace.total_seconds())
                for task in late:
                    task.cancel()

    def _loop(self, target: str) -> Loop:
        # Kept, because it counts failures: only the first of a row wakes people.
        if target not in self._loops:
            self._loops[target] = Loop(
                f"revoke {target}",
                partial(self._drained, target),
                timedelta(0),
                self._around,
            )
        return self._loops[target]

    async def _drained(self, target: str) -> None:
        done = await drain(self._services, target)
        for line in done.errors:
            self._around.logger.error("sweep_could_not", detail=line)
