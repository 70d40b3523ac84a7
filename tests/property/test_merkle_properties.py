"""Properties of the log arithmetic, over sizes, changes and bytes that nobody chose."""

import base64
import string
from collections.abc import Callable
from itertools import pairwise

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from callpoint.audit.checkpoint import (
    Checkpoint,
    CheckpointError,
    parse_checkpoint,
    sign_checkpoint,
)
from callpoint.audit.entry import EntryError, canonical_json, parse_entry, parse_time
from callpoint.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    NodeSource,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from callpoint.audit.note import NoteError, Signer, Verifier, parse_note
from callpoint.audit.tiles import TileNodes, full_tiles

LEAVES = [leaf_hash(n.to_bytes(2)) for n in range(600)]
SIZES = st.integers(1, len(LEAVES))


def recursive_root(leaves: list[bytes]) -> bytes:
    """The root exactly as RFC 9162 section 2.1.1 defines it, with no cleverness."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


def nodes(level: int, index: int) -> bytes:
    """The complete subtree's hash, computed from the leaves alone."""
    return recursive_root(LEAVES[index << level : (index + 1) << level])


def tile_nodes(size: int) -> NodeSource:
    """The nodes out of tiles whose hashes are computed from the leaves alone."""
    return TileNodes(
        size, lambda level, n, width: [nodes(8 * level, 256 * n + i) for i in range(width)]
    )


@given(SIZES, st.integers(0, len(LEAVES)))
def test_a_frontier_equals_the_definition(size, first):
    """However the leaves arrive, the frontier's root is the recursively defined one."""
    cut = min(first, size)
    frontier = Frontier().extend(LEAVES[:cut]).extend(LEAVES[cut:size])
    assert frontier.root() == recursive_root(LEAVES[:size]) == root_of(LEAVES[:size])


def test_every_proof_of_every_small_tree_verifies():
    """All inclusion and consistency proofs of all trees of up to 40 leaves verify."""
    for size in range(1, 41):
        root = recursive_root(LEAVES[:size])
        for index in range(size):
            verify_inclusion(LEAVES[index], index, size, inclusion_proof(index, size, nodes), root)
        for old in range(size + 1):
            old_root = recursive_root(LEAVES[:old])
            verify_consistency(old, size, consistency_proof(old, size, nodes), old_root, root)


@given(st.data(), SIZES)
def test_tiles_give_the_same_proofs_as_leaves(data, size):
    """Proofs out of tiles equal proofs out of leaves."""
    index = data.draw(st.integers(0, size - 1))
    assert inclusion_proof(index, size, tile_nodes(size)) == inclusion_proof(index, size, nodes)
    assert consistency_proof(index, size, tile_nodes(size)) == consistency_proof(index, size, nodes)


def flipped(data: st.DataObject, value: bytes) -> bytes:
    """The same bytes with one bit changed."""
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damaged(data: st.DataObject, proof: list[bytes]) -> list[bytes]:
    """A proof with one hash flipped, dropped, doubled or added, or two exchanged."""
    spot = data.draw(st.integers(0, len(proof)))
    if not proof or spot == len(proof):
        return [*proof, EMPTY_ROOT]
    kinds = ["flip", "drop", "double"] + ["swap"] * (len(proof) > 1)
    match data.draw(st.sampled_from(kinds)):
        case "flip":
            return [*proof[:spot], flipped(data, proof[spot]), *proof[spot + 1 :]]
        case "drop":
            return [*proof[:spot], *proof[spot + 1 :]]
        case "double":
            return [*proof[: spot + 1], *proof[spot:]]
        case _:
            other = (spot + 1) % len(proof)
            swapped = list(proof)
            swapped[spot], swapped[other] = swapped[other], swapped[spot]
            return swapped


@given(st.data(), SIZES)
def test_any_single_change_breaks_an_inclusion_proof(data, size):
    """A changed leaf, index, root or proof does not verify."""
    index = data.draw(st.integers(0, size - 1))
    leaf, root = LEAVES[index], root_of(LEAVES[:size])
    proof = inclusion_proof(index, size, nodes)
    verify_inclusion(leaf, index, size, proof, root)
    other = data.draw(st.integers(-1, size + 1).filter(lambda i: i != index))
    for bad in (
        lambda: verify_inclusion(flipped(data, leaf), index, size, proof, root),
        lambda: verify_inclusion(leaf, other, size, proof, root),
        lambda: verify_inclusion(leaf, index, size, proof, flipped(data, root)),
        lambda: verify_inclusion(leaf, index, size, damaged(data, proof), root),
    ):
        with pytest.raises(ProofError):
            bad()


@given(st.data(), st.integers(2, len(LEAVES)))
def test_any_single_change_breaks_a_consistency_proof(data, new):
    """A changed root, size or proof does not verify."""
    old = data.draw(st.integers(1, new - 1))
    before, after = root_of(LEAVES[:old]), root_of(LEAVES[:new])
    proof = consistency_proof(old, new, nodes)
    verify_consistency(old, new, proof, before, after)
    for bad in (
        lambda: verify_consistency(old, new, proof, flipped(data, before), after),
        lambda: verify_consistency(old, new, proof, before, flipped(data, after)),
        lambda: verify_consistency(new + 1, new, proof, before, after),
        lambda: verify_consistency(old, new, damaged(data, proof), before, after),
    ):
        with pytest.raises(ProofError):
            bad()


@given(st.lists(st.integers(0, 200_000), min_size=2, max_size=6))
def test_growth_in_steps_completes_the_tiles_of_growth_at_once(sizes):
    """Growing in any steps names each full tile once, and all of them."""
    steps = [0, *sorted(sizes)]
    named = [t for a, b in pairwise(steps) for t in full_tiles(a, b)]
    assert sorted(named) == list(full_tiles(0, steps[-1]))


KEYS = st.text(string.printable, max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_canonical_json_is_rfc_8785(value):
    """Our canonical JSON has the bytes of an independent RFC 8785 implementation."""
    assert canonical_json(value) == rfc8785.dumps(value)


LOG = Signer("log.example", bytes(32))
NOTE = sign_checkpoint(Checkpoint("log.example", 1, EMPTY_ROOT), [LOG]).format()
ENTRY = (
    b'{"at":"2026-11-24T04:09:13.000001Z","data":{},"installation":"i","personal":{},'
    b'"prev":null,"seq":0,"stream":"s","type":"a:b","version":1}'
)
SAMPLES = st.sampled_from(
    [
        NOTE,
        LOG.format().encode(),
        LOG.verifier.format().encode(),
        ENTRY,
        b"2026-11-24T04:09:13.000001Z",
        b"o\n1\n" + base64.b64encode(EMPTY_ROOT) + b"\n",
    ]
)


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Arbitrary bytes, or a good sample with some of its bytes replaced by arbitrary ones."""
    noise = draw(st.binary(max_size=40))
    if draw(st.booleans()):
        return noise
    sample = draw(SAMPLES)
    start = draw(st.integers(0, len(sample)))
    return sample[:start] + noise + sample[start + draw(st.integers(0, 8)) :]


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "parse, error",
    [
        (parse_note, NoteError),
        (_text(Verifier.parse), NoteError),
        (_text(Signer.parse), NoteError),
        (_text(parse_checkpoint), CheckpointError),
        (parse_entry, EntryError),
        (_text(parse_time), EntryError),
    ],
)
@given(data=hostile())
def test_hostile_bytes_raise_the_declared_error_only(parse, error, data):
    """Whatever the bytes, a parser returns a value or raises its one declared error."""
    try:
        parse(data)
    except error:
        pass
    except UnicodeDecodeError:
        # Only the text parsers' own adapter above decodes; the byte parsers must not let it out.
        assert parse not in (parse_note, parse_entry)
