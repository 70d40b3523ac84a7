"""One caller's part of a batch's transaction: a savepoint that begins with its first statement.

Most callers of a busy log only append, and run none: they need nothing to go back to.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from callpoint.adapters.stores.sql.connection import Parameters, Statements, Streams


class Savepoint:
    """The batch's connection as one caller sees it: what a caller may run, and no more.

    A failed *query* ends a transaction of PostgreSQL as well, so reading begins it too.
    """

    def __init__(self, connection: Statements) -> None:
        self._connection = connection
        self._is_open = False

    @property
    def streams(self) -> Streams:
        """How the database finds the entries of a stream."""
        return self._connection.streams

    def rows(self, query: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Run a query and fetch all of its rows."""
        self._open()
        return self._connection.rows(query, parameters)

    def run(self, statement: str, parameters: Parameters = ()) -> int:
        """Run a statement; returns how many rows it changed."""
        self._open()
        return self._connection.run(statement, parameters)

    def run_many(self, statement: str, rows: Sequence[Parameters]) -> None:
        """Run a statement once for each row of parameters."""
        self._open()
        self._connection.run_many(statement, rows)

    def clock(self) -> datetime:
        """The store's clock."""
        return self._connection.clock()

    def notify(self, text: str) -> None:
        """Signal other processes, unless it is taken back."""
        self._open()
        self._connection.notify(text)

    def keep(self) -> None:
        """What the caller wrote belongs to the batch."""
        if self._is_open:
            self._connection.run("RELEASE SAVEPOINT caller")
            self._is_open = False

    def take_back(self) -> None:
        """What the caller wrote never happened."""
        if self._is_open:
            self._connection.run("ROLLBACK TO SAVEPOINT caller")
            self.keep()

    def _open(self) -> None:
        if not self._is_open:
            self._connection.run("SAVEPOINT caller")
            self._is_open = True
