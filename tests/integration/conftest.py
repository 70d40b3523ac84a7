"""An installation on SQLite and its API."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.clock import SimulatedClock
from tests.fakes.face import Face, open_sqlite
from tests.fakes.world import World, make_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An installation on SQLite."""
    clock = SimulatedClock(auto=True)
    store = await open_sqlite(tmp_path, clock)
    yield await make_world(store=store, clock=clock)
    await store.close()


@pytest.fixture
async def face(world: World) -> AsyncIterator[Face]:
    """Its API."""
    async with Face(world) as made:
        yield made
