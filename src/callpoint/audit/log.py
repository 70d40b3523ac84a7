"""The log's arithmetic for whoever keeps it in a database: numbering, tiles, checkpoints, proofs.

Nothing here reads or writes: a store hands in what is stored (`LogRows`, a stream's last entry)
and writes what comes back, in the transaction that commits the state it is evidence of. The bytes
are specified in ``docs/audit-log-format.md``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.entry import (
    CLOSING_KEY,
    MAX_ENTRY_SIZE,
    Entry,
    EntryError,
    Frame,
    commit,
    encode_entry,
    format_time,
    frame,
)
from callpoint.audit.merkle import (
    HASH_SIZE,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_from,
    subtree_root,
)
from callpoint.audit.tiles import TILE_WIDTH, TileNodes, full_tiles
from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError, RequestError

NUMBER_ROOM = 160
"""Bytes that numbering may add to a draft's leaf: ``prev``, the digits of ``seq`` and a length."""


class ForkError(ValueError):
    """A tree does not extend an earlier checkpoint: it was rolled back, forked, or is another."""


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event that has no number yet, in a form that the spool keeps and any version can number.

    Attributes:
        data: Canonical builtins, as ``domain.event.data`` makes them.
        private: Personal values, name to salt and value; they stay beside the log.
        closes: It is the last event of its stream.
    """

    stream: str
    type: str
    version: int
    at: str
    data: dict[str, Any]
    private: dict[str, ev.Private]
    closes: bool


class Ready(msgspec.Struct, frozen=True):
    """A draft on its way to its number in the process that made it.

    Attributes:
        draft: What a spool would keep of it.
        frame: Its bytes but for its place, checked and encoded once; None for an event that closes
            its stream, and for a draft that was kept in between: those are checked where they are
            numbered.
    """

    draft: Draft
    frame: Frame | None = None


class StreamEnd(msgspec.Struct, frozen=True):
    """The last entry of a stream: its seq, its leaf hash, and whether it closed the stream.

    Attributes:
        index: Its place in the log.
    """

    seq: int
    leaf_hash: bytes
    is_closed: bool
    index: int


class Numbered(msgspec.Struct, frozen=True):
    """One new entry, as it is to be stored.

    Attributes:
        end: What its stream ends with now: this entry.
        before: Place of the stream's entry before it; None for the first.
    """

    stream: str
    end: StreamEnd
    before: int | None
    leaf: bytes
    private: dict[str, ev.Private]

    @property
    def index(self) -> int:
        """Its place in the log."""
        return self.end.index


@dataclass(frozen=True, slots=True)
class Head:
    """What is needed to go on with a log.

    Attributes:
        origin: The log's name.
        installation: Stands in each entry.
        frontier: The tree's right edge.
    """

    origin: str
    installation: str
    frontier: Frontier

    @property
    def size(self) -> int:
        """Entries so far."""
        return self.frontier.size

    def grown(self, entries: Iterable[Numbered]) -> "Head":
        """The head after new entries, which begin where it ends."""
        frontier = self.frontier.extend(entry.end.leaf_hash for entry in entries)
        return replace(self, frontier=frontier)

    def checkpoint(self) -> Checkpoint:
        """What is to be signed."""
        return Checkpoint(self.origin, self.frontier.size, self.frontier.root())


FindEnd = Callable[[str], StreamEnd | None]
"""Gives the last entry of a stream, None for a stream without entries."""


def draft(stream: str, event: ev.AnyEvent, at: datetime) -> Draft:
    """An event as it waits for its number; see `ready`."""
    return ready(stream, event, at).draft


def ready(stream: str, event: ev.AnyEvent, at: datetime) -> Ready:
    """Turn an event into what is numbered later.

    Raises:
        RequestError: It cannot become an entry, for instance because it is too long. So nothing
            that is refused by the format ever waits in a spool and blocks what comes after it.
    """
    made = Draft(
        stream=stream,
        type=ev.name(event),
        version=ev.EVENT_VERSION,
        at=format_time(at),
        data=ev.data(event),
        private=ev.private(event),
        closes=event.CLOSES,
    )
    try:
        entry = _entry(made, "installation", None)
        framed = None if made.closes else frame(entry, is_plain=True)
        size = len(encode_entry(entry)) + NUMBER_ROOM if framed is None else framed.longest
    except EntryError as error:
        raise RequestError(f"{made.type} cannot be logged: {error}") from error
    if size > MAX_ENTRY_SIZE:
        raise RequestError(
            f"{made.type} would have up to {size} bytes; an entry has at most {MAX_ENTRY_SIZE}",
            way_out="shorten the request",
        )
    return Ready(made, framed)


def number(
    head: Head, drafts: Iterable[Draft], find_end: FindEnd
) -> tuple[Head, tuple[Numbered, ...]]:
    """Give drafts their places in the log, in order.

    Returns:
        The new head and the entries.

    Raises:
        ConflictError, EntryError: As `assign`.
    """
    made = assign(head.size, head.installation, (Ready(waiting) for waiting in drafts), find_end)
    return head.grown(made), made


def assign(
    start: int, installation: str, drafts: Iterable[Ready], find_end: FindEnd
) -> tuple[Numbered, ...]:
    """The entries that drafts become from place `start` on, in order.

    Args:
        start: Entries before them.
        installation: Stands in each.
        drafts: What is added.
        find_end: Gives the last entry of a stream.

    Raises:
        ConflictError: A stream was closed already: its closing entry states its length, and one
            more entry would read as tampering for ever.
        EntryError: A draft that was not made by `draft` breaks the format.
    """
    ends: dict[str, StreamEnd | None] = {}
    made: list[Numbered] = []
    for item in drafts:
        waiting, stream = item.draft, item.draft.stream
        last = ends[stream] if stream in ends else find_end(stream)
        if last is not None and last.is_closed:
            raise ConflictError(f"{stream} is closed, so {waiting.type} cannot be added to it")
        seq = _next_seq(last)
        if item.frame is None:
            leaf = encode_entry(_entry(waiting, installation, last))
        else:
            prev = None if last is None else last.leaf_hash.hex()
            leaf = item.frame.placed(installation, seq, prev)
        end = StreamEnd(seq, leaf_hash(leaf), waiting.closes, start + len(made))
        ends[stream] = end
        before = None if last is None else last.index
        made.append(Numbered(stream, end, before, leaf, waiting.private))
    return tuple(made)


class LogRows(Protocol):
    """What a store keeps of the tree."""

    def tile(self, level: int, n: int) -> bytes | None:
        """The hashes of a full tile, None when it is not stored."""
        ...

    def leaf_hashes(self, start: int, count: int) -> Sequence[bytes]:
        """Leaf hashes of entries from `start` on, at most `count`."""
        ...

    def tile_roots(self, level: int, start: int, count: int) -> Sequence[bytes]:
        """Roots of the full tiles of a level from tile `start` on, at most `count`."""
        ...


@dataclass(frozen=True, slots=True)
class StoredTile:
    """A full tile and, so that the level above is read without it, its root."""

    level: int
    n: int
    root: bytes
    hashes: bytes


def complete_tiles(old: int, new: int, rows: LogRows) -> Iterator[StoredTile]:
    """The tiles that became full when the tree grew from `old` to `new` leaves.

    The caller stores each before it asks for the next: a tile is made of the roots below it.
    """
    for tile in full_tiles(old, new):
        hashes = _edge(rows, tile.level, tile.n, TILE_WIDTH)
        yield StoredTile(tile.level, tile.n, subtree_root(hashes), b"".join(hashes))


def nodes(size: int, rows: LogRows) -> TileNodes:
    """Node source of the tree of `size` leaves, for a handful of proofs.

    It reads a number of tiles that grows with the logarithm of the size, and at most 255 hashes
    of the right edge of each level.
    """

    def read_tile(level: int, n: int, width: int) -> list[bytes]:
        return list(tile_hashes(rows, level, n, width))

    return TileNodes(size, read_tile)


def inclusion(index: int, size: int, rows: LogRows) -> tuple[bytes, ...]:
    """The inclusion proof of entry `index` in the tree of `size` leaves, or ProofError."""
    return tuple(inclusion_proof(index, size, nodes(size, rows)))


def consistency(old: int, new: int, rows: LogRows) -> tuple[bytes, ...]:
    """The proof that the first `new` leaves begin with the first `old`, or ProofError."""
    return tuple(consistency_proof(old, new, nodes(new, rows)))


def tile_hashes(rows: LogRows, level: int, n: int, width: int) -> tuple[bytes, ...]:
    """The first `width` hashes of a tile, fewer where the tree does not reach so far."""
    stored = rows.tile(level, n)
    if stored is None:
        return tuple(_edge(rows, level, n, width))
    return tuple(stored[at : at + HASH_SIZE] for at in range(0, width * HASH_SIZE, HASH_SIZE))


def peaks(size: int, rows: LogRows) -> tuple[bytes, ...]:
    """Hashes of the complete subtrees that make up the first `size` leaves, largest first."""
    source, found, start = nodes(size, rows), [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            found.append(source(level, start >> level))
            start += 1 << level
    return tuple(found)


def check_extends(size: int, rows: LogRows, older: Checkpoint) -> None:
    """Check that the tree of `size` leaves begins with the whole tree of an earlier checkpoint.

    Raises:
        ForkError: It is shorter, or its first leaves are others.
    """
    if older.size > size:
        raise ForkError(
            f"the log has {size} entries, but a checkpoint of {older.size} was signed: "
            f"{older.size - size} are missing"
        )
    if root_from(older.size, nodes(older.size, rows)) != older.root:
        raise ForkError(f"the first {older.size} entries are not the ones that were signed")


def _entry(waiting: Draft, installation: str, last: StreamEnd | None) -> Entry:
    seq = _next_seq(last)
    closing: dict[str, object] = {CLOSING_KEY: seq + 1} if waiting.closes else {}
    return Entry(
        type=waiting.type,
        version=waiting.version,
        installation=installation,
        stream=waiting.stream,
        seq=seq,
        prev=None if last is None else last.leaf_hash.hex(),
        at=waiting.at,
        data={**waiting.data, **closing} if closing else waiting.data,
        personal={name: commit(p.salt, p.value) for name, p in waiting.private.items()},
    )


def _next_seq(last: StreamEnd | None) -> int:
    return 0 if last is None else last.seq + 1


def _edge(rows: LogRows, level: int, n: int, width: int) -> Sequence[bytes]:
    start = n * TILE_WIDTH
    if level == 0:
        return rows.leaf_hashes(start, width)
    return rows.tile_roots(level - 1, start, width)
