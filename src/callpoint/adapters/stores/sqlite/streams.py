"""Entries by their streams on SQLite: each entry names the one before it, a row names the last.

An index by stream would touch a page for each stream in a commit, and all of them are written out,
checksummed, and written once more into the file: more than the entries themselves. The rows of the
streams of a commit mostly lie together, because streams are busy when they are young.
"""

from collections.abc import Sequence

from callpoint.adapters.stores.sql.connection import Statements
from callpoint.audit.log import Numbered, StreamEnd
from callpoint.domain.errors import TamperError

_END = """
SELECT e.seq, e.leaf_hash, e.closes, e.idx, e.stream
FROM streams AS s LEFT JOIN entries AS e ON e.idx = s.last
WHERE s.name = ?
"""
# An entry only ever names an earlier one, so this ends whatever was written by hand.
_ENTRIES = """
WITH RECURSIVE chain (idx, stream, seq, before, leaf_hash, leaf) AS (
    SELECT e.idx, e.stream, e.seq, e.before, e.leaf_hash, e.leaf
    FROM streams AS s JOIN entries AS e ON e.idx = s.last
    WHERE s.name = ?
    UNION ALL
    SELECT e.idx, e.stream, e.seq, e.before, e.leaf_hash, e.leaf
    FROM chain AS c JOIN entries AS e ON e.idx = c.before
    WHERE e.idx < c.idx
)
SELECT idx, leaf_hash, leaf, seq, stream FROM chain
"""
_INSERT = """
INSERT INTO entries (idx, stream, seq, closes, leaf_hash, leaf, before)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_MOVE = """
INSERT INTO streams (name, last) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET last = excluded.last
"""


class ChainedStreams:
    """Implements ``sql.connection.Streams``."""

    def end(self, statements: Statements, stream: str) -> StreamEnd | None:
        rows = statements.rows(_END, (stream,))
        if not rows:
            return None
        seq, leaf_hash, closes, index, found = rows[0]
        if found != stream:
            raise _broken(stream)
        return StreamEnd(seq, leaf_hash, bool(closes), index)

    def entries(self, statements: Statements, stream: str) -> Sequence[tuple[int, bytes, bytes]]:
        rows = statements.rows(_ENTRIES, (stream,))
        if not rows:
            self.end(statements, stream)  # raises where a last one is named, and missing
        rows.reverse()
        for number, (*_, seq, found) in enumerate(rows):
            if seq != number or found != stream:
                raise _broken(stream)
        return [(index, leaf_hash, leaf) for index, leaf_hash, leaf, _, _ in rows]

    def add(self, statements: Statements, entries: Sequence[Numbered]) -> None:
        statements.run_many(_INSERT, [_row(entry) for entry in entries])
        last = {entry.stream: entry.end.index for entry in entries}
        statements.run_many(_MOVE, list(last.items()))


def _row(entry: Numbered) -> tuple[int, str, int, int, bytes, bytes, int | None]:
    end = entry.end
    placed = (end.index, entry.stream, end.seq, int(end.is_closed))
    return (*placed, end.leaf_hash, entry.leaf, entry.before)


def _broken(stream: str) -> TamperError:
    return TamperError(
        f"the entries of {stream} in the database do not follow one another",
        way_out="something other than Callpoint wrote to the database: investigate",
    )
