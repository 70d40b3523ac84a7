"""Who can write to the database has nothing told in our name that the signed log does not say."""

import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callpoint.domain.errors import CallpointError
from callpoint.domain.outbox import Outbox
from callpoint.lifecycle.push_signals import tend_stream
from tests.attack.insider import Scene, changes, set_scene
from tests.attack.quarry import Quarry
from tests.fakes.signals import Receiver, make_desk, pushed

STREAM = pushed()
# Each of a thousand changes takes a tenth of a second, so all of them only when asked for.
TRIED = slice(None) if os.environ.get("INSIDER") == "all" else slice(3, None, 97)


async def told(quarry: Quarry) -> list[dict[str, Any]]:
    """What a process on this database tells, as long as it tells anything."""
    receiver = Receiver()
    with suppress(CallpointError):
        async with quarry.world() as world:
            quarry.clock.advance(timedelta(minutes=5))
            await tend_stream(make_desk(world, receiver), STREAM)
    return receiver.told()


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    """Lives that began and ended, and an outbox in which some of it waits."""
    quarry = Quarry(tmp_path / "quarry")
    quarry.folder.mkdir()
    made = await set_scene(quarry)
    async with quarry.world() as world:
        away = Receiver()
        away.away.add("siem")
        await tend_stream(make_desk(world, away), STREAM)
    return made


async def test_no_changed_cell_makes_another_signal(scene: Scene, tmp_path: Path):
    """Each told token is one of those that the whole database gives, whatever cell is changed."""
    whole = await told(scene.quarry.copy(tmp_path / "whole"))
    assert len(whole) >= 5
    everything = list(changes(scene.quarry))
    assert any(change.what.startswith("records") for change in everything)
    quiet = 0
    for number, change in enumerate(everything[TRIED]):
        spoilt = scene.quarry.copy(tmp_path / str(number))
        with suppress(*spoilt.refusals):
            spoilt.execute(change.statement, change.values)
        found = await told(spoilt)
        strange = [one for one in found if one not in whole]
        assert not strange, change.what
        quiet += not found
    assert quiet, "some of these changes are noticed"


async def test_an_outbox_tells_nothing_that_the_log_does_not(scene: Scene, tmp_path: Path):
    """Rows that agree with themselves: another place, another entry, another name for it."""
    whole = await told(scene.quarry.copy(tmp_path / "whole"))
    async with scene.quarry.world() as world:
        row = await world.services.store.read(lambda view: view.get(Outbox, "siem"))
    assert row.waiting
    first, *rest = row.waiting
    replaced = msgspec.structs.replace
    rows = [
        replace_waiting(row, replaced(first, index=first.index + 1)),
        replace_waiting(row, replaced(first, index=10**9)),
        replace_waiting(row, replaced(first, jti="0" * 64 + ".siem")),
        replace_waiting(row, *rest, *rest),
        replaced(row, position=0),
        replaced(row, position=10**9),
        replaced(row, position=3, origin=f"{row.origin}/7"),
        replaced(row, origin="callpoint/another"),
    ]
    for number, one in enumerate(rows):
        spoilt = scene.quarry.copy(tmp_path / str(number))
        spoilt.put(one)
        found = await told(spoilt)
        assert all(said in whole for said in found), one


def replace_waiting(row: Outbox, *pending: Any) -> Outbox:
    """The row with others waiting."""
    return msgspec.structs.replace(row, waiting=pending)
