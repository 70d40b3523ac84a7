"""A task for each target, or receiver, with something due: none waits for another."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial

from callpoint.workers.loop import Loop, Surroundings


class Lanes:
    """Works on names while ``run`` runs.

    Args:
        label: What is done, for the log: ``revoke``.
        work: Everything that is due under one name, such as a target's.
        around: To be heard when work meets a defect.
    """

    def __init__(
        self, label: str, work: Callable[[str], Awaitable[object]], around: Surroundings
    ) -> None:
        self._label = label
        self._work = work
        self._around = around
        self._loops: dict[str, Loop] = {}
        self._tasks: dict[str, asyncio.Task[bool]] = {}
        self._group: asyncio.TaskGroup | None = None

    @property
    def busy(self) -> tuple[str, ...]:
        """Names that are worked on now."""
        return tuple(sorted(self._tasks))

    def start(self, names: Iterable[str]) -> None:
        """Work on each of them, unless it is worked on already."""
        if self._group is None:
            return  # not begun, or stopping: what is due stays due
        for name in names:
            if name not in self._tasks:
                task = self._group.create_task(self._loop(name).run_once(), name=name)
                self._tasks[name] = task
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

    def _loop(self, name: str) -> Loop:
        # Kept, because it counts failures: only the first of a row wakes people.
        if name not in self._loops:
            self._loops[name] = Loop(
                f"{self._label} {name}", partial(self._work, name), timedelta(0), self._around
            )
        return self._loops[name]
