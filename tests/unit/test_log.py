"""The log's arithmetic: numbers, chains, tiles and proofs over rows kept in memory."""

import hashlib
from datetime import UTC, datetime

import msgspec
import pytest

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.entry import MAX_ENTRY_SIZE, check_commitment, entry_hash, parse_entry
from callpoint.audit.log import (
    Draft,
    ForkError,
    Head,
    StreamEnd,
    check_extends,
    complete_tiles,
    draft,
    inclusion,
    nodes,
    number,
    peaks,
)
from callpoint.audit.merkle import Frontier, ProofError, leaf_hash, verify_inclusion
from callpoint.domain import event as ev
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import ConflictError, RequestError

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
HEAD = Head("callpoint/abc123", "abc123", Frontier())


class Rows:
    """Implements `LogRows` in memory, and counts the hashes that were read."""

    def __init__(self, leaves=()):
        self.leaves = []
        self.tiles = {}
        self.read = 0
        self.grow(leaves)

    def grow(self, leaves):
        old = len(self.leaves)
        self.leaves.extend(leaves)
        for tile in complete_tiles(old, len(self.leaves), self):
            self.tiles[tile.level, tile.n] = tile
        self.read = 0

    def tile(self, level, n):
        tile = self.tiles.get((level, n))
        self.read += 256 if tile else 0
        return tile.hashes if tile else None

    def leaf_hashes(self, start, count):
        self.read += count
        return self.leaves[start : start + count]

    def tile_roots(self, level, start, count):
        self.read += count
        roots = (self.tiles.get((level, n)) for n in range(start, start + count))
        return [tile.root for tile in roots if tile]


def some_leaves(count, salt=b""):
    return [hashlib.sha256(salt + n.to_bytes(4, "big")).digest() for n in range(count)]


def issued(words="lease"):
    return ev.LeaseIssued(actor="p:alice", lease=words, target="t", box_sha256="a" * 64)


def private_words(words):
    return ev.IncidentDeclared(
        incident="INC-7",
        severity=Severity.SEV1,
        targets=(),
        person="alice",
        private={"words": ev.Private(salt=bytes(16), value=words)},
    )


def nothing(_stream):
    return None


def test_numbers_go_on_in_each_stream_and_chain():
    """Entries of interleaved streams get dense indices, dense seqs and their stream's last hash."""
    drafts = [draft(f"s:{n % 2}", issued(str(n)), AT) for n in range(6)]
    head, first = number(HEAD, drafts[:4], nothing)
    ends = {entry.stream: entry.end for entry in first}
    head, second = number(head, drafts[4:], ends.get)
    entries = [parse_entry(entry.leaf) for entry in (*first, *second)]
    assert [entry.index for entry in (*first, *second)] == list(range(6))
    assert [(entry.stream, entry.seq) for entry in entries] == [
        ("s:0", 0),
        ("s:1", 0),
        ("s:0", 1),
        ("s:1", 1),
        ("s:0", 2),
        ("s:1", 2),
    ]
    assert entries[0].prev is None
    assert entries[4].prev == entry_hash(first[2].leaf)
    assert head.size == 6
    whole = Frontier().extend(leaf_hash(entry.leaf) for entry in (*first, *second))
    assert head.checkpoint() == Checkpoint("callpoint/abc123", 6, whole.root())


def test_an_entry_says_what_the_event_said():
    """Type, version, time, actor and fields stand in the entry; private values do not."""
    event = ev.IncidentDeclared(
        actor="p:alice",
        incident="INC-7",
        severity=Severity.SEV1,
        targets=("orders-db",),
        person="alice",
        private={"words": ev.Private(salt=bytes(16), value="fire")},
    )
    _, (made,) = number(HEAD, [draft("incident:INC-7", event, AT)], nothing)
    entry = parse_entry(made.leaf)
    assert (entry.type, entry.version, entry.at) == (
        "incident:declared",
        1,
        "2026-03-01T03:00:00.000000Z",
    )
    assert entry.data == {
        "actor": "p:alice",
        "incident": "INC-7",
        "severity": "sev1",
        "targets": ["orders-db"],
        "person": "alice",
        "asked": None,
        "decisions": [],
    }
    check_commitment(entry.personal["words"], bytes(16), "fire")
    assert made.private == event.private


def test_a_closing_event_states_the_length_and_ends_the_stream():
    """The closing entry holds the length; whatever follows it in its stream is a conflict."""
    drafts = [draft("s:1", issued(), AT), draft("s:1", ev.ActivationLapsed(), AT)]
    head, entries = number(HEAD, drafts, nothing)
    assert parse_entry(entries[-1].leaf).data["stream_length"] == 2
    with pytest.raises(ConflictError):
        number(HEAD, [*drafts, drafts[0]], nothing)
    with pytest.raises(ConflictError):
        number(head, [drafts[0]], lambda _: entries[-1].end)


def test_drafts_survive_storage():
    """A draft that went through JSON numbers to the same bytes."""
    made = draft("s:1", issued("Ä\u2028"), AT)
    again = msgspec.json.decode(msgspec.json.encode(made), type=Draft)
    assert number(HEAD, [again], nothing) == number(HEAD, [made], nothing)


def test_what_no_entry_can_hold_is_refused_before_it_waits():
    """Too long an event, a strange stream or a lone surrogate is the caller's error at once."""
    refused = [
        ("s:1", issued("x" * MAX_ENTRY_SIZE)),
        ("a stream with spaces", issued()),
        ("", issued()),
        ("s:1", issued("\ud800")),
        ("s:1", private_words("\ud800")),
    ]
    for stream, event in refused:
        with pytest.raises(RequestError):
            draft(stream, event, AT)


def test_whatever_was_accepted_can_be_numbered_late():
    """The longest accepted draft still fits when its stream is as long as streams can be."""
    size = MAX_ENTRY_SIZE
    while True:
        try:
            made = draft("s:1", issued("x" * size), AT)
        except RequestError:
            size -= 1
            continue
        break
    end = StreamEnd(2**53 - 3, bytes(32), is_closed=False, index=0)
    _, (entry,) = number(HEAD, [made], lambda _: end)
    assert MAX_ENTRY_SIZE - 160 <= len(entry.leaf) <= MAX_ENTRY_SIZE


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700])
def test_proofs_and_peaks_agree_with_the_tree(size):
    """Every inclusion proof and all peaks out of tiles verify against the plainly made tree."""
    leaves = some_leaves(size)
    rows, root = Rows(leaves), Frontier().extend(leaves).root()
    for index in range(0, size, max(1, size // 37)):
        verify_inclusion(leaves[index], index, size, inclusion(index, size, rows), root)
    for part in {0, 1, size // 2, size - 1, size}:
        assert peaks(part, rows) == Frontier().extend(leaves[:part]).hashes


@pytest.mark.parametrize("step", [1, 7, 256, 300])
def test_tiles_do_not_depend_on_the_batches(step):
    """Growing in steps of any size stores the same tiles."""
    leaves = some_leaves(1000)
    grown = Rows()
    for start in range(0, 1000, step):
        grown.grow(leaves[start : start + step])
    assert grown.tiles == Rows(leaves).tiles
    assert set(grown.tiles) == {(0, 0), (0, 1), (0, 2)}


def test_a_proof_costs_the_same_in_a_long_log():
    """What a proof reads is bounded by the height in tiles, not by the number of entries."""
    leaves = some_leaves(70_000)
    rows = Rows(leaves)
    assert (1, 0) in rows.tiles
    reads = {}
    for size in (300, 3_000, 30_000, 70_000):
        rows.read = 0
        inclusion(size // 2, size, rows)
        reads[size] = rows.read
    assert max(reads.values()) <= 3 * 2 * 256, reads
    root = Frontier().extend(leaves).root()
    verify_inclusion(leaves[65_535], 65_535, 70_000, inclusion(65_535, 70_000, rows), root)


def test_an_extended_tree_is_told_from_a_forked_one():
    """Each earlier checkpoint of the tree is extended; another root or a longer tree is a fork."""
    leaves = some_leaves(600)
    rows = Rows(leaves)
    for size in (0, 1, 256, 511, 600):
        root = Frontier().extend(leaves[:size]).root()
        check_extends(600, rows, Checkpoint("o", size, root))
    with pytest.raises(ForkError, match="1 are missing"):
        check_extends(600, rows, Checkpoint("o", 601, bytes(32)))
    other = Frontier().extend(some_leaves(300, b"other")).root()
    with pytest.raises(ForkError, match="not the ones"):
        check_extends(600, rows, Checkpoint("o", 300, other))
    with pytest.raises(ForkError):
        check_extends(600, rows, Checkpoint("o", 0, other))


def test_missing_rows_are_an_error_and_no_wrong_proof():
    """A tile or leaf hash that is gone raises instead of giving a proof that does not hold."""
    rows = Rows(some_leaves(600))
    del rows.tiles[0, 0]
    rows.leaves = rows.leaves[200:]
    with pytest.raises(ProofError):
        inclusion(599, 600, rows)
    with pytest.raises(ProofError):
        nodes(600, rows)(0, 599)
