"""The same quarry as a schema on a real server, for somebody with the password of its owner."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from callpoint.adapters.stores.postgresql import PostgresStore
from tests.attack.quarry import Quarry
from tests.fakes.clock import SimulatedClock
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.world import INSTALLATION, ORIGIN, World
from tests.servers import FreshDatabase

_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'callpoint' AND table_name <> 'writer' ORDER BY table_name
"""


class PostgresQuarry(Quarry):
    """One database, so one copy at a time: a new copy is the database as it was kept.

    Args:
        folder: Where the checkpoint is, outside the database.
        database: Empty at first.
    """

    row = "ctid"
    refusals = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)

    def __init__(self, folder: Path, database: FreshDatabase) -> None:
        super().__init__(folder)
        self._server = database

    def keep(self) -> None:
        """What every copy is from now on; rows are where they will be in the copies."""
        self.execute("CREATE SCHEMA kept")
        for table in self._tables():
            self.execute(f"CREATE TABLE kept.{table} AS TABLE {table}")
        self._restore()

    def copy(self, folder: Path) -> "PostgresQuarry":
        shutil.copytree(self.folder, folder)
        self._restore()
        made = PostgresQuarry(folder, self._server)
        made.clock = SimulatedClock(self.clock.now(), auto=True)
        made.keys = dict(self.keys)
        return made

    @asynccontextmanager
    async def world(self, seed: int = 2) -> AsyncIterator[World]:
        store = await PostgresStore.open(
            self._server.owner_url,
            signer=MemoryLogSigner(ORIGIN),
            checkpoint_file=self.folder / "checkpoint",
            origin=ORIGIN,
            installation=INSTALLATION,
            clock_offset=self._offset,
        )
        try:
            yield self.over(store, seed)
        finally:
            await store.close()

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        with self._owner() as owner:
            cursor = owner.execute(statement.replace("?", "%s").encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def columns(self, table: str) -> list[str]:
        query = (
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'callpoint'"
            " AND table_name = ? ORDER BY ordinal_position"
        )
        return [str(name) for (name,) in self.execute(query, (table,))]

    def _restore(self) -> None:
        tables = self._tables()
        fill = [
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE kept.{table}" for table in tables
        ]
        # New files, so that each row is at the place where it was after the last time.
        self.execute(";".join((f"TRUNCATE {', '.join(tables)}", *fill)))

    def _tables(self) -> list[str]:
        return [str(name) for (name,) in self.execute(_TABLES)]

    def _owner(self) -> "psycopg.Connection[tuple[object, ...]]":
        # Past the triggers that guard against accidents.
        options = "-c session_replication_role=replica -c search_path=callpoint"
        return psycopg.connect(self._server.owner_url, options=options)

    def _offset(self) -> timedelta:
        return self.clock.now() - datetime.now(UTC)
