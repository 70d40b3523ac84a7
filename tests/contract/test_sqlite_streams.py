"""SQLite finds a stream's entries by the chain that they form, from the last one backwards."""

import sqlite3
from contextlib import asynccontextmanager, closing

import pytest

from callpoint.adapters.stores.sqlite.migrations import MIGRATIONS
from callpoint.audit.entry import parse_entry
from callpoint.domain.errors import TamperError
from tests.contract.store_benches import SqliteBench, add, issued

STREAMS = ("a:1", "b:2", "c:3")
CHAINED = 5
"""The migration that made the chain."""


@pytest.fixture
def sqlite_bench(tmp_path):
    return SqliteBench(tmp_path)


@asynccontextmanager
async def opened(bench):
    store = await bench.open()
    try:
        yield store
    finally:
        await store.close()


async def fill(store):
    """Three entries in each stream, in turns."""
    for _ in range(3):
        for stream in STREAMS:
            await store.transact(add(stream, issued()))


async def read(store):
    """Place and number of each entry of each stream."""
    found = await store.read(lambda view: {s: view.entries(s) for s in STREAMS})
    return {
        stream: [(entry.index, parse_entry(entry.leaf).seq) for entry in entries]
        for stream, entries in found.items()
    }


def make_older(path):
    """The database as it was before the chain: the entries with an index by stream."""
    tables = "".join(MIGRATIONS[0].statements)
    begin = tables.index("CREATE TABLE entries")
    old = tables[begin : tables.index("STRICT", begin) + len("STRICT")]
    columns = "idx, stream, seq, closes, leaf_hash, leaf"
    with closing(sqlite3.connect(path)) as database, database:
        for verb in ("update", "delete"):
            database.execute(f"DROP TRIGGER entries_no_{verb}")
        database.execute("ALTER TABLE entries RENAME TO newer")
        database.execute(old)
        database.execute(f"INSERT INTO entries ({columns}) SELECT {columns} FROM newer")
        database.execute("DROP TABLE newer")
        database.execute("DROP TABLE streams")
        database.execute("DELETE FROM migrations WHERE number = ?", (CHAINED,))


async def test_a_database_without_the_chain_gets_it(sqlite_bench):
    """An older database is read as before, goes on where it ended, and is as protected."""
    async with opened(sqlite_bench) as store:
        await fill(store)
        before = await read(store)
    make_older(sqlite_bench.path)
    async with opened(sqlite_bench) as store:
        assert await read(store) == before
        await store.transact(add("b:2", issued()))
        assert (await read(store))["b:2"] == [*before["b:2"], (9, 3)]
    with pytest.raises(sqlite3.IntegrityError):
        sqlite_bench.execute("DELETE FROM entries")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET before = NULL WHERE idx = 7",
        "UPDATE entries SET before = 7 WHERE idx = 4",
        "UPDATE entries SET before = 3 WHERE idx = 7",
        "DELETE FROM entries WHERE idx = 4",
        "DELETE FROM entries WHERE idx = 7",
        "UPDATE streams SET last = 8 WHERE name = 'b:2'",
    ],
)
async def test_a_broken_chain_is_noticed_where_it_is_read(sqlite_bench, change):
    """What does not lead from the last entry to number 0 of one stream is no stream; no loops."""
    async with opened(sqlite_bench) as store:
        await fill(store)
    for verb in ("update", "delete"):
        sqlite_bench.execute(f"DROP TRIGGER entries_no_{verb}")
    sqlite_bench.execute(change)
    async with opened(sqlite_bench) as store:
        with pytest.raises(TamperError):
            await store.read(lambda view: view.entries("b:2"))
        assert await store.read(lambda view: len(view.entries("a:1"))) == len(STREAMS)
