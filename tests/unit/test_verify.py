"""Tests of the verifier on whole logs: every kind of tampering is found, and named."""

from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest

from callpoint.audit.checkpoint import Checkpoint, sign_checkpoint
from callpoint.audit.entry import canonical_json, parse_entry
from callpoint.audit.merkle import EMPTY_ROOT
from callpoint.audit.note import MalformedNoteError, Signer
from callpoint.audit.verify import Code, Report, verify_log
from tests.fakes.sample_log import INCIDENT, SIGNER, STREAM, VKEY, SampleLog, sample_log, sealed

LOG = sample_log()
SIZE = len(LOG.leaves)
HEAD = LOG.checkpoint()
SEQ_OF = {index: parse_entry(leaf).seq for index, leaf in enumerate(LOG.leaves)}
STREAM_OF = {index: parse_entry(leaf).stream for index, leaf in enumerate(LOG.leaves)}
INNER = [n for n in range(SIZE) if n != LOG.streams[STREAM_OF[n]][-1]]
LAST = [n for n in range(SIZE) if n not in INNER]


def check(leaves: list[bytes], earlier: bytes | None = None) -> Report:
    """The report on these leaves under the honest log's checkpoint."""
    return verify_log(leaves, HEAD, VKEY, earlier)


def codes(report: Report) -> set[Code]:
    """The names of what was found."""
    return {finding.code for finding in report.findings}


def at(report: Report, code: Code) -> list[int | None]:
    """Where something of this name was found."""
    return [finding.index for finding in report.findings if finding.code is code]


def altered(leaf: bytes, **fields: object) -> bytes:
    """The leaf with some fields replaced, still in canonical form."""
    return canonical_json(msgspec.structs.asdict(parse_entry(leaf)) | fields)


def with_leaf(index: int, leaf: bytes) -> list[bytes]:
    """The log's leaves with one of them replaced."""
    return [*LOG.leaves[:index], leaf, *LOG.leaves[index + 1 :]]


def test_an_honest_log_verifies():
    """The whole log under its checkpoint has no finding, and says how many streams are open."""
    report = check(LOG.leaves)
    assert report.ok
    assert report.size == SIZE
    assert report.notes == ("2 streams are open: they are complete up to this checkpoint only",)


@pytest.mark.parametrize("size", range(SIZE + 1))
def test_every_earlier_checkpoint_is_a_prefix(size):
    """The log extends each checkpoint that it ever signed, the empty one included."""
    assert check(LOG.leaves, earlier=LOG.checkpoint(size)).ok


@pytest.mark.parametrize("index", range(SIZE))
def test_any_flipped_bit_is_found(index):
    """Whatever bit of an entry is flipped, the report is not ok and knows where, or says so."""
    leaf = LOG.leaves[index]
    for bit in range(0, 8 * len(leaf), 37):
        changed = bytearray(leaf)
        changed[bit // 8] ^= 1 << bit % 8
        report = check(with_leaf(index, bytes(changed)))
        assert Code.ROOT_MISMATCH in codes(report)
        if at(report, Code.ENTRY_MALFORMED):
            assert at(report, Code.ENTRY_MALFORMED) == [index]


@pytest.mark.parametrize("index", INNER)
def test_an_altered_entry_with_a_successor_is_named(index):
    """An entry changed in a well-formed way is named by index: its successor vouches against it."""
    report = check(with_leaf(index, altered(LOG.leaves[index], at="2020-01-01T00:00:00.000000Z")))
    assert codes(report) == {Code.ENTRY_ALTERED, Code.ROOT_MISMATCH}
    assert at(report, Code.ENTRY_ALTERED) == [index]


@pytest.mark.parametrize("index", LAST)
def test_an_altered_last_entry_of_a_stream_is_narrowed_down(index):
    """A changed entry without successor shows in the root, and is among the few that are named."""
    leaves = with_leaf(index, altered(LOG.leaves[index], at="2020-01-01T00:00:00.000000Z"))
    report = check(leaves)
    assert codes(report) == {Code.ROOT_MISMATCH}
    named = report.findings[0].message.partition("look at ")[2].partition(" and ")[0].split(", ")
    assert str(index) in named
    assert set(named) <= set(map(str, LAST))


def test_an_earlier_checkpoint_narrows_a_change_down_to_one_entry():
    """With the checkpoint just before the last entry, a change of that entry has its index."""
    leaves = with_leaf(SIZE - 1, altered(LOG.leaves[-1], version=2))
    report = check(leaves, earlier=LOG.checkpoint(SIZE - 1))
    assert at(report, Code.ROOT_MISMATCH) == [SIZE - 1]
    assert f"at or after entry {SIZE - 1}" in report.findings[0].message


def test_a_change_below_the_earlier_checkpoint_is_said_to_be_there():
    """When the earlier checkpoint does not match either, the change is said to lie below it."""
    leaves = with_leaf(4, altered(LOG.leaves[4], version=2))
    report = check(leaves, earlier=LOG.checkpoint(8))
    assert "before entry 8" in report.findings[0].message
    assert Code.FORK not in codes(report)


def test_a_changed_prev_is_the_changed_entrys_fault():
    """An entry whose own prev was changed is named, not its predecessor."""
    index = LOG.streams[STREAM][2]
    report = check(with_leaf(index, altered(LOG.leaves[index], prev="00" * 32)))
    assert at(report, Code.ENTRY_ALTERED) == [index]


@pytest.mark.parametrize("index", range(SIZE))
def test_a_removed_entry_is_found(index):
    """A removed entry is named by its successor's number, or by the count where it was the last."""
    report = check(LOG.leaves[:index] + LOG.leaves[index + 1 :])
    assert Code.ENTRY_REMOVED in codes(report)
    if index in INNER:
        stream = LOG.streams[STREAM_OF[index]]
        successor = stream[stream.index(index) + 1] - 1
        assert successor in at(report, Code.ENTRY_REMOVED)


@pytest.mark.parametrize("index", range(SIZE))
def test_a_doubled_entry_is_found(index):
    """An entry that occurs twice is named as inserted, where it stands or beside its twin."""
    report = check([*LOG.leaves[: index + 1], LOG.leaves[index], *LOG.leaves[index + 1 :]])
    assert Code.ENTRY_INSERTED in codes(report)
    assert {index, index + 1} & set(at(report, Code.ENTRY_INSERTED))


@pytest.mark.parametrize("index", LOG.streams[STREAM][1:-1])
@pytest.mark.parametrize("before", [True, False])
def test_a_forged_entry_beside_the_true_one_is_the_one_named(index, before):
    """Of two entries with one number, the one that the successor does not vouch for is named."""
    forged = altered(LOG.leaves[index], data={"forged": True})
    pair = [forged, LOG.leaves[index]] if before else [LOG.leaves[index], forged]
    report = check([*LOG.leaves[:index], *pair, *LOG.leaves[index + 1 :]])
    assert at(report, Code.ENTRY_INSERTED) == [None, index if before else index + 1]
    assert Code.ENTRY_ALTERED not in codes(report)


def test_an_entry_with_a_new_stream_of_its_own_is_counted():
    """An inserted entry that no chain contradicts still makes the log longer than was signed."""
    forged = altered(LOG.leaves[0], stream="forged")
    assert Code.ENTRY_INSERTED in codes(check([*LOG.leaves[:3], forged, *LOG.leaves[3:]]))


@pytest.mark.parametrize("first, second", list(pairwise(LOG.streams[STREAM])))
def test_exchanged_entries_of_a_stream_are_named(first, second):
    """Two exchanged events of one stream are named as reordered."""
    leaves = list(LOG.leaves)
    leaves[first], leaves[second] = leaves[second], leaves[first]
    report = check(leaves)
    assert at(report, Code.ENTRY_REORDERED) == [second]
    assert Code.ENTRY_REMOVED not in codes(report)


def test_exchanged_entries_of_two_streams_show_in_the_root():
    """An exchange between streams breaks no chain; the root shows it, and the message says so."""
    leaves = list(LOG.leaves)
    leaves[3], leaves[4] = leaves[4], leaves[3]
    report = check(leaves)
    assert codes(report) == {Code.ROOT_MISMATCH}
    assert "the order of streams" in report.findings[0].message


def test_an_entry_of_another_installation_is_named():
    """An entry that another installation wrote does not belong here."""
    report = check(with_leaf(7, altered(LOG.leaves[7], installation="other1")))
    assert at(report, Code.ENTRY_FOREIGN) == [7]


@pytest.mark.parametrize("index", range(1, SIZE))
def test_an_unreadable_entry_is_named_once(index):
    """An entry that is no entry is named, and is not reported as a removed one as well."""
    report = check(with_leaf(index, b"{}"))
    assert at(report, Code.ENTRY_MALFORMED) == [index]
    assert codes(report) == {Code.ENTRY_MALFORMED, Code.ROOT_MISMATCH}


def test_an_unreadable_entry_excuses_only_a_gap_around_it():
    """A removed entry is named although another one, elsewhere, cannot be read."""
    removed, unreadable = LOG.streams[STREAM][2], SIZE - 1
    leaves = with_leaf(unreadable, b"{}")
    del leaves[removed]
    report = check(leaves)
    assert LOG.streams[STREAM][3] - 1 in at(report, Code.ENTRY_REMOVED)
    assert at(report, Code.ENTRY_MALFORMED) == [unreadable - 1]


def test_an_entry_that_is_not_canonical_is_named_under_a_good_root():
    """A log that signs an entry with a space in it is found out, although the root matches."""
    leaves = with_leaf(4, LOG.leaves[4].replace(b'"seq":0', b'"seq": 0'))
    report = verify_log(leaves, sealed(leaves), VKEY)
    assert at(report, Code.ENTRY_MALFORMED) == [4]
    assert Code.ROOT_MISMATCH not in codes(report)


def test_a_log_that_leaves_an_event_out_before_signing_is_found():
    """A log whose own chain skips a number is found out under a good root and signature."""
    leaves = LOG.leaves[:7] + LOG.leaves[8:]
    report = verify_log(leaves, sealed(leaves), VKEY)
    assert codes(report) == {Code.ENTRY_REMOVED}


def test_a_truncated_log_is_found():
    """A log cut short of its checkpoint says how many entries are missing."""
    report = check(LOG.leaves[:-3])
    assert "3 of the checkpoint's" in report.findings[0].message
    assert check([]).findings[0].code is Code.ENTRY_REMOVED


def test_a_wrong_stream_length_is_named():
    """A closing event that states another length is named, under a good root too."""
    index = LOG.streams[STREAM][-1]
    data = parse_entry(LOG.leaves[index]).data | {"stream_length": 4}
    leaves = with_leaf(index, altered(LOG.leaves[index], data=data))
    assert at(verify_log(leaves, sealed(leaves), VKEY), Code.STREAM_LENGTH_WRONG) == [index]


def test_true_is_no_length():
    """A stream of one event that states the length ``true`` does not state one."""
    leaf = altered(LOG.leaves[0], data={"stream_length": True})
    assert at(verify_log([leaf], sealed([leaf]), VKEY), Code.STREAM_LENGTH_WRONG) == [0]


def test_an_entry_after_the_close_is_named():
    """An event in a stream that was closed is named."""
    log = sample_log()
    log.add(STREAM, "lease:issued", {"lease": "l2"})
    report = verify_log(log.leaves, log.checkpoint(), VKEY)
    assert at(report, Code.ENTRY_AFTER_CLOSE) == [SIZE]


def test_a_fork_is_named():
    """A rewritten log under an honest key does not extend the checkpoint that was kept."""
    fork = sample_log(requested={"forged": True})
    report = verify_log(fork.leaves, fork.checkpoint(), VKEY, earlier=LOG.checkpoint(9))
    assert codes(report) == {Code.FORK}
    assert verify_log(fork.leaves, fork.checkpoint(), VKEY, earlier=LOG.checkpoint(3)).ok


def test_two_roots_for_one_size_are_a_fork():
    """Two signed checkpoints of one size with different roots are named as a fork."""
    fork = sample_log(requested={"forged": True})
    assert Code.FORK in codes(verify_log(fork.leaves, fork.checkpoint(), VKEY, earlier=HEAD))
    # The two checkpoints alone are proof, whatever the export holds.
    assert Code.FORK in codes(verify_log([], fork.checkpoint(), VKEY, earlier=HEAD))


def test_a_rollback_is_named():
    """A log that is shorter than it was is a rollback, although all that is left is true."""
    report = verify_log(LOG.leaves[:9], LOG.checkpoint(9), VKEY, earlier=HEAD)
    assert codes(report) == {Code.ROLLBACK}


OTHER = Signer(SIGNER.name, bytes(32))


@pytest.mark.parametrize(
    "checkpoint, code",
    [
        (HEAD.replace(b"\n17\n", b"\n16\n"), Code.BAD_SIGNATURE),
        (sealed(LOG.leaves, signer=OTHER), Code.WRONG_KEY),
        (sealed(LOG.leaves, origin="other.example"), Code.WRONG_ORIGIN),
        (HEAD[:-20], Code.MALFORMED_CHECKPOINT),
        (b"\xff", Code.MALFORMED_CHECKPOINT),
    ],
)
def test_a_checkpoint_that_cannot_be_believed_is_named(checkpoint, code):
    """A forged, foreign or damaged checkpoint is named, as the newest and as the earlier one."""
    assert SIZE == 17
    assert code in codes(verify_log(LOG.leaves, checkpoint, VKEY))
    assert code in codes(verify_log(LOG.leaves, HEAD, VKEY, earlier=checkpoint))


def test_the_origin_can_differ_from_the_keys_name():
    """A log whose origin is not its key's name verifies when the reader names that origin."""
    checkpoint = sealed(LOG.leaves, origin="other.example")
    assert verify_log(LOG.leaves, checkpoint, VKEY, origin="other.example").ok


@pytest.mark.parametrize(
    "named, seen, says",
    [
        ("callpoint/ab12cd", "callpoint/ab12cd/2", True),
        ("callpoint/ab12cd/2", "callpoint/ab12cd/3", True),
        ("callpoint/ab12cd/3", "callpoint/ab12cd/2", False),
        ("callpoint/ab12cd", "callpoint/ab12ce/2", False),
        ("callpoint/ab12cd", "callpoint/ab12cd/x", False),
    ],
)
def test_a_log_that_was_recovered_is_not_only_called_another_one(named, seen, says):
    """Its new origin is told as what it seems to be, and what to name; wrong it is all the same."""
    checkpoint = sealed(LOG.leaves, origin=seen)
    report = verify_log(LOG.leaves, checkpoint, VKEY, origin=named)
    (finding,) = [one for one in report.findings if one.code is Code.WRONG_ORIGIN]
    assert ("--installation" in finding.message) is says


def test_a_wrong_checkpoint_does_not_hide_what_the_chains_show():
    """Several failures at once are all reported."""
    leaves = with_leaf(6, altered(LOG.leaves[6], version=2))
    report = verify_log(leaves, sealed(LOG.leaves, signer=OTHER), VKEY)
    assert codes(report) == {Code.WRONG_KEY, Code.ENTRY_ALTERED, Code.ROOT_MISMATCH}


def test_an_empty_log_verifies():
    """A log without entries has the empty root."""
    note = sign_checkpoint(Checkpoint(SIGNER.name, 0, EMPTY_ROOT), [SIGNER]).format()
    assert verify_log([], note, VKEY).ok


def test_a_flood_of_findings_is_cut_short():
    """A million bad entries make a report of bounded length that says what it left out."""
    report = check([b"{}"] * 1000)
    assert len(report.findings) == 201
    assert report.findings[-1].code is Code.TOO_MANY_FINDINGS


def test_a_log_of_gaps_is_read_in_bounded_time():
    """A hostile log with a gap at every entry, and then the rest, is reported without a stall."""
    log = SampleLog()
    for _ in range(6000):
        log.add("hostile", "lease:issued", {})
    leaves = log.leaves[1::2] + log.leaves[::2] + [b"{}"] * 1000
    report = check(leaves)
    assert report.findings[-1].code is Code.TOO_MANY_FINDINGS
    assert Code.ENTRY_REMOVED in codes(report)


def test_findings_cannot_steer_a_terminal():
    """What a tampered checkpoint says reaches the reader without control characters."""
    evil = sealed(LOG.leaves, origin="evil\u009b31m")
    for finding in verify_log(LOG.leaves, evil, VKEY).findings:
        assert finding.message.isascii()
        assert finding.message.isprintable()


def test_a_bad_key_is_the_readers_mistake():
    """A verifier key that is none is an error, not a finding about the log."""
    with pytest.raises(MalformedNoteError):
        verify_log(LOG.leaves, HEAD, "no key")


def _swap_first_and_last(leaves: list[bytes]) -> list[bytes]:
    return [leaves[-1], *leaves[1:-1], leaves[0]]


@pytest.mark.parametrize(
    "tamper",
    [
        lambda leaves: leaves[:-1],
        lambda leaves: leaves[1:],
        lambda leaves: leaves[::-1],
        lambda leaves: [*leaves, leaves[0]],
        lambda leaves: leaves * 2,
        _swap_first_and_last,
        lambda _: [],
    ],
)
def test_coarse_tampering_is_found(tamper: Callable[[list[bytes]], list[bytes]]):
    """Coarse changes of the whole log never verify and never crash the verifier."""
    assert not check(tamper(LOG.leaves)).ok


def test_streams_of_the_sample_interleave():
    """The sample log is worth testing on: its streams interleave and two of them stay open."""
    assert isinstance(LOG, SampleLog)
    assert LOG.streams[INCIDENT][-1] > LOG.streams[STREAM][0]
    assert SEQ_OF[LOG.streams[STREAM][-1]] == 8
