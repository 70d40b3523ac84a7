"""What outsiders read of the log: checkpoints of each origin, tiles, proofs, cosignatures."""

from collections.abc import Sequence

from callpoint.adapters.stores.sql.connection import Statements
from callpoint.adapters.stores.sql.timestamps import newest_timestamp, timestamp_over
from callpoint.audit.log import consistency, nodes, tile_hashes
from callpoint.audit.merkle import HASH_SIZE, ProofError, inclusion_proof
from callpoint.audit.tiles import TILE_WIDTH, TileNodes
from callpoint.domain.errors import NotFoundError, TamperError
from callpoint.ports.stores import Cosignature, TimeStamp

_COSIGNATURES_AT_ONCE = 200
_TILES_AT_ONCE = 256
_COSIGNED = """
SELECT size, line FROM cosignatures WHERE origin = ? AND name = ? ORDER BY size DESC LIMIT ?
"""
_COSIGN = """
INSERT INTO cosignatures (origin, name, size, line) VALUES (?, ?, ?, ?)
ON CONFLICT (origin, name, size) DO UPDATE SET line = excluded.line
"""


class StoredRows:
    """Implements ``audit.log.LogRows``."""

    def __init__(self, connection: Statements) -> None:
        self._connection = connection

    def tile(self, level: int, n: int) -> bytes | None:
        query = "SELECT hashes FROM tiles WHERE level = ? AND n = ?"
        rows = self._connection.rows(query, (level, n))
        return rows[0][0] if rows else None

    def leaf_hashes(self, start: int, count: int) -> Sequence[bytes]:
        query = "SELECT leaf_hash FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx"
        return [row[0] for row in self._connection.rows(query, (start, start + count))]

    def tile_roots(self, level: int, start: int, count: int) -> Sequence[bytes]:
        query = "SELECT root FROM tiles WHERE level = ? AND n >= ? AND n < ? ORDER BY n"
        return [row[0] for row in self._connection.rows(query, (level, start, start + count))]


class PublicLog:
    """The part of ``ports.stores.View`` that is about the tree.

    Args:
        connection: Inside a transaction.
        size: Entries under the newest checkpoint.
    """

    def __init__(self, connection: Statements, size: int) -> None:
        self._connection = connection
        self._size = size
        self._trees: dict[int, TileNodes] = {}

    def newest_of(self, origin: str) -> str:
        query = "SELECT note FROM checkpoints WHERE origin = ? ORDER BY size DESC LIMIT 1"
        rows = self._connection.rows(query, (origin,))
        return str(rows[0][0]) if rows else ""

    def checkpoint_at(self, origin: str, size: int) -> str:
        query = "SELECT note FROM checkpoints WHERE origin = ? AND size = ?"
        rows = self._connection.rows(query, (origin, size))
        return str(rows[0][0]) if rows else ""

    def cosignatures(self, origin: str, name: str) -> tuple[Cosignature, ...]:
        rows = self._connection.rows(_COSIGNED, (origin, name, _COSIGNATURES_AT_ONCE))
        return tuple(Cosignature(origin, size, name, line) for size, line in rows)

    def timestamp(self, origin: str, over: int) -> TimeStamp | None:
        return timestamp_over(self._connection, origin, over)

    def newest_timestamp(self, origin: str) -> TimeStamp | None:
        return newest_timestamp(self._connection, origin)

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        tree = self._size if size is None else size
        if not 0 <= index < tree <= self._size:
            raise NotFoundError(f"a log of {min(tree, self._size)} entries has no entry {index}")
        try:
            return tuple(inclusion_proof(index, tree, self._nodes(tree)))
        except ProofError as error:
            raise _damaged(error) from error

    def _nodes(self, size: int) -> TileNodes:
        # The proofs of one bundle share most of their nodes, and a view never changes.
        if size not in self._trees:
            self._trees[size] = nodes(size, StoredRows(self._connection))
        return self._trees[size]

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        if not 0 <= old <= new <= self._size:
            raise NotFoundError(f"the log has {self._size} entries, and grows from {old} to {new}")
        try:
            return consistency(old, new, StoredRows(self._connection))
        except ProofError as error:
            raise _damaged(error) from error

    def tile(self, level: int, n: int, width: int) -> tuple[bytes, ...]:
        hashes = tile_hashes(StoredRows(self._connection), level, n, width)
        if len(hashes) < width:
            raise NotFoundError("the log has no such tile")
        return hashes

    def find_leaf(self, leaf_hash: bytes) -> int | None:
        """The newest tiles first: an index on hashes would make every append dearer."""
        full = self._size // TILE_WIDTH
        tail = StoredRows(self._connection).leaf_hashes(full * TILE_WIDTH, TILE_WIDTH)
        if leaf_hash in tail:
            return full * TILE_WIDTH + tail.index(leaf_hash)
        query = "SELECT n, hashes FROM tiles WHERE level = 0 AND n >= ? AND n < ? ORDER BY n DESC"
        for high in range(full, 0, -_TILES_AT_ONCE):
            for n, hashes in self._connection.rows(query, (max(0, high - _TILES_AT_ONCE), high)):
                if (place := _aligned(hashes, leaf_hash)) is not None:
                    return int(n) * TILE_WIDTH + place
        return None


def keep_cosignature(connection: Statements, kept: Cosignature) -> None:
    """Store one; a witness that signs the same checkpoint again says that it is still the newest.

    It is no evidence of ours, so unlike a checkpoint it may be replaced.
    """
    connection.run(_COSIGN, (kept.origin, kept.name, kept.size, kept.line))


def _aligned(hashes: bytes, wanted: bytes) -> int | None:
    at = hashes.find(wanted)
    while at != -1 and at % HASH_SIZE:
        at = hashes.find(wanted, at + 1)
    return None if at == -1 else at // HASH_SIZE


def _damaged(error: ProofError) -> TamperError:
    return TamperError(f"the stored tree is damaged: {error}")
