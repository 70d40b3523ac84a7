"""The geometry of C2SP tlog-tiles: which tiles a tree has, where they live, what nodes they hold.

A tile is up to 256 neighbouring hashes of one tile level; tile level *l* holds the hashes of
complete subtrees of ``256**l`` leaves. Full tiles never change and are kept; the partial ones on
the right edge are computed from what lies below whenever they are asked for. Nothing here reads
or writes.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from callpoint.audit.merkle import HASH_SIZE, MAX_SIZE, ProofError, subtree_root

TILE_HEIGHT = 8
"""Tree levels that one tile spans."""

TILE_WIDTH = 1 << TILE_HEIGHT
"""Hashes in a full tile."""

MAX_LEVEL = MAX_SIZE.bit_length() // TILE_HEIGHT
"""The highest tile level that a tree of `MAX_SIZE` leaves has."""

_PLACE = re.compile(r"((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LEVEL = re.compile(r"0|[1-9][0-9]?")
_DIGITS = 18
"""Longest index that is read, in digits: more than any tree has tiles."""

TileReader = Callable[[int, int, int], list[bytes]]
"""``read_tile(level, n, width)``: at least the first `width` hashes of that tile, leftmost first.

A store that has meanwhile filled the tile may answer with the whole of it."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One tile's place: tile level, index in the level, and width in hashes (256 when full)."""

    level: int
    n: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_LEVEL:
            raise ProofError(f"there is no tile level {self.level}")
        if not 0 <= self.n <= MAX_SIZE >> TILE_HEIGHT:
            raise ProofError(f"there is no tile {self.n}")
        if not 1 <= self.width <= TILE_WIDTH:
            raise ProofError(f"a tile has 1 to {TILE_WIDTH} hashes, not {self.width}")

    @property
    def is_full(self) -> bool:
        """Whether the tile is complete, and so never changes again."""
        return self.width == TILE_WIDTH

    @property
    def path(self) -> str:
        """Where tlog-tiles puts it: ``tile/<L>/<N>[.p/<W>]``."""
        return f"tile/{self.level}/{_number(self.n)}{_partial(self.width)}"


def entries_path(n: int, width: int = TILE_WIDTH) -> str:
    """Where tlog-tiles puts entry bundle `n`: ``tile/entries/<N>[.p/<W>]``."""
    tile = Tile(0, n, width)
    return f"tile/entries/{_number(tile.n)}{_partial(tile.width)}"


def parse_tile(level: str, place: str) -> Tile:
    """Read ``<L>`` and ``<N>[.p/<W>]`` of a tile's path, or of an entry bundle's with level "0".

    Raises:
        ProofError: It is not exactly what `Tile.path` would write, or no tree has such a tile.
    """
    found = _PLACE.fullmatch(place)
    if not found or not _LEVEL.fullmatch(level):
        raise ProofError("a tile's path is tile/<L>/<N>, such as tile/0/x001/067 or tile/1/000.p/9")
    digits = found[1].replace("x", "").replace("/", "") + found[2]
    if len(digits) > _DIGITS:
        raise ProofError("no tree has such a tile")
    width = TILE_WIDTH if found[3] is None else int(found[3])
    tile = Tile(int(level), int(digits), width)
    # Not canonical: x000/067 for 067, or .p/256 for a full tile.
    if tile.path != f"tile/{level}/{place}":
        raise ProofError(f"the tile's path is {tile.path}")
    return tile


def has_tile(size: int, tile: Tile) -> bool:
    """Whether a tree of `size` leaves, or one that it grew from, has the tile."""
    return (tile.n << TILE_HEIGHT) + tile.width <= size >> (TILE_HEIGHT * tile.level)


def full_tiles(old: int, new: int) -> Iterator[Tile]:
    """The tiles that become full when the tree grows from `old` to `new` leaves.

    They come lowest level first: a tile's hashes are the roots of full tiles one level below, so
    whoever stores them in this order always finds what the next needs.

    Raises:
        ProofError: The tree would shrink, or be larger than any tree.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise ProofError(f"a tree cannot grow from {old} to {new} leaves")
    for level in range(MAX_LEVEL + 1):
        shift = TILE_HEIGHT * (level + 1)
        for n in range(old >> shift, new >> shift):
            yield Tile(level, n)


def partial_tiles(size: int) -> Iterator[Tile]:
    """The partial tiles on the right edge of a tree of `size` leaves, lowest level first."""
    if not 0 <= size <= MAX_SIZE:
        raise ProofError(f"a tree cannot have {size} leaves")
    for level in range(MAX_LEVEL + 1):
        hashes = size >> (TILE_HEIGHT * level)
        if width := hashes % TILE_WIDTH:
            yield Tile(level, hashes >> TILE_HEIGHT, width)


def tile_at(level: int, n: int, size: int) -> Tile:
    """Tile `n` of `level` in a tree of `size` leaves, as wide as that tree makes it.

    Raises:
        ProofError: The tree has no such tile.
    """
    hashes = size >> (TILE_HEIGHT * level)
    return Tile(level, n, min(TILE_WIDTH, hashes - (n << TILE_HEIGHT)))


class TileNodes:
    """A `merkle.NodeSource` for the tree of `size` leaves that answers out of tiles.

    The tiles of an answer are read once each, and tiles and nodes are kept as long as this object:
    make one for a proof or a handful of proofs at one size.
    """

    def __init__(self, size: int, read_tile: TileReader) -> None:
        self._size = size
        self._read_tile = read_tile
        self._tile = lru_cache(maxsize=64)(self._read)
        self._node = lru_cache(maxsize=1024)(self._compute)

    def __call__(self, level: int, index: int) -> bytes:
        """The hash of the complete subtree of ``2**level`` leaves with this index.

        Raises:
            ProofError: The tree has no such complete subtree, or a tile came back malformed.
        """
        if level < 0 or index < 0 or (index + 1) << level > self._size:
            raise ProofError(f"a tree of {self._size} leaves has no node {index} at level {level}")
        return self._node(level, index)

    def _compute(self, level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = index << height
        hashes = self._tile(tile_level, first >> TILE_HEIGHT)
        offset = first % TILE_WIDTH
        return subtree_root(hashes[offset : offset + (1 << height)])

    def _read(self, level: int, n: int) -> tuple[bytes, ...]:
        tile = tile_at(level, n, self._size)
        # A tile that has grown since still begins with what it held at this size.
        hashes = tuple(self._read_tile(tile.level, tile.n, tile.width)[: tile.width])
        if len(hashes) != tile.width or any(len(value) != HASH_SIZE for value in hashes):
            raise ProofError(f"{tile.path} does not hold {tile.width} hashes")
        return hashes


def _number(n: int) -> str:
    """Three digits a path element, all but the last marked ``x``: 1234067 is ``x001/x234/067``."""
    n, last = divmod(n, 1000)
    elements = [f"{last:03d}"]
    while n:
        n, element = divmod(n, 1000)
        elements.insert(0, f"x{element:03d}")
    return "/".join(elements)


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
