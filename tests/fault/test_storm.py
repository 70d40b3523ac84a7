"""A thousand leases end at once while one target is dead and another is slow (I6, I7)."""

import asyncio
from datetime import timedelta
from pathlib import Path

import structlog

from callpoint.adapters.clock.system import SystemClock
from callpoint.adapters.stores.postgresql.store import PostgresStore
from callpoint.adapters.stores.sqlite.store import SqliteStore
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.privilege import Privilege
from callpoint.ports.stores import Store
from callpoint.workers.crew import Crew, Rhythm
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.world import INSTALLATION, ORIGIN
from tests.fault.storm import DEAD, HEALTHY, LIMITS, SLOW, TARGETS, Storm, StormTarget, make_storm
from tests.servers import fresh_database

LOGGER = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
RHYTHM = Rhythm(sweep=timedelta(milliseconds=50), grace=timedelta(seconds=2))
MOST_TASKS = 150


async def test_nobody_starves_and_nothing_lives(tmp_path: Path):
    """Healthy targets are done while the dead one is silent; tasks stay few; then all is dead."""
    store = await SqliteStore.open(
        tmp_path / "store.db",
        signer=MemoryLogSigner(ORIGIN),
        clock=SystemClock(),
        checkpoint_file=tmp_path / "checkpoint",
        origin=ORIGIN,
        installation=INSTALLATION,
    )
    await _storm(store, 250)


async def test_nobody_starves_on_postgresql(tmp_path: Path, postgres_15: ThrowawayPostgres):
    """The same where the store is PostgreSQL; a smaller storm, as each commit takes longer."""
    with fresh_database(postgres_15) as database:
        store = await PostgresStore.open(
            database.owner_url,
            signer=MemoryLogSigner(ORIGIN),
            checkpoint_file=tmp_path / "checkpoint",
            origin=ORIGIN,
            installation=INSTALLATION,
        )
        await _storm(store, 60)


async def _storm(store: Store, activations: int) -> None:
    try:
        storm = await make_storm(store, SystemClock(), activations=activations)
        # As after a restart that found the dead target silent for longer than its first look.
        storm.world.services.compared.update(TARGETS)
        await _weather(storm)
    finally:
        await store.close()


async def _weather(storm: Storm) -> None:
    async def nothing() -> None:
        """No nonces, and no rules to follow."""

    stop, tasks = asyncio.Event(), 0
    crew = Crew(storm.world.services, LOGGER, forget_nonces=nothing, follow=nothing, rhythm=RHYTHM)
    async with asyncio.TaskGroup() as group:
        group.create_task(crew.run(stop))
        async with asyncio.timeout(40):
            while await storm.open(SLOW, *HEALTHY):
                tasks = max(tasks, len(asyncio.all_tasks()))
                await asyncio.sleep(0.05)
            assert await storm.open(DEAD) == len(storm.leases) / len(TARGETS)
            storm.heal()
            while await storm.open(DEAD):  # noqa: ASYNC110 -- what is awaited is in the store
                await asyncio.sleep(0.05)
        stop.set()
    assert tasks < MOST_TASKS
    for target in storm.targets.values():
        assert target.accounts == {}
        assert target.live_sessions() == []
        assert target.most_busy <= LIMITS.per_target + 1  # and the comparison
    for name in (SLOW, *HEALTHY):
        _assert_in_order(storm, storm.targets[name])


def _assert_in_order(storm: Storm, target: StormTarget) -> None:
    """When the last of a kind was begun, of the less privileged only age's share had been."""
    begun = [storm.leases[account].plan.privilege.priority for account in target.begun()]
    assert len(begun) == len(storm.leases) / len(TARGETS)
    for privilege in (Privilege.TOTAL, Privilege.HIGH, Privilege.NORMAL):
        last = max(n for n, priority in enumerate(begun) if priority >= privilege.priority)
        ahead = sum(priority < privilege.priority for priority in begun[:last])
        assert ahead <= last / 8 + 2 * LIMITS.per_target
