"""Which loops a process runs, and in which order they begin."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from callpoint.domain.witnessing import Answer
from callpoint.lifecycle.ask_witnesses import Asked
from callpoint.lifecycle.connection import forget_connections
from callpoint.lifecycle.drain import drain, due_targets
from callpoint.lifecycle.epoch import is_past_sure
from callpoint.lifecycle.merge import tend
from callpoint.lifecycle.overdue import revoke_overdue
from callpoint.lifecycle.reconcile import Reconciled, reconcile
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.signal_desk import SignalDesk
from callpoint.lifecycle.sweep import pass_time
from callpoint.workers.lanes import Lanes
from callpoint.workers.loop import Loop, Surroundings, run_all
from callpoint.workers.signals import SignalLanes

FIRST_LOOK = timedelta(seconds=30)
"""How long a target that does not let itself be compared may hold up its own revocations (I8)."""

NONCES_EVERY = timedelta(minutes=10)
TOMBSTONES_EVERY = timedelta(seconds=1)
PICTURE_EVERY = timedelta(seconds=5)
"""How late this node knows what another one issued; its own it knows at once."""
SPOOL_EVERY = timedelta(seconds=5)
"""How soon events that a dead log kept waiting are numbered once it works; sweep does it too."""

WITNESSES_EVERY = timedelta(seconds=10)
"""How soon a witness sees what was logged, and how often one that fails is asked again."""

LANDMARK_EVERY = timedelta(minutes=1)
"""How much of the log a start has to prove at most, in time that the process ran before."""


async def _nobody() -> Asked:
    return Asked()


@dataclass(frozen=True)
class Rhythm:
    """How often each pass runs, and how long the last one may take."""

    sweep: timedelta = timedelta(seconds=1)
    reconcile: timedelta = timedelta(minutes=1)
    nonces: timedelta = NONCES_EVERY
    grace: timedelta = timedelta(seconds=10)


class Crew:
    """Sweep, reconcile, spool, what may be forgotten, and that the rules in force are followed.

    Args:
        forget_nonces: Forgets spent nonces that may be forgotten.
        follow: Brings this process up to the configuration in force (connectors follow it).
        note_landmarks: Proves what was logged since, and remembers it for the next start.
        stamp: Has the newest checkpoint time-stamped; None where no authority is named.
        ask_witnesses: Sends the newest checkpoint to the witnesses that have not seen it.
        signals: Tells receivers outside; None where nobody is told.
    """

    def __init__(
        self,
        services: Services,
        logger: structlog.typing.FilteringBoundLogger,
        *,
        forget_nonces: Callable[[], Awaitable[object]],
        follow: Callable[[], Awaitable[object]],
        ask_witnesses: Callable[[], Awaitable[Asked]] = _nobody,
        note_landmarks: Callable[[], Awaitable[object]] | None = None,
        stamp: Callable[[], Awaitable[object]] | None = None,
        signals: SignalDesk | None = None,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._services = services
        self._logger = logger
        self._rhythm = rhythm or Rhythm()
        around = Surroundings(services.clock, services.random, services.notifier, logger)
        self._lanes = Lanes("revoke", self._drained, around)
        self._signals = SignalLanes(signals, around) if signals else None
        self._began = services.clock.monotonic()
        self._sweep = Loop("sweep", self._swept, self._rhythm.sweep, around)
        self._reconcile = Loop("reconcile", self._reconciled, self._rhythm.reconcile, around)
        self._waiting: tuple[str, ...] = ()
        self._tombstones = Loop("tombstones", self._tended, TOMBSTONES_EVERY, around)
        self._overdue = Loop("overdue", self._revoked, TOMBSTONES_EVERY, around)
        self._picture = Loop("picture", self._pictured, PICTURE_EVERY, around)
        self._spool = Loop("spool", services.store.merge_spool, SPOOL_EVERY, around)
        self._forget_nonces = forget_nonces
        self._nonces = Loop("nonces", self._forgot, self._rhythm.nonces, around)
        self._ask_witnesses = ask_witnesses
        self._witnesses = Loop("witnesses", self._asked, WITNESSES_EVERY, around)
        stamps = services.limits.stamp_every or self._rhythm.nonces
        self._stamps = (Loop("timestamps", stamp, stamps, around),) if stamp else ()
        mark = note_landmarks
        self._landmarks = (Loop("landmark", mark, LANDMARK_EVERY, around),) if mark else ()
        self._follow = Loop("follow", follow, self._rhythm.sweep, around)

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``; raises only when it is cancelled.

        A database that was restored from a backup does not know what was issued since: each target
        is compared before anything on it is revoked by the rows (I8). One that does not answer
        holds up itself alone.
        """
        await self._follow.run_once()
        await self._tombstones.run_once()
        self._began = self._services.clock.monotonic()
        loops = (
            *(self._sweep, self._reconcile, self._spool, self._nonces, self._follow),
            *(self._tombstones, self._overdue, self._picture, self._witnesses),
            *self._stamps,
            *self._landmarks,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lanes.run(stop, self._rhythm.grace), name="lanes")
            group.create_task(run_all(loops, stop, self._rhythm.grace), name="loops")
            if self._signals is not None:
                group.create_task(self._signals.run(stop, self._rhythm.grace), name="signals")

    async def _swept(self) -> None:
        """Time moves on, and whoever has something due is worked on, apart from this pass."""
        done = await pass_time(self._services)
        for line in done.errors:
            self._logger.error("sweep_could_not", detail=line)
        due = await due_targets(self._services)
        self._lanes.start([target for target in due if await self._may_drain(target)])

    async def _drained(self, target: str) -> None:
        done = await drain(self._services, target)
        for line in done.errors:
            self._logger.error("sweep_could_not", detail=line)

    async def _may_drain(self, target: str) -> bool:
        services = self._services
        if target in services.compared or target not in services.targets:
            return True
        waited = services.clock.monotonic() - self._began
        return waited > FIRST_LOOK.total_seconds() and await is_past_sure(services, target)

    async def _asked(self) -> None:
        """Nothing else waits for a witness: this loop is its own."""
        asked = await self._ask_witnesses()
        for name in asked.changed:
            watch = asked.answers[name]
            say = self._logger.info if watch.answer is Answer.COSIGNED else self._logger.warning
            say("witness_answered", witness=name, answer=watch.answer, detail=watch.detail)

    async def run_without_store(self, found: Awaitable[None]) -> None:
        """Until ``found`` returns: kills and expiry go on at the targets; all else needs it."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            loops = (self._tombstones, self._overdue)
            group.create_task(run_all(loops, stop, self._rhythm.grace), name="without store")
            try:
                await found
            finally:
                stop.set()

    async def _tended(self) -> None:
        done = await tend(self._services)
        for line in done.errors:
            if line not in self._waiting:  # once, not at every pass
                self._logger.error("tombstone_waits", detail=line)
        self._waiting = done.errors
        for key in done.merged:
            self._logger.warning("tombstone_merged", tombstone=key)
        for key in done.refused:
            self._logger.error("tombstone_refused", tombstone=key)

    async def _forgot(self) -> None:
        await self._forget_nonces()
        await forget_connections(self._services)

    async def _revoked(self) -> None:
        for handle in await revoke_overdue(self._services):
            self._logger.warning("revoked_without_store", lease=handle)

    async def _pictured(self) -> None:
        await self._services.node.picture.follow(self._services.store)

    async def _reconciled(self) -> Reconciled:
        seen = await reconcile(self._services)
        if seen.unknown or seen.missing or seen.changed:
            self._logger.warning(
                "targets_differ",
                unknown=seen.unknown,
                removed=seen.removed,
                missing=seen.missing,
                changed=seen.changed,
            )
        if seen.unreachable:
            self._logger.warning("targets_unreachable", targets=seen.unreachable)
        return seen
