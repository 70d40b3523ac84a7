"""A record as a row: the columns it is found by, and its canonical body.

The body is what counts. The columns repeat a part of it for searching, so a row whose columns say
something else was changed by hand, and is not believed.
"""

from datetime import datetime
from typing import TypeVar

import msgspec

from callpoint.audit.entry import format_time
from callpoint.domain.errors import TamperError
from callpoint.domain.record import Record
from callpoint.domain.untrusted_json import read_json

R = TypeVar("R", bound=Record)

COLUMNS = "key, version, state, parent, subject, due_at, priority, body"
"""What `parse_row` takes, in this order."""

_encoder = msgspec.json.Encoder(order="sorted")


def kind_name(kind: type[Record]) -> str:
    """The stored name of a record's class. Renaming the class needs a migration."""
    return kind.__name__.lower()


def due_text(due_at: datetime | None) -> str | None:
    """A moment as the columns hold it: text that sorts as time."""
    return None if due_at is None else format_time(due_at)


def row_of(record: Record) -> tuple[str | int | bytes | None, ...]:
    """The values of `COLUMNS`."""
    return (*_columns_of(record), _encoder.encode(record))


def _columns_of(record: Record) -> tuple[str | int | None, ...]:
    index = record.index()
    return (
        record.key(),
        record.version,
        str(index.state),
        index.parent,
        index.subject,
        due_text(index.due_at),
        index.priority,
    )


def parse_row(kind: type[R], row: tuple[object, ...]) -> R:
    """Read a record back.

    Raises:
        TamperError: The body does not parse, or the columns disagree with it.
    """
    body = row[-1]
    try:
        record = read_json(body if isinstance(body, bytes) else b"", kind)
        columns = _columns_of(record)
    except (msgspec.MsgspecError, ValueError) as error:
        # ValueError: each member parses, but together they are no state that a record can be in.
        raise _changed(kind, row, "does not parse") from error
    if columns != tuple(row[:-1]):
        raise _changed(kind, row, "has columns that disagree with its body")
    return record


def _changed(kind: type[Record], row: tuple[object, ...], how: str) -> TamperError:
    return TamperError(
        f"the stored {kind_name(kind)} {row[0]!a} {how}",
        way_out="something other than Callpoint wrote to the database: investigate",
    )
