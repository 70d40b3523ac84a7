"""What a database must do for the code in this package."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from callpoint.audit.log import Numbered, StreamEnd

Parameters: TypeAlias = Sequence[str | int | bytes | None]


class Statements(Protocol):
    """What can be run inside a transaction. Every method raises StoreUnavailableError."""

    @property
    def streams(self) -> "Streams":
        """How this database finds the entries of a stream."""
        ...

    def rows(self, query: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Run a query and fetch all of its rows."""
        ...

    def run(self, statement: str, parameters: Parameters = ()) -> int:
        """Run a statement; returns how many rows it changed."""
        ...

    def run_many(self, statement: str, rows: Sequence[Parameters]) -> None:
        """Run a statement once for each row of parameters."""
        ...

    def clock(self) -> datetime:
        """The store's clock, aware, UTC."""
        ...

    def notify(self, text: str) -> None:
        """Signal other processes on the database when the transaction commits."""
        ...


class Streams(Protocol):
    """Entries of the log by their streams. Every method raises StoreUnavailableError."""

    def end(self, statements: Statements, stream: str) -> StreamEnd | None:
        """The last entry of a stream, None for a stream without entries.

        Raises:
            TamperError: The database does not find what it has.
        """
        ...

    def entries(self, statements: Statements, stream: str) -> Sequence[tuple[int, bytes, bytes]]:
        """Index, leaf hash and leaf of each entry of a stream, in order. TamperError as `end`."""
        ...

    def add(self, statements: Statements, entries: Sequence[Numbered]) -> None:
        """Store new entries."""
        ...


class Connection(Statements, Protocol):
    """One connection, used by one thread at a time. Every method raises StoreUnavailableError."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open; after some failures the database has ended it itself."""
        ...

    def begin_write(self) -> None:
        """Begin a transaction that excludes every other writer and sees all they committed."""
        ...

    def begin_read(self) -> None:
        """Begin a read-only transaction on one consistent snapshot."""
        ...

    def commit(self) -> None:
        """Commit, down to the disk. When it raises, what was written may or may not stand."""
        ...

    def rollback(self) -> None:
        """Forget the transaction, if one is open; never raises."""
        ...

    def close(self) -> None:
        """Let go of it; never raises."""
        ...


Connect: TypeAlias = Callable[[], Connection]
