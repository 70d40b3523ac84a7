"""A view that can also write: implements ``ports.stores.Transaction`` for one caller of a batch."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from callpoint.adapters.stores.sql.connection import Statements
from callpoint.adapters.stores.sql.public_log import keep_cosignature
from callpoint.adapters.stores.sql.rows import kind_name, row_of
from callpoint.adapters.stores.sql.timestamps import keep_timestamp
from callpoint.adapters.stores.sql.view import Moment, SqlView
from callpoint.audit.entry import format_time
from callpoint.audit.log import Ready, ready
from callpoint.domain.errors import ConflictError, RequestError
from callpoint.domain.event import AnyEvent
from callpoint.domain.record import Record
from callpoint.ports.stores import SIGNAL_LIMIT, Cosignature, Entry, RecordName, TimeStamp

R = TypeVar("R", bound=Record)

_INSERT = """
INSERT INTO records
    (kind, first_at, key, version, state, parent, subject, due_at, priority, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_UPDATE = """
UPDATE records
SET version = ?, state = ?, parent = ?, subject = ?, due_at = ?, priority = ?, body = ?
WHERE kind = ? AND key = ? AND version = ?
"""


class ReadTooSoonError(Exception):
    """The caller read a stream that an earlier caller of its batch has just added to.

    Those events have no checkpoint yet, so there is no true answer: the batch lets this caller
    run again once they have. It never leaves this package.
    """


class SqlTransaction(SqlView):
    """Implements ``ports.stores.Transaction``.

    Args:
        connection: Inside the batch's transaction and the caller's savepoint.
        moment: The batch's moment.
        is_pending: Whether an earlier caller of the batch added to that stream.
        is_closed: Whether an event that waits, or has its number, closes that stream.
        versions: Of records, as they are stored; those that are written are taken out.

    Attributes:
        drafts: What the caller appended so far.
        signals: What is to be told once it is committed.
        was_too_soon: ReadTooSoonError was raised, whatever became of it.
    """

    def __init__(
        self,
        connection: Statements,
        moment: Moment,
        is_pending: Callable[[str], bool],
        is_closed: Callable[[str], bool],
        versions: dict[RecordName, int],
    ) -> None:
        super().__init__(connection, moment)
        self._is_pending = is_pending
        self._is_closed = is_closed
        self._versions = versions
        self._closed: set[str] = set()
        self.drafts: list[Ready] = []
        self.signals: list[str] = []
        self.was_too_soon = False

    def entries(self, stream: str) -> tuple[Entry, ...]:
        self._refuse_pending(stream)
        return super().entries(stream)

    def unnumbered(self, stream: str) -> int:
        self._refuse_pending(stream)
        return super().unnumbered(stream)

    def versions(self, rows: Sequence[RecordName]) -> tuple[int, ...]:
        try:
            return tuple([self._versions[row] for row in rows])
        except KeyError:
            return super().versions(rows)

    def put(self, record: R) -> R:
        stored: R = record.stored(record.version + 1)
        key, *columns = row_of(stored)
        kind = kind_name(type(record))
        self._versions.pop((type(record), record.key()), None)
        if record.version:
            changed = self._connection.run(_UPDATE, (*columns, kind, key, record.version))
        else:
            first_at = format_time(self.now())
            changed = self._connection.run(_INSERT, (kind, first_at, key, *columns))
        if changed != 1:
            raise ConflictError(
                f"{kind} {record.key()} was changed meanwhile",
                way_out="read it again and decide again",
            )
        return stored

    def remove(self, kind: type[R], key: str) -> None:
        self._versions.pop((kind, key), None)
        self._connection.run(
            "DELETE FROM records WHERE kind = ? AND key = ?", (kind_name(kind), key)
        )

    def cosign(self, cosignature: Cosignature) -> None:
        keep_cosignature(self._connection, cosignature)

    def keep_timestamp(self, stamp: TimeStamp) -> None:
        keep_timestamp(self._connection, stamp)

    def append(self, stream: str, event: AnyEvent) -> None:
        self._refuse_closed(stream)
        made = ready(stream, event, self.now())
        self.drafts.append(made)
        if made.draft.closes:
            self._closed.add(stream)

    def signal(self, text: str) -> None:
        if len(text.encode()) > SIGNAL_LIMIT:
            raise RequestError(f"a signal has at most {SIGNAL_LIMIT} bytes")
        self._connection.notify(text)
        self.signals.append(text)

    def waiting(self) -> int:
        """How many events of all streams wait for a number."""
        count: int = self._connection.rows("SELECT count(*) FROM spool")[0][0]
        return count

    def _refuse_closed(self, stream: str) -> None:
        # Refused here, and not only when it gets its number, so that no event waits in the spool
        # that can never have one.
        if stream in self._closed or self._is_closed(stream):
            raise ConflictError(f"{stream} is closed: no event can be added to it")

    def _refuse_pending(self, stream: str) -> None:
        if self._is_pending(stream):
            self.was_too_soon = True
            raise ReadTooSoonError(stream)
