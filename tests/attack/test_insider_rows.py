"""Every cell of the database changed by hand, one at a time, and never a credential by it."""

import os
from pathlib import Path

import pytest

from callpoint.lifecycle import use
from tests.attack.insider import Scene, attempt, changes, outcome, set_scene
from tests.attack.quarry import Quarry

PARTS = 24
# One part of the changes takes ten seconds alone, so all of them only when asked for.
TRIED = range(PARTS) if os.environ.get("INSIDER") == "all" else (5, 17)


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    quarry = Quarry(tmp_path / "quarry")
    quarry.folder.mkdir()
    return await set_scene(quarry)


async def test_what_is_whole_is_given_out(scene: Scene, tmp_path: Path):
    """Without a change, bob gets both of his, and alice none: the attempts can succeed."""
    spoilt = scene.quarry.copy(tmp_path / "whole")
    async with spoilt.world() as world:
        assert await attempt(world, scene) == []
        assert len(world.target.accounts) == 1
        assert (await use.reveal(world.services, world.caller("bob"), scene.lease)).box == scene.box


@pytest.mark.parametrize("part", TRIED)
async def test_no_changed_cell_gives_a_credential(scene: Scene, tmp_path: Path, part: int):
    """Whatever an administrator of the database changes, nothing comes of it but a refusal."""
    everything = list(changes(scene.quarry))
    wrong: list[str] = []
    for change in everything[part::PARTS]:
        wrong += await outcome(scene, change, tmp_path / "spoilt")
    assert not wrong, "\n".join(wrong)
    assert len(everything) > PARTS * 25
