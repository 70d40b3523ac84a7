"""The Merkle tree of RFC 9162 section 2.1 (RFC 6962 hashing): roots, proofs and their verification.

Here is arithmetic on hashes only. Where hashes are kept is the business of the caller, who hands
in a `NodeSource`. The tree of no leaves has the root `EMPTY_ROOT`, and every tree extends it: a
consistency proof from size 0 is the empty list, and verifies only when the earlier root really
is `EMPTY_ROOT` (the specifications differ here; see ``docs/audit-log-format.md``).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

HASH_SIZE = 32
"""Length of every hash, in bytes (SHA-256)."""

MAX_SIZE = 2**53 - 1
"""The largest tree, in leaves: bundles carry indices as JSON, whose numbers are exact to here."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves (RFC 9162 section 2.1.1)."""

NodeSource = Callable[[int, int], bytes]
"""``nodes(level, index)``: the hash of the complete subtree of leaves
``[index * 2**level, (index + 1) * 2**level)``."""


class ProofError(ValueError):
    """A proof does not hold, or a size, index or hash is outside what a tree can have.

    The one error of this module. Whoever receives it must not trust the root, entry or checkpoint
    that the proof was meant to support.
    """


def leaf_hash(data: bytes) -> bytes:
    """Hash one entry: ``SHA-256(0x00 || data)``."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two neighbouring subtrees: ``SHA-256(0x01 || left || right)``."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: what is needed to append leaves and to know the root.

    Attributes:
        size: How many leaves the tree has.
        hashes: The hashes of the maximal complete subtrees, leftmost (largest) first: one for each
            bit that is set in `size`, 32 bytes each.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        _check_size(self.size)
        if len(self.hashes) != self.size.bit_count():
            raise ProofError(
                f"a frontier of {self.size} leaves has {self.size.bit_count()} hashes,"
                f" not {len(self.hashes)}"
            )
        _check_hashes(self.hashes)

    def append(self, leaf: bytes) -> "Frontier":
        """The frontier after one more leaf, given by its leaf hash."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> "Frontier":
        """The frontier after more leaves, given by their leaf hashes, in order."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaves:
            node = leaf
            # Each trailing one bit of the size is a complete subtree that the new leaf completes
            # into one of twice its width.
            bits = size
            while bits & 1:
                node = node_hash(hashes.pop(), node)
                bits >>= 1
            hashes.append(node)
            size += 1
        return Frontier(size, tuple(hashes))

    def root(self) -> bytes:
        """The root of the tree of `size` leaves."""
        return _fold(self.hashes)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of the tree over these leaf hashes."""
    return Frontier().extend(leaves).root()


def subtree_root(nodes: Sequence[bytes]) -> bytes:
    """The hash above `nodes`, the hashes of neighbouring complete subtrees of one level.

    Raises:
        ProofError: Their number is not a power of two, so they do not make up a complete subtree.
    """
    if len(nodes).bit_count() != 1:
        raise ProofError(f"{len(nodes)} nodes do not make up a complete subtree")
    return root_of(nodes)


def root_from(size: int, nodes: NodeSource) -> bytes:
    """The root of the first `size` leaves, out of stored nodes."""
    _check_size(size)
    return _range_root(0, size, nodes)


def inclusion_proof(index: int, size: int, nodes: NodeSource) -> list[bytes]:
    """The inclusion proof of leaf `index` in the tree of `size` leaves (RFC 9162 section 2.1.3.1).

    Raises:
        ProofError: `index` is not below `size`, or the source gave something that is no hash.
    """
    _check_index(index, size)
    proof: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(_range_root(middle, high, nodes))
            high = middle
        else:
            proof.append(_range_root(low, middle, nodes))
            low = middle
    proof.reverse()
    return proof


def consistency_proof(old: int, new: int, nodes: NodeSource) -> list[bytes]:
    """The proof that the tree of `new` leaves extends that of `old` (RFC 9162 section 2.1.4.1).

    Returns:
        The hashes, lowest first; none at all for ``old == 0`` and for ``old == new``.

    Raises:
        ProofError: `old` is larger than `new`, or the source gave something that is no hash.
    """
    _check_growth(old, new)
    if old == 0:
        return []
    proof: list[bytes] = []
    low, high = 0, new
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(_range_root(middle, high, nodes))
            high = middle
        else:
            proof.append(_range_root(low, middle, nodes))
            low = middle
    if low > 0:
        # The old tree does not end in one complete subtree from leaf 0, whose hash the verifier
        # already has as the old root: it needs this last piece of it too.
        proof.append(_range_root(low, high, nodes))
    proof.reverse()
    return proof


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf hash `leaf` is leaf `index` of the tree (RFC 9162 section 2.1.3.2).

    Raises:
        ProofError: It is not, or an argument cannot belong to any tree.
    """
    _check_index(index, size)
    _check_hashes((leaf, root, *_bounded(proof)))
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while position & 1 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof is too short")
    if node != root:
        raise ProofError(f"leaf {index} is not in the tree of {size} leaves with this root")


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the new tree begins with the whole old one (RFC 9162 section 2.1.4.2).

    Raises:
        ProofError: It does not, or an argument cannot belong to any tree.
    """
    _check_growth(old, new)
    _check_hashes((old_root, new_root, *_bounded(proof)))
    if old == 0 and old_root != EMPTY_ROOT:
        raise ProofError("the root of a tree without leaves is not the empty root")
    if old in (0, new):
        if proof:
            raise ProofError("this consistency proof must be empty")
        if old == new and old_root != new_root:
            raise ProofError(f"two different roots for one tree size, {new}")
        return
    old_node, new_node = _climb(old, new, proof, old_root)
    if old_node != old_root:
        raise ProofError("the consistency proof does not lead to the earlier root")
    if new_node != new_root:
        raise ProofError("the consistency proof does not lead to the later root")


def _climb(old: int, new: int, proof: Sequence[bytes], old_root: bytes) -> tuple[bytes, bytes]:
    """The two roots that a consistency proof leads to, for ``0 < old < new``."""
    # When the old tree is one complete subtree its root starts the walk, and is not in the proof.
    path = iter(proof) if old.bit_count() > 1 else iter((old_root, *proof))
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = next(path, None)
    if first is None:
        raise ProofError("the consistency proof is too short")
    old_node = new_node = first
    for sibling in path:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if position & 1 or position == last:
            old_node = node_hash(sibling, old_node)
            new_node = node_hash(sibling, new_node)
            while position & 1 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            new_node = node_hash(new_node, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof is too short")
    return old_node, new_node


def _split(width: int) -> int:
    """The largest power of two below `width` (at least 2): where RFC 9162 splits a tree."""
    return 1 << ((width - 1).bit_length() - 1)


def _range_root(low: int, high: int, nodes: NodeSource) -> bytes:
    """The root over leaves ``[low, high)``, a subtree that may be ragged on its right edge only."""
    hashes = tuple(_pieces(low, high, nodes))
    _check_hashes(hashes)
    return _fold(hashes)


def _pieces(low: int, high: int, nodes: NodeSource) -> Iterator[bytes]:
    while low < high:
        level = (high - low).bit_length() - 1
        yield nodes(level, low >> level)
        low += 1 << level


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The root above maximal complete subtrees, the largest of which comes first."""
    if not hashes:
        return EMPTY_ROOT
    *left, node = hashes
    for sibling in reversed(left):
        node = node_hash(sibling, node)
    return node


def _bounded(proof: Sequence[bytes]) -> Sequence[bytes]:
    # A tree of MAX_SIZE leaves is 53 levels high; a consistency proof has one hash more at most.
    if len(proof) > MAX_SIZE.bit_length() + 1:
        raise ProofError(f"a proof of {len(proof)} hashes is longer than any tree is high")
    return proof


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise ProofError(f"a tree cannot have {size} leaves")


def _check_index(index: int, size: int) -> None:
    _check_size(size)
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")


def _check_growth(old: int, new: int) -> None:
    _check_size(old)
    _check_size(new)
    if old > new:
        raise ProofError(f"a tree cannot shrink from {old} leaves to {new}")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise ProofError(f"a hash has {HASH_SIZE} bytes, not {len(value)}")
