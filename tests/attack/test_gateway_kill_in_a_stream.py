"""A kill in the middle of a stream: how much passes after it, in either direction."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psycopg
import pytest

from callpoint.domain.connection import Offered
from tests.fakes import wire
from tests.whole_gateway_site import HERE, WholeSite, open_whole

_ENDLESS = "SELECT repeat('x', 1000) FROM items a, items b, items c"
_OVER_WITHIN = 1.0
_HELD_BY_ITSELF = 512 * 1024


@pytest.fixture
async def whole(target, tmp_path) -> AsyncIterator[WholeSite]:
    async with open_whole(target, tmp_path) as made:
        yield made


@dataclass
class Actor:
    """A client in a thread of its own, which notes what passed when."""

    conninfo: str
    passed: list[tuple[float, int]] = field(default_factory=list)
    ended: float = 0.0
    why: str = ""

    @classmethod
    def of(cls, whole: WholeSite, made: Offered) -> "Actor":
        return cls(
            f"host={HERE} port={whole.front.gateway.port} user={made.connection.id}"
            f" password={made.secret} dbname={made.database} sslmode=disable"
        )

    def read_rows(self) -> None:
        """A streaming SELECT, row by row."""
        self._run(lambda link: (len(row[0]) for row in link.cursor().stream(_ENDLESS)))

    def copy_out(self) -> None:
        """COPY … TO STDOUT."""

        def parts(link: psycopg.Connection):
            with link.cursor().copy(f"COPY ({_ENDLESS}) TO STDOUT") as copy:
                yield from (len(part) for part in copy)

        self._run(parts)

    def copy_in(self) -> None:
        """COPY … FROM STDIN, for ever."""

        def parts(link: psycopg.Connection):
            with link.cursor().copy("COPY items (id, word) FROM STDIN") as copy:
                for n in range(1000, 10**9, 100):
                    part = "".join(f"{n + k}\tx\n" for k in range(100))
                    copy.write(part)
                    yield len(part)

        self._run(parts)

    def _run(self, parts) -> None:
        try:
            with psycopg.connect(self.conninfo, autocommit=True) as link:
                for size in parts(link):
                    self.passed.append((time.monotonic(), size))
        except psycopg.Error as error:
            self.why = str(error)
        self.ended = time.monotonic()

    def after(self, moment: float) -> int:
        """Bytes that passed after it."""
        return sum(size for at, size in self.passed if at > moment)


@pytest.mark.parametrize("way", ["read_rows", "copy_out", "copy_in"])
async def test_a_kill_in_a_stream(whole: WholeSite, way: str):
    """When the kill has returned nothing passes any more; the server works on nothing of it."""
    key = await whole.activation()
    actor = Actor.of(whole, await whole.offer(key))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(getattr(actor, way)))
        await whole.settled(lambda: len(actor.passed) > 50, within=10)
        ordered = time.monotonic()
        await whole.kill(key)
        returned = time.monotonic()
    assert actor.why
    assert actor.ended - ordered < _OVER_WITHIN
    assert actor.after(returned) == 0
    assert await whole.backends() == 0
    assert await whole.site.owner.fetchval("SELECT count(*) FROM items") == 400


async def test_what_a_slow_client_finds_after_the_kill(whole: WholeSite):
    """What its own machine holds already, and nothing of what waited on the gateway's."""
    link = await whole.wire(await whole.activation())
    own = link.writer.get_extra_info("socket")
    transport = link.writer.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    link.send(wire.query(_ENDLESS))
    await asyncio.sleep(1)  # the buffers on the way are full by then
    await whole.kill(whole.front.authority.opened[0].activation)
    left = 0
    with socket.socket(fileno=os.dup(own.fileno())) as rest, contextlib.suppress(ConnectionError):
        rest.setblocking(True)
        while part := rest.recv(65536):
            left += len(part)
    link.close()
    assert 0 < left <= _HELD_BY_ITSELF
