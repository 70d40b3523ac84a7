"""Tests of tile geometry against the numbers that the tlog-tiles specification gives."""

from itertools import pairwise

import pytest

from callpoint.audit.merkle import (
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_from,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from callpoint.audit.tiles import (
    Tile,
    TileNodes,
    TileReader,
    entries_path,
    full_tiles,
    partial_tiles,
    tile_at,
)

SIZE = 256 * 256 + 256 * 3 + 77
LEAVES = [leaf_hash(n.to_bytes(4)) for n in range(SIZE)]


def store_of(leaves: list[bytes]) -> TileReader:
    """A tile store filled as the log fills it: full tiles kept, partial ones computed."""
    full: dict[tuple[int, int], list[bytes]] = {}

    def below(level: int, n: int, width: int) -> list[bytes]:
        first = n * 256
        if level == 0:
            return leaves[first : first + width]
        return [root_of(full[level - 1, i]) for i in range(first, first + width)]

    for tile in full_tiles(0, len(leaves)):
        full[tile.level, tile.n] = below(tile.level, tile.n, tile.width)
    return lambda level, n, width: full.get((level, n)) or below(level, n, width)


@pytest.mark.parametrize(
    "tile, path",
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(1, 1000), "tile/1/x001/000"),
        (Tile(2, 5, 17), "tile/2/005.p/17"),
    ],
)
def test_paths_are_those_of_the_specification(tile, path):
    """A path has three-digit elements, all but the last marked, and names a partial width."""
    assert tile.path == path


def test_entry_bundles_are_numbered_like_tiles():
    """Entry bundles use the same numbering under ``entries``."""
    assert entries_path(1234067) == "tile/entries/x001/x234/067"
    assert entries_path(273, 112) == "tile/entries/273.p/112"


def test_seventy_thousand_leaves():
    """The specification's example tree has exactly the tiles that it lists."""
    full = list(full_tiles(0, 70_000))
    assert sum(tile.level == 0 for tile in full) == 273
    assert [tile for tile in full if tile.level > 0] == [Tile(1, 0)]
    assert list(partial_tiles(70_000)) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]


def test_a_full_tile_shows_in_the_level_above():
    """A tree of 256 leaves is one full tile and a partial one of width one above it."""
    assert list(full_tiles(0, 256)) == [Tile(0, 0)]
    assert list(partial_tiles(256)) == [Tile(1, 0, 1)]
    assert list(partial_tiles(0)) == []


def test_growth_completes_each_tile_once():
    """However a tree grows, each full tile is named exactly once, lower levels first."""
    sizes = [0, 1, 255, 256, 257, 1024, 65_535, 65_536, 70_000]
    steps = [tile for a, b in pairwise(sizes) for tile in full_tiles(a, b)]
    assert sorted(steps) == list(full_tiles(0, sizes[-1]))
    assert all(tile.is_full for tile in steps)
    assert list(full_tiles(65_535, 65_536)) == [Tile(0, 255), Tile(1, 0)]


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_535, 65_536, 65_537, SIZE])
def test_proofs_out_of_tiles_verify(size):
    """Roots and proofs computed out of tiles are those of the tree itself."""
    nodes = TileNodes(size, store_of(LEAVES))
    root = root_of(LEAVES[:size])
    assert root_from(size, nodes) == root
    for index in {0, size // 3, size // 2, size - 1}:
        verify_inclusion(LEAVES[index], index, size, inclusion_proof(index, size, nodes), root)
    for old in {1, size // 3 or 1, size // 2 or 1, size}:
        proof = consistency_proof(old, size, nodes)
        verify_consistency(old, size, proof, root_of(LEAVES[:old]), root)


def test_a_proof_reads_each_tile_once():
    """One inclusion proof in a tree of 66,381 leaves asks for at most four tiles, each once."""
    read = store_of(LEAVES)
    asked: list[tuple[int, int]] = []

    def counting(level: int, n: int, width: int) -> list[bytes]:
        asked.append((level, n))
        return read(level, n, width)

    inclusion_proof(300, SIZE, TileNodes(SIZE, counting))
    assert len(asked) == len(set(asked)) <= 4


def test_a_tile_as_wide_as_the_tree_makes_it():
    """Asking for a tile gives its width at that size, and an error where the tree has none."""
    assert tile_at(0, 273, 70_000) == Tile(0, 273, 112)
    assert tile_at(0, 272, 70_000).is_full
    with pytest.raises(ProofError):
        tile_at(0, 274, 70_000)


@pytest.mark.parametrize("level, index", [(0, 10), (3, 1), (4, 0), (-1, 0), (0, -1), (60, 0)])
def test_nodes_outside_the_tree_are_refused(level, index):
    """A node that is not a complete subtree of the tree is refused, not invented."""
    with pytest.raises(ProofError):
        TileNodes(10, store_of(LEAVES[:10]))(level, index)


@pytest.mark.parametrize("answer", [[], [b"x" * 32] * 9, [b"x" * 31] * 10])
def test_a_damaged_tile_is_refused(answer):
    """A tile with too few hashes, or hashes of another length, is an error."""
    with pytest.raises(ProofError, match="tile/0/000"):
        TileNodes(10, lambda _level, _n, _width: answer)(0, 0)


@pytest.mark.parametrize("level, n, width", [(-1, 0, 1), (99, 0, 1), (0, -1, 1), (0, 0, 257)])
def test_tiles_no_tree_has_are_refused(level, n, width):
    """A tile outside every possible tree cannot be named."""
    with pytest.raises(ProofError):
        Tile(level, n, width)


@pytest.mark.parametrize("old, new", [(2, 1), (-1, 1), (0, 2**60)])
def test_impossible_growth_is_refused(old, new):
    """Growth that no tree can have, or a size no tree has, is an error."""
    with pytest.raises(ProofError):
        list(full_tiles(old, new))
    with pytest.raises(ProofError):
        list(partial_tiles(-1))
