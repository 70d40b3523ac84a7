"""A consistent reading of the store: implements ``ports.stores.View`` over one transaction."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from callpoint.adapters.stores.sql.connection import Statements
from callpoint.adapters.stores.sql.public_log import PublicLog, StoredRows
from callpoint.adapters.stores.sql.rows import COLUMNS, due_text, kind_name, parse_row
from callpoint.audit.entry import format_time, parse_time
from callpoint.audit.log import peaks
from callpoint.audit.merkle import ProofError, leaf_hash
from callpoint.domain.errors import NotFoundError, TamperError
from callpoint.domain.record import Record
from callpoint.ports.stores import Entry, PersonalValue, RecordName, Where

R = TypeVar("R", bound=Record)

_PARAMETERS_AT_ONCE = 500
_VERSIONS_AT_ONCE, _VERSIONS_STEP = 128, 8
_LISTS = {
    "activation": "`callpoint status --all` lists them",
    "incident": "`callpoint incident list --all` lists them",
}
"""Where the names of what people ask for by name can be looked up."""
_FIND = f"SELECT {COLUMNS} FROM records WHERE kind = ? AND key = ?"  # noqa: S608 -- constant names
_SELECT = f"SELECT {COLUMNS} FROM records WHERE "  # noqa: S608 -- constant names
_VERSIONS = "SELECT kind, key, version FROM records WHERE "
_SUBJECTS = """
SELECT DISTINCT subject FROM records
WHERE kind = ? AND state IN ({states}) AND due_at <= ?
ORDER BY subject
"""
_DUE_IN_A_QUEUE = "due_at IS NOT NULL AND coalesce(due_at, '') <= ?"
"""As a plain comparison it draws SQLite to an index by time, which it then sorts as a whole; so it
follows ``records_next``, which is in order already (30 000 due: 0.02 ms instead of 10)."""
_COUNT = """
SELECT min(parent), count(*) FROM records
WHERE kind = ? AND subject = ? AND first_at > ? AND state IN ({states})
GROUP BY parent || ''
"""
_COUNT_STATES = "SELECT state, count(*) FROM records WHERE kind = ? GROUP BY state"
_BY_KEY = "key || ''"
"""Order by key of what a condition selects. As a plain column it draws SQLite to the primary key,
which is in order already, and so to every record that there ever was (a million: 4 s instead of
nothing). `_COUNT` groups in the same way for the same reason."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The store's clock as one transaction sees it.

    Attributes:
        clock: What the clock says.
        high_water: The latest moment that a committed transaction has seen, if any.
        size: Entries under the newest checkpoint.
        origin: Of that checkpoint.
    """

    clock: datetime
    high_water: datetime | None
    size: int
    origin: str

    @property
    def now(self) -> datetime:
        """Never before the high-water mark (I4)."""
        return self.clock if self.high_water is None else max(self.clock, self.high_water)


def read_moment(connection: Statements) -> Moment:
    """The moment of the connection's open transaction.

    Raises:
        TamperError: The head row is missing or malformed.
    """
    rows = connection.rows("SELECT origin, size, high_water FROM head")
    try:
        ((origin, size, high_water),) = rows
        mark = parse_time(high_water) if high_water else None
    except (ValueError, TypeError) as error:
        raise TamperError("the store's head row is missing or malformed") from error
    return Moment(connection.clock(), mark, size, origin)


class SqlView(PublicLog):
    """Implements ``ports.stores.View``."""

    def __init__(self, connection: Statements, moment: Moment) -> None:
        super().__init__(connection, moment.size)
        self._moment = moment

    def now(self) -> datetime:
        return self._moment.now

    def skew(self) -> timedelta:
        return self._moment.now - self._moment.clock

    def find(self, kind: type[R], key: str) -> R | None:
        rows = self._connection.rows(_FIND, (kind_name(kind), key))
        return parse_row(kind, rows[0]) if rows else None

    def get(self, kind: type[R], key: str) -> R:
        found = self.find(kind, key)
        if found is None:
            raise NotFoundError(
                f"there is no {kind_name(kind)} {key[:80]!r}",
                way_out=_LISTS.get(kind_name(kind), ""),
            )
        return found

    def versions(self, rows: Sequence[RecordName]) -> tuple[int, ...]:
        named = [(kind_name(kind), key) for kind, key in rows]
        known: dict[tuple[str, str], int] = {}
        for start in range(0, len(named), _VERSIONS_AT_ONCE):
            some = named[start : start + _VERSIONS_AT_ONCE]
            # The last one again and again: there are few queries, so they are prepared once.
            some += some[-1:] * (-len(some) % _VERSIONS_STEP)
            query = _VERSIONS + " OR ".join(["(kind = ? AND key = ?)"] * len(some))
            found = self._connection.rows(query, [word for pair in some for word in pair])
            known.update({(kind, key): version for kind, key, version in found})
        return tuple(known.get(pair, 0) for pair in named)

    def select(self, kind: type[R], where: Where) -> tuple[R, ...]:
        conditions, values = ["kind = ?"], [kind_name(kind)]
        if where.states:
            conditions.append(f"state IN ({_marks(where.states)})")
            values.extend(where.states)
        if where.parent is not None:
            conditions.append("parent = ?")
            values.append(where.parent)
        if where.subject is not None:
            conditions.append("subject = ?")
            values.append(where.subject)
        if (due := due_text(where.due_before)) is not None:
            queue = where.by_priority and where.subject is not None
            conditions.append(_DUE_IN_A_QUEUE if queue else "due_at <= ?")
            values.append(due)
        # There is one writer at a time, so `skip_claimed` finds nothing to pass over.
        order = ("key" if len(conditions) == 1 else _BY_KEY) if due is None else "due_at, key"
        if where.newest:
            order = "first_at || '' DESC, key"
        if where.by_priority:
            order = f"priority DESC, {order}"
        query = f"{_SELECT}{' AND '.join(conditions)} ORDER BY {order} LIMIT ?"
        if where.skip_spoilt:
            return tuple(islice(self._whole(kind, query, values, where.limit), where.limit))
        rows = self._connection.rows(query, (*values, where.limit))
        return tuple(parse_row(kind, row) for row in rows)

    def _whole(self, kind: type[R], query: str, values: Sequence[str], limit: int) -> Iterator[R]:
        """The records that are as Callpoint writes them, page by page.

        So a number of spoilt rows, however large, hides none behind them.
        """
        start, rows = 0, list[tuple[object, ...]]()
        while start == 0 or len(rows) == limit:
            rows = self._connection.rows(f"{query} OFFSET ?", (*values, limit, start))
            for row in rows:
                with suppress(TamperError):
                    yield parse_row(kind, row)
            start += limit

    def subjects(
        self, kind: type[R], states: tuple[str, ...], due_before: datetime
    ) -> tuple[str, ...]:
        query = _SUBJECTS.format(states=_marks(states))
        values = (kind_name(kind), *states, due_text(due_before))
        return tuple(row[0] for row in self._connection.rows(query, values))

    def count_subjects(
        self, kind: type[R], subject: str, states: tuple[str, ...], since: datetime
    ) -> dict[str, int]:
        if not states:
            return {}
        query = _COUNT.format(states=_marks(states))
        values = (kind_name(kind), subject, format_time(since), *states)
        return dict(self._connection.rows(query, values))

    def count_states(self, kind: type[R]) -> dict[str, int]:
        return dict(self._connection.rows(_COUNT_STATES, (kind_name(kind),)))

    def entries(self, stream: str) -> tuple[Entry, ...]:
        found = self._connection.streams.entries(self._connection, stream)
        return tuple(_entry(*row) for row in found)

    def unnumbered(self, stream: str) -> int:
        query = "SELECT count(*) FROM spool WHERE stream = ?"
        count: int = self._connection.rows(query, (stream,))[0][0]
        return count

    def personal(self, indices: tuple[int, ...]) -> tuple[PersonalValue, ...]:
        found: list[PersonalValue] = []
        for start in range(0, len(indices), _PARAMETERS_AT_ONCE):
            some = indices[start : start + _PARAMETERS_AT_ONCE]
            query = f"SELECT idx, name, salt, value FROM personal WHERE idx IN ({_marks(some)})"  # noqa: S608 -- only question marks
            found.extend(_personal(*row) for row in self._connection.rows(query, some))
        return tuple(sorted(found, key=lambda value: (value.index, value.name)))

    def checkpoint(self) -> str:
        query = "SELECT note FROM checkpoints WHERE origin = ? AND size = ?"
        rows = self._connection.rows(query, (self._moment.origin, self._moment.size))
        return rows[0][0] if rows else ""

    def peaks(self, size: int) -> tuple[bytes, ...]:
        if not 0 <= size <= self._moment.size:
            raise NotFoundError(f"the newest checkpoint has no {size} entries")
        try:
            return peaks(size, StoredRows(self._connection))
        except ProofError as error:
            raise TamperError(f"the stored tree is damaged: {error}") from error

    def log_slice(self, start: int, limit: int) -> tuple[Entry, ...]:
        query = (
            "SELECT idx, leaf_hash, leaf FROM entries WHERE idx >= ? AND idx < ? "
            "ORDER BY idx LIMIT ?"
        )
        rows = self._connection.rows(query, (start, self._moment.size, limit))
        return tuple(_entry(*row) for row in rows)


def _entry(index: int, stored_hash: bytes, leaf: bytes) -> Entry:
    if leaf_hash(leaf) != stored_hash:
        raise TamperError(f"entry {index} of the log is not the one that was hashed")
    return Entry(index, leaf)


def _personal(index: int, name: str, salt: bytes, value: bytes) -> PersonalValue:
    # Stored as bytes: PostgreSQL's text takes no NUL, and one caller's odd words must not be able
    # to fail the whole batch.
    return PersonalValue(index, name, salt, value.decode())


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
