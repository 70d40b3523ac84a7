"""The store on PostgreSQL: any number of processes, some of them without the log key."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

from callpoint.adapters.stores.postgresql.connection import PostgresConnection, no_offset
from callpoint.adapters.stores.postgresql.ear import ear
from callpoint.adapters.stores.postgresql.migrations import LEDGER_OF_MIGRATIONS, MIGRATIONS
from callpoint.adapters.stores.postgresql.place import place_of
from callpoint.adapters.stores.postgresql.sequencer import (
    Numberings,
    OpenConnection,
    RemoteLog,
    Sequencer,
    is_key_at_work,
)
from callpoint.adapters.stores.sql.checkpoint_file import CheckpointFile
from callpoint.adapters.stores.sql.ledger import Ledger
from callpoint.adapters.stores.sql.place import must_be_here
from callpoint.adapters.stores.sql.readers import Readers
from callpoint.adapters.stores.sql.schema import claim, migrate
from callpoint.adapters.stores.sql.store import SqlStore
from callpoint.adapters.stores.sql.writer import Writer
from callpoint.domain.errors import StoreUnavailableError
from callpoint.ports.keys import LogSigner

_READERS = 4
_NUMBER_WITHIN = timedelta(seconds=10)
_MIGRATION_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('callpoint migrations', 0))"


class PostgresStore(SqlStore):
    """Implements ``ports.stores.Store``. Use ``open``."""

    def __init__(
        self,
        writer: Writer,
        readers: Readers,
        ledger: Ledger | RemoteLog,
        helper: Sequencer | Numberings,
        place: str,
        connect: OpenConnection,
    ) -> None:
        super().__init__(writer, readers, ledger, place)
        self._helper = helper
        self._ear = ear(connect, writer.signals.tell_one)
        helper.listener.start()
        self._ear.start()

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        signer: LogSigner | None,
        checkpoint_file: Path,
        origin: str,
        installation: str,
        former_log_keys: Sequence[str] = (),
        allow_moved: bool = False,
        schema: str = "callpoint",
        number_within: timedelta = _NUMBER_WITHIN,
        clock_offset: Callable[[], timedelta] = no_offset,
    ) -> Self:
        """Open, or create, the store of an installation.

        It opens with a halted log too: then what takes away works, and ``check_log`` says why.

        Args:
            dsn: libpq connection string or URL, not through a pooler that shares sessions.
            signer: Holds the log key; None in a process that leaves numbering to others.
            checkpoint_file: Where this process keeps the last checkpoint that it knows of, on a
                disk of its own. Unused without a signer.
            origin: ``callpoint/<installation>``; recoveries add to it by themselves.
            installation: The installation's id.
            former_log_keys: Verifier keys that signed this log before the signer's.
            allow_moved: Open it although it is not where it was; nothing but adopting it may
                follow.
            schema: Where the tables are; made if missing.
            number_within: Without a signer: how long a caller waits for its events' numbers.
            clock_offset: Added to the server's clock; only tests move it.

        Raises:
            StoreUnavailableError: No server answers, it is another installation's database, or
                its schema is newer than this program.
            HeldError: It is not where it was.
        """

        def connect() -> PostgresConnection:
            return PostgresConnection(dsn, schema=schema, offset=clock_offset)

        place = await asyncio.to_thread(
            _prepare, connect, schema, origin, installation, allow_moved=allow_moved
        )
        readers = Readers(connect, _READERS, "postgres-reader")
        if signer is None:
            numberings = Numberings(connect, number_within.total_seconds())
            remote = RemoteLog()
            writer = Writer(connect, remote, "postgres-writer", numberings.await_number)
            return await cls(writer, readers, remote, numberings, place, connect).begin()
        ledger = Ledger(
            origin=origin,
            installation=installation,
            signer=signer,
            former_keys=former_log_keys,
            file=CheckpointFile(checkpoint_file),
        )
        writer = Writer(connect, ledger, "postgres-writer")
        sequencer = Sequencer(connect, writer.ask, ledger.try_signer)
        return await cls(writer, readers, ledger, sequencer, place, connect).begin()

    @staticmethod
    async def must_be_idle(dsn: str, *, schema: str = "callpoint") -> None:
        """See that no process with the log key is connected; one with a halted log is none less.

        Raises:
            StoreUnavailableError: One is, or no server answers.
        """

        def look() -> bool:
            connection = PostgresConnection(dsn, schema=schema, offset=no_offset)
            try:
                return is_key_at_work(connection)
            finally:
                connection.close()

        if await asyncio.to_thread(look):
            raise StoreUnavailableError(
                "another Callpoint with the log key is at work on the database",
                way_out="stop every `callpoint serve` of this installation first",
            )

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._ear.stop()
        if isinstance(self._helper, Sequencer):
            self._helper.listener.stop()
            self._writer.stop()
        else:
            self._writer.stop()
            self._helper.drain()
            self._helper.listener.stop()
            self._helper.abandon()
        self._readers.close()


def _prepare(
    connect: Callable[[], PostgresConnection],
    schema: str,
    origin: str,
    installation: str,
    *,
    allow_moved: bool,
) -> str:
    """Make it ready; returns where it is."""
    connection = connect()
    try:
        connection.run("BEGIN")
        connection.rows(_MIGRATION_LOCK)  # replicas that start together take turns
        # Looked up first: a process may be allowed to use the tables, but not to make any.
        if not connection.rows("SELECT 1 FROM pg_namespace WHERE nspname = ?", (schema,)):
            connection.run(f'CREATE SCHEMA "{schema}"')
        if connection.rows("SELECT to_regclass('migrations')")[0][0] is None:
            connection.run(LEDGER_OF_MIGRATIONS)
        migrate(connection, MIGRATIONS)
        claim(connection, origin, installation)
        place = place_of(connection, schema)
        if not allow_moved:
            must_be_here(connection, place)
        connection.commit()
        return place
    finally:
        connection.rollback()
        connection.close()
