"""Time stamps beside their checkpoints: evidence, so never changed."""

from callpoint.adapters.stores.sql.connection import Statements
from callpoint.audit.entry import format_time, parse_time
from callpoint.domain.errors import TamperError
from callpoint.ports.stores import TimeStamp

_COLUMNS = "origin, size, note, response, at"
_OVER = f"""
SELECT {_COLUMNS} FROM timestamps WHERE origin = ? AND size > ? ORDER BY size LIMIT 1
"""  # noqa: S608 -- constant names
_NEWEST = f"""
SELECT {_COLUMNS} FROM timestamps WHERE origin = ? ORDER BY size DESC LIMIT 1
"""  # noqa: S608 -- constant names
_KEEP = f"""
INSERT INTO timestamps ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin, size) DO NOTHING
"""  # noqa: S608 -- constant names


def timestamp_over(connection: Statements, origin: str, size: int) -> TimeStamp | None:
    """The smallest stamped checkpoint with more entries."""
    return _one(connection, _OVER, (origin, size))


def newest_timestamp(connection: Statements, origin: str) -> TimeStamp | None:
    """The largest stamped checkpoint."""
    return _one(connection, _NEWEST, (origin,))


def keep_timestamp(connection: Statements, stamp: TimeStamp) -> None:
    """Store one, once."""
    values = (stamp.origin, stamp.size, stamp.note, stamp.response, format_time(stamp.at))
    connection.run(_KEEP, values)


def _one(connection: Statements, query: str, values: tuple[str | int, ...]) -> TimeStamp | None:
    rows = connection.rows(query, values)
    if not rows:
        return None
    origin, size, note, response, at = rows[0]
    try:
        return TimeStamp(origin, size, note, bytes(response), parse_time(at))
    except (ValueError, TypeError) as error:
        raise TamperError(f"the time stamp of checkpoint {size} does not parse") from error
