"""Which loops a process runs, and in which order they begin."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from callpoint.lifecycle.reconcile import Reconciled, reconcile
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.sweep import Swept, sweep
from callpoint.workers.loop import Loop, Surroundings, run_all

FIRST_LOOK = timedelta(seconds=30)
"""How long the comparison with the targets may hold up the first sweep (I8, I7)."""

NONCES_EVERY = timedelta(minutes=10)
SPOOL_EVERY = timedelta(seconds=5)
"""How soon events that a dead log kept waiting are numbered once it works; sweep does it too."""


@dataclass(frozen=True)
class Rhythm:
    """How often each pass runs, and how long the last one may take."""

    sweep: timedelta = timedelta(seconds=1)
    reconcile: timedelta = timedelta(minutes=1)
    nonces: timedelta = NONCES_EVERY
    grace: timedelta = timedelta(seconds=10)


class Crew:
    """Sweep, reconcile, spool, nonces, and that the rules in force are followed.

    Args:
        forget_nonces: Forgets spent nonces that may be forgotten.
        follow: Brings this process up to the configuration in force (connectors follow it).
    """

    def __init__(
        self,
        services: Services,
        logger: structlog.typing.FilteringBoundLogger,
        *,
        forget_nonces: Callable[[], Awaitable[object]],
        follow: Callable[[], Awaitable[object]],
        rhythm: Rhythm | None = None,
    ) -> None:
        self._services = services
        self._logger = logger
        self._rhythm = rhythm or Rhythm()
        around = Surroundings(services.clock, services.random, services.notifier, logger)
        self._sweep = Loop("sweep", self._swept, self._rhythm.sweep, around)
        self._reconcile = Loop("reconcile", self._reconciled, self._rhythm.reconcile, around)
        self._spool = Loop("spool", services.store.merge_spool, SPOOL_EVERY, around)
        self._nonces = Loop("nonces", forget_nonces, self._rhythm.nonces, around)
        self._follow = Loop("follow", follow, self._rhythm.sweep, around)

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``; raises only when it is cancelled.

        A database that was restored from a backup does not know what was issued since: targets are
        compared before the first sweep revokes by its rows (I8). A target that does not answer
        must not hold up the others' revocations for longer than ``FIRST_LOOK``.
        """
        await self._follow.run_once()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK.total_seconds()):
                await self._reconcile.run_once()
                self._logger.info("targets_compared")
        loops = (self._sweep, self._reconcile, self._spool, self._nonces, self._follow)
        await run_all(loops, stop, self._rhythm.grace)

    async def _swept(self) -> Swept:
        done = await sweep(self._services)
        for line in done.errors:
            self._logger.error("sweep_could_not", detail=line)
        return done

    async def _reconciled(self) -> Reconciled:
        seen = await reconcile(self._services)
        if seen.unknown or seen.missing:
            self._logger.warning(
                "targets_differ", unknown=seen.unknown, removed=seen.removed, missing=seen.missing
            )
        if seen.unreachable:
            self._logger.warning("targets_unreachable", targets=seen.unreachable)
        return seen
