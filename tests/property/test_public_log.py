"""At any sizes: tiles alone give the signed root, and proofs from stored tiles hold."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.log import complete_tiles, consistency, inclusion, tile_hashes
from callpoint.audit.merkle import (
    ProofError,
    leaf_hash,
    root_from,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from callpoint.audit.submission import (
    OutdatedError,
    Submission,
    SubmissionError,
    check_growth,
    parse_submission,
)
from callpoint.audit.tiles import Tile, TileNodes, has_tile, parse_tile

MOST = 700
LEAVES = [leaf_hash(n.to_bytes(2, "big")) for n in range(MOST)]


class Rows:
    """Implements ``audit.log.LogRows`` for the first so many leaves."""

    def __init__(self, size: int) -> None:
        self._leaves = LEAVES[:size]
        self._tiles: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        for tile in complete_tiles(0, size, self):
            self._tiles[tile.level, tile.n] = (tile.root, tile.hashes)

    def tile(self, level: int, n: int) -> bytes | None:
        found = self._tiles.get((level, n))
        return found[1] if found else None

    def leaf_hashes(self, start: int, count: int) -> Sequence[bytes]:
        return self._leaves[start : start + count]

    def tile_roots(self, level: int, start: int, count: int) -> Sequence[bytes]:
        found = [self._tiles.get((level, n)) for n in range(start, start + count)]
        return [one[0] for one in found if one is not None]


sizes = st.tuples(st.integers(0, MOST), st.integers(0, MOST)).map(sorted)


@given(sizes, st.data())
@settings(max_examples=60, deadline=None)
def test_tiles_and_proofs_give_the_root_of_every_size(pair: list[int], data: st.DataObject):
    """Served by a log that has grown on, tiles of an earlier size give that size's root."""
    old, new = pair
    rows = Rows(new)
    for size in pair:
        nodes = TileNodes(size, lambda level, n, width: list(tile_hashes(rows, level, n, width)))
        assert root_from(size, nodes) == root_of(LEAVES[:size])
    roots = root_of(LEAVES[:old]), root_of(LEAVES[:new])
    verify_consistency(old, new, consistency(old, new, rows), *roots)
    if old:
        index = data.draw(st.integers(0, old - 1))
        verify_inclusion(LEAVES[index], index, old, inclusion(index, old, rows), roots[0])


@given(st.integers(0, 8), st.integers(0, 2**40), st.integers(1, 256), st.integers(0, 2**45))
@settings(max_examples=200, deadline=None)
def test_a_tiles_path_is_read_as_it_is_written(level: int, n: int, width: int, size: int):
    """Each tile has one path, and a tree has it exactly when its hashes reach so far."""
    try:
        tile = Tile(level, n, width)
    except ProofError:
        return
    _, _, rest = tile.path.partition("/")
    written_level, _, place = rest.partition("/")
    assert parse_tile(written_level, place) == tile
    hashes = size >> (8 * min(level, 6))
    if level <= 6:
        assert has_tile(size, tile) == (n * 256 + width <= hashes)


@given(st.text(alphabet="x0123456789/.p+-_ ٣", max_size=24))
@settings(max_examples=300, deadline=None)
def test_no_second_spelling_of_a_tile_is_read(place: str):
    """Whatever is accepted is written back as it came."""
    try:
        tile = parse_tile("0", place)
    except ProofError:
        return
    assert tile.path == f"tile/0/{place}"


@given(sizes, st.integers(0, MOST), st.integers(0, 2**9))
@settings(max_examples=80, deadline=None)
def test_a_witness_accepts_growth_and_nothing_else(pair: list[int], said: int, spoil: int):
    """An honest extension from the known size passes; a changed proof or root never does."""
    old, new = pair
    known = Checkpoint("log", old, root_of(LEAVES[:old])) if old else None
    proof = consistency(old, new, Rows(new))
    grown = Checkpoint("log", new, root_of(LEAVES[:new]))
    honest = Submission(old, proof, b"note")
    assert parse_submission(honest.format()) == honest
    check_growth(honest, grown, known)
    if said != old and said <= new:
        with pytest.raises(OutdatedError):
            check_growth(Submission(said, proof, b""), grown, known)
    if proof:
        place, bit = spoil % len(proof), spoil % 256
        changed = bytearray(proof[place])
        changed[bit // 8] ^= 1 << (bit % 8)
        wrong = (*proof[:place], bytes(changed), *proof[place + 1 :])
        with pytest.raises(SubmissionError):
            check_growth(Submission(old, wrong, b""), grown, known)
