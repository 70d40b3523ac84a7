"""How fast a store is, as JSON: one lifecycle step, and one event, for 1, 16 and 64 callers.

    python benchmarks/store.py [--postgresql] [--seconds 3]

A *step* reads and writes a record and appends an event; on return both are durable, numbered and
under a signed checkpoint that is kept outside too. `ratio` compares with raw SQLite on the same
disk: one thread that inserts the same number of bytes and commits its callers together.
"""

import argparse
import asyncio
import json
import queue
import sqlite3
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from callpoint.adapters.clock.system import SystemClock
from callpoint.adapters.keys.files import FileLogSigner, create_keys
from callpoint.adapters.stores.postgresql import PostgresStore
from callpoint.adapters.stores.sqlite import SqliteStore
from callpoint.cli.postgres_server import find_servers
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.event import LeaseIssued
from callpoint.domain.record import Index
from callpoint.ports.stores import Store, Transaction

ORIGIN, INSTALLATION = "callpoint/bench0", "bench0"
CALLERS = (1, 16, 64)
Call = Callable[[str], Awaitable[object]]


class Row(msgspec.Struct, frozen=True):
    """A record of a lease's size."""

    id: str
    body: str = "x" * 700
    count: int = 0
    version: int = 0

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index(state="live", parent=self.id, subject="orders-db")

    def stored(self, version: int) -> "Row":
        return msgspec.structs.replace(self, version=version)


def step(store: Store) -> Call:
    """State and event."""

    def call(caller: str) -> Awaitable[object]:
        def work(transaction: Transaction) -> None:
            row = transaction.find(Row, caller) or Row(caller)
            transaction.put(msgspec.structs.replace(row, count=row.count + 1))
            transaction.append(f"activation:{caller}", event())

        return store.transact(work)

    return call


def append(store: Store) -> Call:
    """An event alone."""

    def call(caller: str) -> Awaitable[object]:
        return store.transact(lambda tx: tx.append(f"activation:{caller}", event()))

    return call


def event() -> LeaseIssued:
    """An event of ordinary size."""
    return LeaseIssued(lease="bench0abcdefghijkl00", target="orders-db", box_sha256="a" * 64)


class RawSqlite:
    """Group commit without anything else: what the disk and SQLite allow."""

    def __init__(self, path: Path) -> None:
        self._queue: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(path,), daemon=True)
        self._thread.start()

    def call(self, _caller: str) -> Awaitable[object]:
        future: Future[None] = Future()
        self._queue.put(future)
        return asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join()

    def _serve(self, path: Path) -> None:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, leaf BLOB)")
        while (first := self._queue.get()) is not None:
            batch = [first]
            while not self._queue.empty() and (item := self._queue.get()) is not None:
                batch.append(item)
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO entries (leaf) VALUES (?)", [(b"x" * 400,) for _ in batch]
            )
            database.execute("COMMIT")
            for future in batch:
                future.set_result(None)
        database.close()


async def measure(call: Call, callers: int, seconds: float, name: str) -> dict[str, float]:
    """Calls a second, and how long the slowest hundredth took."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        while (begun := time.perf_counter()) < end:
            await call(f"{name}{callers}-{number}")
            took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(callers)))
    rate = len(took) / (time.perf_counter() - begun)
    took.sort()
    return {"per_second": round(rate), "p99_ms": round(took[len(took) * 99 // 100] * 1000, 1)}


async def measure_all(folder: Path, dsn: str | None, seconds: float) -> dict[str, object]:
    """Every store, after one another on the same disk."""
    create_keys(folder / "keys", log_name=ORIGIN)
    signer = FileLogSigner(folder / "keys")
    report: dict[str, object] = {}
    raw_rates: dict[int, float] = {}
    raw = RawSqlite(folder / "raw.db")
    for callers in CALLERS:
        result = await measure(raw.call, callers, seconds, "raw")
        raw_rates[callers] = result["per_second"]
        report[f"raw sqlite, {callers} callers"] = result
    raw.stop()
    async with AsyncExitStack() as stack:
        stores: dict[str, Store] = {}
        stores["sqlite"] = sqlite = await SqliteStore.open(
            folder / "state.db",
            signer=signer,
            clock=SystemClock(),
            checkpoint_file=folder / "checkpoint",
            origin=ORIGIN,
            installation=INSTALLATION,
        )
        stack.push_async_callback(sqlite.close)
        if dsn is not None:
            for name, key in (("postgresql", signer), ("postgresql without the key", None)):
                stores[name] = opened = await PostgresStore.open(
                    dsn,
                    signer=key,
                    checkpoint_file=folder / "pg-checkpoint",
                    origin=ORIGIN,
                    installation=INSTALLATION,
                )
                stack.push_async_callback(opened.close)
        for name, store in stores.items():
            while not await store.log_works():
                await asyncio.sleep(0.1)
            for what, make in (("step", step), ("append", append)):
                for callers in CALLERS:
                    result = await measure(make(store), callers, seconds, what)
                    ratio = round(result["per_second"] / raw_rates[callers], 3)
                    report[f"{name}, {what}, {callers} callers"] = {**result, "ratio": ratio}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true", help="on a throwaway server too")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.postgresql:
            with ThrowawayPostgres(find_servers()[0]) as server:
                work = measure_all(Path(folder), server.superuser_url(), options.seconds)
                report = asyncio.run(work)
        else:
            report = asyncio.run(measure_all(Path(folder), None, options.seconds))
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
