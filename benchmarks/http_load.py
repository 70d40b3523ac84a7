"""HTTP/1.1 as lean as can be: requests are bytes that were made before, answers are barely read.

What the client costs is part of what both sides of a comparison are told, so it must be little.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import cast

from benchmarks.load import Took

_LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: asyncio.Future[bytes] | None = None
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's hook."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Asyncio's hook: an answer is whole when its length is there."""
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._held[:end].lower()
        at = head.find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0
        if len(self._held) >= end + 4 + length and self._waiting is not None:
            answer, self._held = self._held, b""
            self._waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's hook."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("the server hung up"))

    async def call(self, request: bytes) -> bytes:
        """The whole answer."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Hang up."""
        self._waiting = None
        if self._transport is not None:
            self._transport.close()


async def connected(port: int, clients: int) -> list[Connection]:
    """So many connections to this machine."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, "127.0.0.1", port) for _ in range(clients)]
    return [connection for _, connection in made]


async def load(port: int, clients: int, requests: Sequence[bytes]) -> tuple[list[bytes], Took]:
    """So many connections take the requests one after another; answers in the requests' order.

    They are opened before the clock starts: a server hangs up on those that are idle.
    """
    connections = await connected(port, clients)
    waiting = iter(enumerate(requests))
    answers, took = [b""] * len(requests), [0.0] * len(requests)

    async def client(connection: Connection) -> None:
        for number, request in waiting:
            begun = time.perf_counter()
            answers[number] = await connection.call(request)
            took[number] = time.perf_counter() - begun

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(client(connection))
    whole = time.perf_counter() - begun
    for connection in connections:
        connection.close()
    return answers, Took(took, whole)
