"""Readers: a few threads, each with a connection of its own, that never wait for the writer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, LifoQueue
from typing import TypeVar

from callpoint.adapters.stores.sql.connection import Connect, Connection
from callpoint.adapters.stores.sql.view import SqlView, read_moment
from callpoint.domain.errors import StoreUnavailableError

T = TypeVar("T")


class Readers:
    """A bounded pool.

    Args:
        connect: Opens a connection for reading.
        threads: How many reads run at once.
        name: The threads' name.
    """

    def __init__(self, connect: Connect, threads: int, name: str) -> None:
        self._connect = connect
        self._idle: LifoQueue[Connection] = LifoQueue()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[SqlView], T]) -> T:
        """Run ``work`` on one consistent view."""
        try:
            running = self._threads.submit(self._run, work)
        except RuntimeError as error:
            raise StoreUnavailableError("the store is closed") from error
        return await asyncio.wrap_future(running)

    def close(self) -> None:
        """Finish what was accepted and let go of the connections. Blocks."""
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _run(self, work: Callable[[SqlView], T]) -> T:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._connect()
        try:
            connection.begin_read()
            value = work(SqlView(connection, read_moment(connection)))
            connection.rollback()
        except StoreUnavailableError:
            connection.close()
            raise
        except BaseException:
            connection.rollback()
            self._idle.put(connection)
            raise
        self._idle.put(connection)
        return value
