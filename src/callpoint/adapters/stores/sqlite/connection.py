"""SQLite behind ``sql.connection.Connection``: WAL, synchronous=FULL, immediate writes."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from callpoint.adapters.stores.sql.connection import Parameters, Streams
from callpoint.adapters.stores.sqlite.streams import ChainedStreams
from callpoint.domain.errors import StoreUnavailableError
from callpoint.ports.clock import Clock

_BUSY_SECONDS = 5.0
_STATEMENTS_KEPT = 256
_WAL_PAGES = 1000
_STREAMS = ChainedStreams()


class SqliteConnection:
    """Implements ``Connection``.

    Args:
        path: The database file; a writer creates it.
        clock: The store's clock.
        is_writer: Whether it may write.
    """

    def __init__(self, path: Path, clock: Clock, *, is_writer: bool) -> None:
        self._path = path
        self._clock = clock
        mode = "rwc" if is_writer else "ro"
        try:
            self._database = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                cached_statements=_STATEMENTS_KEPT,
                check_same_thread=False,  # the owner hands it from thread to thread, never to two
            )
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._set_up(is_writer=is_writer)

    def _set_up(self, *, is_writer: bool) -> None:
        try:
            if is_writer:
                self.rows("PRAGMA journal_mode = WAL")
                # FULL: in WAL mode, NORMAL loses the last commits with the power.
                self.run("PRAGMA synchronous = FULL")
                self.rows(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            else:
                self.run("PRAGMA query_only = ON")
            # A record that was changed by hand shall not run code when it is read.
            self.run("PRAGMA trusted_schema = OFF")
        except StoreUnavailableError:
            self.close()
            raise

    @property
    def streams(self) -> Streams:
        return _STREAMS

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    def begin_write(self) -> None:
        # IMMEDIATE: a deferred one meets SQLITE_BUSY at its first write, when it is too late.
        self.run("BEGIN IMMEDIATE")

    def begin_read(self) -> None:
        self.run("BEGIN")

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        # After a disk error SQLite may have rolled back by itself, between the two calls too.
        with suppress(sqlite3.Error):
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def rows(self, query: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def run(self, statement: str, parameters: Parameters = ()) -> int:
        try:
            return self._database.execute(statement, parameters).rowcount
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def run_many(self, statement: str, rows: Sequence[Parameters]) -> None:
        try:
            self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def clock(self) -> datetime:
        return self._clock.now()

    def notify(self, text: str) -> None:
        """No other process has this database open."""

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._database.close()

    def _failed(self, error: sqlite3.Error) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the database {self._path} failed: {error}",
            way_out="check the disk's free space and the file's owner, then try again",
        )
