"""The embedded store: one SQLite file, one process."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from callpoint.adapters.stores.sql.checkpoint_file import CheckpointFile
from callpoint.adapters.stores.sql.ledger import Ledger
from callpoint.adapters.stores.sql.place import machine, must_be_here
from callpoint.adapters.stores.sql.readers import Readers
from callpoint.adapters.stores.sql.schema import claim, migrate
from callpoint.adapters.stores.sql.store import SqlStore
from callpoint.adapters.stores.sql.writer import Writer
from callpoint.adapters.stores.sqlite.connection import SqliteConnection
from callpoint.adapters.stores.sqlite.lock import ProcessLock
from callpoint.adapters.stores.sqlite.migrations import LEDGER_OF_MIGRATIONS, MIGRATIONS
from callpoint.domain.errors import StoreUnavailableError
from callpoint.ports.clock import Clock
from callpoint.ports.keys import LogSigner

_READERS = 4


class SqliteStore(SqlStore):
    """Implements ``ports.stores.Store`` on a file. Use ``open``."""

    def __init__(
        self, writer: Writer, readers: Readers, ledger: Ledger, lock: ProcessLock, place: str
    ) -> None:
        super().__init__(writer, readers, ledger, place)
        self._lock = lock

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        signer: LogSigner,
        clock: Clock,
        checkpoint_file: Path,
        origin: str,
        installation: str,
        former_log_keys: Sequence[str] = (),
        allow_moved: bool = False,
    ) -> Self:
        """Open, or create, the store of an installation.

        It opens with a halted log too: then what takes away works, and ``check_log`` says why.

        Args:
            path: The database file; ``-wal``, ``-shm`` and ``.lock`` appear beside it.
            signer: Holds the log key.
            clock: The store's clock.
            checkpoint_file: Where the last checkpoint is kept, best on another disk.
            origin: ``callpoint/<installation>``; recoveries add to it by themselves.
            installation: The installation's id.
            former_log_keys: Verifier keys that signed this log before the signer's.
            allow_moved: Open it although it is not where it was; nothing but adopting it may
                follow.

        Raises:
            StoreUnavailableError: It cannot be opened, another process has it open, it is another
                installation's, or its schema is newer than this program.
            HeldError: It is not where it was.
        """
        place = await asyncio.to_thread(_place_of, path)
        lock = await asyncio.to_thread(ProcessLock, path)
        try:
            await asyncio.to_thread(
                _prepare, path, clock, origin, installation, "" if allow_moved else place
            )
        except BaseException:
            lock.release()
            raise
        ledger = Ledger(
            origin=origin,
            installation=installation,
            signer=signer,
            former_keys=former_log_keys,
            file=CheckpointFile(checkpoint_file),
        )
        writer = Writer(
            lambda: SqliteConnection(path, clock, is_writer=True), ledger, "sqlite-writer"
        )
        readers = Readers(
            lambda: SqliteConnection(path, clock, is_writer=False), _READERS, "sqlite-reader"
        )
        return await cls(writer, readers, ledger, lock, place).begin()

    async def close(self) -> None:
        await super().close()
        self._lock.release()


def _prepare(path: Path, clock: Clock, origin: str, installation: str, place: str) -> None:
    _create(path)
    connection = SqliteConnection(path, clock, is_writer=True)
    try:
        connection.begin_write()
        connection.run(LEDGER_OF_MIGRATIONS)
        migrate(connection, MIGRATIONS)
        claim(connection, origin, installation)
        if place:
            must_be_here(connection, place)
        connection.commit()
    finally:
        connection.rollback()
        connection.close()


def _place_of(path: Path) -> str:
    return f"sqlite {machine()}:{path.resolve()}"


def _create(path: Path) -> None:
    # It holds what is personal; SQLite gives its companions the same rights.
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreUnavailableError(
            f"{path} cannot be made: {error.strerror}", way_out="check the folder's owner"
        ) from error
