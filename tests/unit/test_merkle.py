"""Tests of the Merkle arithmetic on trees small enough to reason about by hand."""

from collections.abc import Sequence

import pytest

from callpoint.audit.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    NodeSource,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_from,
    root_of,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(bytes([n])) for n in range(9)]


def nodes_of(leaves: Sequence[bytes]) -> NodeSource:
    """A node source that knows only these leaf hashes."""

    def nodes(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return node_hash(nodes(level - 1, 2 * index), nodes(level - 1, 2 * index + 1))

    return nodes


def test_known_hashes():
    """Leaf, node and empty-tree hashes are the published ones of RFC 6962's test data."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert (
        leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert (
        node_hash(b"N123", b"N456").hex()
        == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


def test_root_of_seven_leaves_is_unbalanced_to_the_left():
    """Seven leaves split as four and three, as RFC 9162 section 2.1.5 draws it."""
    a, b, c, d, e, f, g = LEAVES[:7]
    left = node_hash(node_hash(a, b), node_hash(c, d))
    right = node_hash(node_hash(e, f), g)
    assert root_of(LEAVES[:7]) == node_hash(left, right)
    assert root_from(7, nodes_of(LEAVES)) == node_hash(left, right)


def test_proofs_of_seven_leaves_are_those_of_the_rfc():
    """Proofs in the seven-leaf tree hold exactly the nodes that RFC 9162 section 2.1.5 lists."""
    a, b, c, d, e, f, g = LEAVES[:7]
    nodes = nodes_of(LEAVES)
    ab, cd, ef = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    abcd, efg = node_hash(ab, cd), node_hash(ef, g)
    assert inclusion_proof(0, 7, nodes) == [b, cd, efg]
    assert inclusion_proof(3, 7, nodes) == [c, ab, efg]
    assert inclusion_proof(4, 7, nodes) == [f, g, abcd]
    assert inclusion_proof(6, 7, nodes) == [ef, abcd]
    assert consistency_proof(3, 7, nodes) == [c, d, ab, efg]
    assert consistency_proof(4, 7, nodes) == [efg]
    assert consistency_proof(6, 7, nodes) == [ef, g, abcd]


def test_frontier_grows_like_a_counter():
    """A frontier keeps one hash for each bit of its size and continues from where it stood."""
    frontier = Frontier()
    for size, leaf in enumerate(LEAVES, start=1):
        frontier = frontier.append(leaf)
        assert len(frontier.hashes) == size.bit_count()
        assert frontier.root() == root_of(LEAVES[:size])
    assert Frontier(frontier.size, frontier.hashes) == frontier


def test_empty_tree_comes_before_every_tree():
    """From size 0 an empty proof verifies, and only against the one root that an empty tree has."""
    root = root_of(LEAVES)
    assert Frontier().root() == EMPTY_ROOT
    assert consistency_proof(0, 9, nodes_of(LEAVES)) == []
    verify_consistency(0, 9, [], EMPTY_ROOT, root)
    verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    with pytest.raises(ProofError, match="empty root"):
        verify_consistency(0, 9, [], root, root)
    with pytest.raises(ProofError, match="must be empty"):
        verify_consistency(0, 9, [root], EMPTY_ROOT, root)
    with pytest.raises(ProofError, match="two different roots"):
        verify_consistency(0, 0, [], EMPTY_ROOT, root)


@pytest.mark.parametrize(
    "size, hashes", [(1, ()), (2, (EMPTY_ROOT, EMPTY_ROOT)), (1, (b"short",)), (-1, ())]
)
def test_frontier_refuses_a_shape_no_tree_has(size, hashes):
    """A frontier read back from storage with the wrong number or length of hashes is refused."""
    with pytest.raises(ProofError):
        Frontier(size, hashes)


@pytest.mark.parametrize("index, size", [(0, 0), (5, 5), (-1, 5), (0, MAX_SIZE + 1), (2**64, 5)])
def test_no_proof_for_a_leaf_outside_the_tree(index, size):
    """An index outside the tree, or a size no tree has, is refused by prover and verifier."""
    with pytest.raises(ProofError):
        inclusion_proof(index, size, nodes_of(LEAVES))
    with pytest.raises(ProofError):
        verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize("old, new", [(5, 4), (-1, 4), (1, MAX_SIZE + 1)])
def test_a_tree_does_not_shrink(old, new):
    """Consistency with a smaller tree, or sizes no tree has, is refused by prover and verifier."""
    with pytest.raises(ProofError):
        consistency_proof(old, new, nodes_of(LEAVES))
    with pytest.raises(ProofError):
        verify_consistency(old, new, [], EMPTY_ROOT, EMPTY_ROOT)


def test_a_proof_with_a_hash_too_few_or_too_many_is_named():
    """A proof of the wrong length is refused as such, wherever the hash is missing."""
    nodes, root, old_root = nodes_of(LEAVES), root_of(LEAVES[:7]), root_of(LEAVES[:3])
    proof = inclusion_proof(3, 7, nodes)
    with pytest.raises(ProofError, match="too short"):
        verify_inclusion(LEAVES[3], 3, 7, proof[:-1], root)
    with pytest.raises(ProofError, match="too long"):
        verify_inclusion(LEAVES[3], 3, 7, [*proof, root], root)
    proof = consistency_proof(3, 7, nodes)
    for short in (proof[:-1], []):
        with pytest.raises(ProofError, match="too short"):
            verify_consistency(3, 7, short, old_root, root)
    with pytest.raises(ProofError, match="too long"):
        verify_consistency(3, 7, [*proof, root], old_root, root)


def test_a_proof_to_another_root_is_refused_for_either_root():
    """A good proof with one of the roots exchanged says which of the two it does not lead to."""
    nodes, root, old_root = nodes_of(LEAVES), root_of(LEAVES[:7]), root_of(LEAVES[:3])
    proof = consistency_proof(3, 7, nodes)
    verify_consistency(3, 7, proof, old_root, root)
    with pytest.raises(ProofError, match="earlier root"):
        verify_consistency(3, 7, proof, root, root)
    with pytest.raises(ProofError, match="later root"):
        verify_consistency(3, 7, proof, old_root, old_root)
    with pytest.raises(ProofError, match="not in the tree"):
        verify_inclusion(LEAVES[2], 3, 7, inclusion_proof(3, 7, nodes), root)


def test_a_proof_longer_than_any_tree_is_refused_unread():
    """A proof of more hashes than any tree has levels is refused before any hashing."""
    with pytest.raises(ProofError, match="longer than any tree"):
        verify_inclusion(LEAVES[0], 0, 2, [EMPTY_ROOT] * 1000, EMPTY_ROOT)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_only_a_power_of_two_makes_a_complete_subtree(count):
    """A number of nodes that is no power of two has no complete subtree above it."""
    with pytest.raises(ProofError, match="complete subtree"):
        subtree_root(LEAVES[:count])


def test_a_source_that_gives_no_hash_is_caught():
    """A node source that answers with something other than a hash yields an error, not a proof."""
    with pytest.raises(ProofError, match="32 bytes"):
        inclusion_proof(0, 4, lambda _level, _index: b"")
