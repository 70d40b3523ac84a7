"""PostgreSQL behind ``sql.connection.Connection``: one writer at a time, on any number of nodes.

A write takes an exclusive lock on the table ``writer`` as the first statement of a REPEATABLE READ
transaction. LOCK TABLE takes no snapshot, so the transaction sees everything that the writer
before it committed, and nobody commits while it runs: that is serial, not merely serialisable, and
needs no retry (``docs/adr/0006-one-writer-on-postgresql.md``). A writer that hangs is cut by
the server.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from callpoint.adapters.stores.postgresql.streams import IndexedStreams
from callpoint.adapters.stores.sql.connection import Parameters, Streams
from callpoint.domain.errors import StoreUnavailableError

SIGNALLED = "callpoint_signalled"
"""Channel of signals between processes. A database has one, so others' may be heard."""

_CONNECT_SECONDS = 5
# A server that the network lost is noticed within this, and so that it is back.
_UNACKNOWLEDGED_MS = 15_000
_OPEN = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR})

_SETTINGS = {
    # A writer that stalls, or a node that the network lost, must not keep the others out.
    "idle_in_transaction_session_timeout": "15s",
    "lock_timeout": "20s",
    "statement_timeout": "30s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "client_min_messages": "warning",
}
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
# With a full queue the commit would fail, and whoever listens and sleeps could fill it. A signal
# may be lost, a revocation may not.
_NOTIFY = "SELECT pg_notify(?, ?) WHERE pg_notification_queue_usage() < 0.5"
_SET = "SELECT set_config(?, ?, false)"
_STREAMS = IndexedStreams()


def no_offset() -> timedelta:
    """The server's clock as it is."""
    return timedelta(0)


class PostgresConnection:
    """Implements ``Connection``.

    Args:
        dsn: libpq connection string or URL; not through a pooler that shares sessions.
        schema: Where our tables are.
        offset: Added to the server's clock; only tests move it.
    """

    def __init__(
        self, dsn: str, *, schema: str, offset: Callable[[], timedelta] = no_offset
    ) -> None:
        self._offset = offset
        try:
            self.session = psycopg.connect(
                dsn,
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
                tcp_user_timeout=_UNACKNOWLEDGED_MS,
                application_name="callpoint",
            )
        except psycopg.Error as error:
            raise _failed(error, is_silent=_is_silent(error)) from error
        try:
            for name, value in {**_SETTINGS, "search_path": f'"{schema}", pg_temp'}.items():
                self.rows(_SET, (name, value))
            self.rows(_DURABLE)
        except StoreUnavailableError:
            self.close()
            raise

    @property
    def streams(self) -> Streams:
        return _STREAMS

    @property
    def in_transaction(self) -> bool:
        return self.session.info.transaction_status in _OPEN

    def begin_write(self) -> None:
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE")
        # Before anything that takes a snapshot, or this writer would miss the last one's commit.
        self.run("LOCK TABLE writer IN EXCLUSIVE MODE")

    def begin_read(self) -> None:
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        with suppress(psycopg.Error):
            if self.in_transaction:
                self.session.execute("ROLLBACK")

    def rows(self, query: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        try:
            return self.session.execute(_translated(query), parameters).fetchall()
        except psycopg.Error as error:
            raise _failed(error) from error

    def run(self, statement: str, parameters: Parameters = ()) -> int:
        try:
            return self.session.execute(_translated(statement), parameters or None).rowcount
        except psycopg.Error as error:
            raise _failed(error) from error

    def run_many(self, statement: str, rows: Sequence[Parameters]) -> None:
        try:
            with self.session.cursor() as cursor:
                cursor.executemany(_translated(statement), rows)
        except psycopg.Error as error:
            raise _failed(error) from error

    def clock(self) -> datetime:
        now: datetime = self.rows("SELECT clock_timestamp()")[0][0]
        return now.astimezone(UTC) + self._offset()

    def notify(self, text: str) -> None:
        self.rows(_NOTIFY, (SIGNALLED, text))

    def close(self) -> None:
        with suppress(psycopg.Error):
            self.session.close()


@lru_cache(maxsize=512)
def _translated(query: str) -> str:
    # Our own constant SQL: it holds no percent sign, and question marks only for parameters.
    return query.replace("?", "%s")


def _is_silent(error: psycopg.Error) -> bool:
    """Nobody answered a connection, or the server is only just starting or stopping.

    libpq gives no code for a connection that was refused, only the server's words.
    """
    words = str(error)
    refused = "FATAL" in words and "the database system is" not in words
    return isinstance(error, psycopg.OperationalError) and not refused


def _failed(error: psycopg.Error, *, is_silent: bool = False) -> StoreUnavailableError:
    words = error.diag.message_primary or str(error).partition("\n")[0] or type(error).__name__
    code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    return StoreUnavailableError(
        f"PostgreSQL, the store, failed: {words}{code}",
        way_out="check that the server is up, writable and has free space, then try again",
        is_silent=is_silent,
    )
