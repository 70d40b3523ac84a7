"""Somebody who can write to the server's home folder puts there what is no tombstone at all."""

import asyncio
import os
import threading
from contextlib import suppress

import pytest

from callpoint.lifecycle.merge import tend
from tests.fakes.signed_order import alive, held_by


def pipe(path):
    os.mkfifo(path)
    # A reader that would wait for ever is let go in the end, so that the test fails instead.
    timer = threading.Timer(3, let_go, [path])
    timer.daemon = True
    timer.start()


def let_go(path):
    with suppress(FileNotFoundError):
        os.close(os.open(path, os.O_RDWR))


def endless(path):
    path.symlink_to("/dev/zero")


def folder(path):
    path.mkdir()
    (path / "inner").write_text("{}")


def enormous(path):
    with path.open("wb") as file:
        file.truncate(1 << 33)


@pytest.mark.parametrize("put", [pipe, endless, folder, enormous])
async def test_what_cannot_be_read_is_set_aside_and_blocks_nothing(tmp_path, put):
    """It is refused on record like any forged order, at once, and whatever kind of file it is."""
    stage, world, ids = await held_by(tmp_path)
    shelf = tmp_path / "tombstones"
    shelf.mkdir()
    put(shelf / "rubbish.json")
    async with asyncio.timeout(2):
        assert (await tend(world.services)).refused == ("rubbish",)
    world.services.node.tombstones.must_be_merged()
    assert world.services.node.tombstones.refused() == ("rubbish",)
    assert alive(stage) == set(ids.values())
