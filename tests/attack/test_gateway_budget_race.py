"""Two processes, four sessions, one allowance: all together never get more than it."""

import asyncio
from pathlib import Path

import pytest

from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance
from callpoint.lifecycle.resume import resume
from tests.fakes import wire
from tests.fakes.wire import Wire
from tests.servers import FreshDatabase
from tests.whole_gateway_site import open_whole

_ROWS, _ACTIONS, _SESSIONS = 600, 12, 4


async def rows_through(link: Wire) -> int:
    """Read the table (400 rows) until nothing comes any more."""
    total = 0
    while True:
        link.send(wire.query("SELECT word FROM items"))
        frames = await link.until()
        total += len(wire.rows(frames))
        if "E" in wire.kinds(frames):
            return total


async def copied_through(link: Wire) -> int:
    """Likewise by COPY."""
    link.send(wire.query("COPY items (word) TO STDOUT"))
    return len([frame for frame in await link.until() if frame[:1] == b"d"])


async def acts_through(link: Wire) -> int:
    """Act until it is refused."""
    total = 0
    while True:
        link.send(wire.query("DELETE FROM items WHERE id < 0"))
        frames = await link.until()
        if "E" in wire.kinds(frames):
            return total
        total += 1


@pytest.mark.parametrize("on_postgresql", [False, True], ids=["sqlite", "postgresql"])
async def test_a_budget_race(target: FreshDatabase, tmp_path: Path, *, on_postgresql: bool):
    """Rows, then actions, by all sessions at once; nobody goes on before a person says so."""
    spends = Allowance(rows=_ROWS, actions=_ACTIONS)
    async with open_whole(
        target, tmp_path, spends=spends, processes=2, on_postgresql=on_postgresql
    ) as whole:
        key = await whole.activation()
        links = [await whole.wire(key, whole.fronts[n % 2]) for n in range(_SESSIONS)]
        read = await asyncio.gather(*(rows_through(link) for link in links))
        assert 0 < sum(read) <= _ROWS
        more = await asyncio.gather(*(rows_through(link) for link in links))
        more += await asyncio.gather(*(copied_through(link) for link in links))
        assert sum(more) == 0
        await resume(whole.world.services, whole.world.caller("carol"), key, "looked at it")
        await asyncio.sleep(0.3)
        again = await asyncio.gather(*(rows_through(link) for link in links))
        assert sum(read) + sum(again) <= 2 * _ROWS
        for link in links:
            link.close()
        await whole.kill(key)

        key = await whole.activation()
        links = [await whole.wire(key, whole.fronts[n % 2]) for n in range(_SESSIONS)]
        done = await asyncio.gather(*(acts_through(link) for link in links))
        assert sum(done) == _ACTIONS
        opened = [one for front in whole.fronts for one in front.authority.opened]
        sessions = {one.session for one in opened if one.activation == key}
        decided = [e for e in await whole.told(ev.ActionDecided) if e.session in sessions]
        assert sum(e.allowed for e in decided) == _ACTIONS
        for link in links:
            link.close()
