"""Group commit and nothing else: what a disk and a database allow to whoever appends entries.

One thread takes whoever waits, writes their entries in one transaction and answers when it is
durable. No number, no tree, no signature, no file outside.
"""

import queue
import sqlite3
import threading
from asyncio import wrap_future
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, Self

import psycopg

LEAF = b"x" * 400
"""About as long as the entries that it is compared with."""


class _Sink(Protocol):
    """Where the entries go; made and used by the thread."""

    def write(self, count: int) -> None:
        """So many entries, durable on return."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class SqliteSink:
    """WAL and ``synchronous=FULL``, as our store has them."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE raw (id INTEGER PRIMARY KEY, leaf BLOB)")

    def write(self, count: int) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO raw (leaf) VALUES (?)", [(LEAF,)] * count)
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


class PostgresSink:
    """Binary COPY, the fastest way in."""

    def __init__(self, dsn: str) -> None:
        self._session = psycopg.connect(dsn, autocommit=True)
        self._session.execute(
            "CREATE TABLE raw (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, leaf bytea)"
        )

    def write(self, count: int) -> None:
        statement = "COPY raw (leaf) FROM STDIN (FORMAT BINARY)"
        with self._session.cursor() as cursor, cursor.copy(statement) as copy:
            for _ in range(count):
                copy.write_row((LEAF,))

    def close(self) -> None:
        self._session.close()


class RawCommits:
    """The thread; use as a context manager, ``call`` from the event loop."""

    def __init__(self, open_sink: type[SqliteSink | PostgresSink], where: Path | str) -> None:
        self._queue: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._serve, args=(open_sink, where), name="raw", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()

    def call(self, _client: int) -> Awaitable[object]:
        """One entry; resolves when it is durable."""
        future: Future[None] = Future()
        self._queue.put(future)
        return wrap_future(future)

    def _serve(self, open_sink: Callable[[Any], "_Sink"], where: Path | str) -> None:
        sink: _Sink = open_sink(where)
        while (first := self._queue.get()) is not None:
            batch = [first]
            while not self._queue.empty() and (item := self._queue.get()) is not None:
                batch.append(item)
            sink.write(len(batch))
            for future in batch:
                future.set_result(None)
        sink.close()
