"""A target that is far away, or that has died: a TCP proxy in a process of its own.

It listens on a port of 127.0.0.1 and says which on its first line; then it obeys lines on its
standard input: ``delay SECONDS`` (each way), ``dead`` (nothing passes any more, nothing is closed),
``alive``. It ends with its input.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

_CHUNK = 65536


@dataclass(frozen=True)
class Distance:
    """One running proxy."""

    port: int
    orders: IO[str]

    def say(self, order: str) -> None:
        """Give an order; it holds for bytes that arrive from now on."""
        self.orders.write(order + "\n")
        self.orders.flush()


@contextmanager
def distance(port: int) -> Iterator[Distance]:
    """Start one in front of a port; nothing is delayed yet."""
    process = subprocess.Popen(  # noqa: S603 -- ourselves
        [sys.executable, "-m", "benchmarks.distance", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("no pipes")
        yield Distance(int(process.stdout.readline()), process.stdin)
    finally:
        process.communicate()


class _Proxy:
    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._delay = 0.0
        self._alive = asyncio.Event()
        self._alive.set()

    async def serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        loop = asyncio.get_running_loop()
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := (await orders.readline()).decode().split():
            match line:
                case ["dead"]:
                    self._alive.clear()
                case ["alive"]:
                    self._alive.set()
                case ["delay", seconds]:
                    self._delay = float(seconds)
                case _:
                    raise ValueError(f"no order: {line}")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._alive.wait()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, back))
                both.create_task(self._pass_on(there, writer))
        except* OSError:
            writer.close()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK):
            await self._alive.wait()
            await asyncio.sleep(self._delay)
            sink.write(data)
            await sink.drain()
        sink.close()


if __name__ == "__main__":
    asyncio.run(_Proxy(int(sys.argv[1])).serve())
