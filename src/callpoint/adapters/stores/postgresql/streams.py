"""Entries by their streams on PostgreSQL: an index by stream and number.

An index touches a page for each stream that is written to. On SQLite that is most of what a commit
writes, so it is done otherwise there (``sqlite/streams.py``); here a row that is updated for each
stream would cost as much, and leave dead rows behind.
"""

from collections.abc import Sequence

from callpoint.adapters.stores.sql.connection import Statements
from callpoint.audit.log import Numbered, StreamEnd

_END = """
SELECT seq, leaf_hash, closes, idx FROM entries WHERE stream = ? ORDER BY seq DESC LIMIT 1
"""
_ENTRIES = "SELECT idx, leaf_hash, leaf FROM entries WHERE stream = ? ORDER BY seq"
_INSERT = """
INSERT INTO entries (idx, stream, seq, closes, leaf_hash, leaf) VALUES (?, ?, ?, ?, ?, ?)
"""


class IndexedStreams:
    """Implements ``sql.connection.Streams``."""

    def end(self, statements: Statements, stream: str) -> StreamEnd | None:
        rows = statements.rows(_END, (stream,))
        if not rows:
            return None
        seq, leaf_hash, closes, index = rows[0]
        return StreamEnd(seq, leaf_hash, bool(closes), index)

    def entries(self, statements: Statements, stream: str) -> Sequence[tuple[int, bytes, bytes]]:
        return [(row[0], row[1], row[2]) for row in statements.rows(_ENTRIES, (stream,))]

    def add(self, statements: Statements, entries: Sequence[Numbered]) -> None:
        statements.run_many(_INSERT, [_row(entry) for entry in entries])


def _row(entry: Numbered) -> tuple[int, str, int, int, bytes, bytes]:
    end = entry.end
    return (end.index, entry.stream, end.seq, int(end.is_closed), end.leaf_hash, entry.leaf)
