"""The same with PostgreSQL as the store: cells of the database changed, no credential by it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.lifecycle import use
from tests.attack.insider import Scene, attempt, changes, outcome, set_scene
from tests.attack.postgresql_quarry import PostgresQuarry
from tests.servers import fresh_database

EVERY = 75
"""A sample, always the same: the code that is asked is SQLite's too, and there all are tried."""


@pytest.fixture
async def scene(postgres_15: ThrowawayPostgres, tmp_path: Path) -> AsyncIterator[Scene]:
    with fresh_database(postgres_15) as database:
        quarry = PostgresQuarry(tmp_path / "quarry", database)
        quarry.folder.mkdir()
        made = await set_scene(quarry)
        quarry.keep()
        yield made


async def test_no_changed_cell_in_postgresql_gives_a_credential(scene: Scene, tmp_path: Path):
    """Whole, bob gets both of his; after each of the changes nobody gets anything else."""
    async with scene.quarry.copy(tmp_path / "whole").world() as world:
        assert await attempt(world, scene) == []
        assert len(world.target.accounts) == 1
        assert (await use.reveal(world.services, world.caller("bob"), scene.lease)).box == scene.box
    everything = list(changes(scene.quarry))
    wrong: list[str] = []
    for change in everything[::EVERY]:
        wrong += await outcome(scene, change, tmp_path / "spoilt")
    assert not wrong, "\n".join(wrong)
    assert len(everything) > EVERY * 30
