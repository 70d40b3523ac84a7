"""Tests of the leaf format: one byte form for one event, and nothing beside it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from callpoint.audit.entry import (
    MAX_DEPTH,
    MAX_ENTRY_SIZE,
    MAX_INTEGER,
    Entry,
    EntryError,
    canonical_json,
    check_commitment,
    commit,
    encode_entry,
    entry_hash,
    format_time,
    frame,
    parse_entry,
    parse_time,
)
from callpoint.audit.merkle import leaf_hash

ENTRY = Entry(
    type="lease:revoked",
    version=1,
    installation="4f2c",
    stream="act-1",
    seq=1,
    prev="ab" * 32,
    at="2026-11-24T04:09:13.000001Z",
    data={"target": "orders-db", "attempts": 2, "ok": True, "note": None},
    personal={"justification": "cd" * 32},
)
LEAF = (
    b'{"at":"2026-11-24T04:09:13.000001Z",'
    b'"data":{"attempts":2,"note":null,"ok":true,"target":"orders-db"},'
    b'"installation":"4f2c","personal":{"justification":"' + b"cd" * 32 + b'"},'
    b'"prev":"' + b"ab" * 32 + b'","seq":1,"stream":"act-1","type":"lease:revoked","version":1}'
)


def changed(**fields: Any) -> Entry:
    """The example event with some fields replaced."""
    return msgspec.structs.replace(ENTRY, **fields)


def test_an_event_has_exactly_these_bytes():
    """The leaf of the documented example is sorted, without spaces, and reads back the same."""
    assert encode_entry(ENTRY) == LEAF
    assert parse_entry(LEAF) == ENTRY
    assert entry_hash(LEAF) == leaf_hash(LEAF).hex()


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "Revoked"},
        {"type": "revoked"},
        {"type": "lease:"},
        {"version": 0},
        {"version": True},
        {"installation": ""},
        {"stream": "has space"},
        {"stream": "x" * 129},
        {"stream": "line\n"},
        {"seq": -1},
        {"seq": 0},
        {"seq": False, "prev": None},
        {"seq": MAX_INTEGER + 1},
        {"prev": None},
        {"prev": "AB" * 32},
        {"prev": "ab" * 31},
        {"at": "2026-11-24T04:09:13Z"},
        {"at": "2026-11-24T04:09:13.000001+00:00"},
        {"at": "2026-02-30T04:09:13.000001Z"},
        {"at": "2026-11-24T24:00:00.000000Z"},
        {"data": {"x": 1.0}},
        {"data": {"x": MAX_INTEGER + 1}},
        {"data": {"x": -MAX_INTEGER - 1}},
        {"data": {"\u00e9": 1}},
        {"data": {1: 1}},
        {"data": {"x": b"bytes"}},
        {"data": {"x": "\ud800"}},
        {"data": {"x": "y" * MAX_ENTRY_SIZE}},
        {"data": {"stream_length": 3}},
        {"data": {"stream_length": "2"}},
        {"personal": {"name": "plain text"}},
        {"personal": {"Name": "cd" * 32}},
    ],
)
def test_what_the_format_does_not_allow_is_not_written(fields):
    """An event outside the format is refused before it can reach the log."""
    with pytest.raises(EntryError):
        encode_entry(changed(**fields))


@pytest.mark.parametrize("is_plain", [True, False])
def test_a_frame_becomes_the_same_leaf_and_is_nested_no_deeper(is_plain):
    """With many containers beside each other, too; one level more than is allowed is refused."""
    wide = changed(seq=0, prev=None, data={"each": [{"a": [n]} for n in range(MAX_DEPTH)]})
    framed = frame(wide, is_plain=is_plain)
    assert framed.placed(wide.installation, 0, None) == encode_entry(wide)
    deep: list[Any] = []
    for _ in range(MAX_DEPTH - 2):
        deep = [deep]
    with pytest.raises(EntryError, match="deep"):
        frame(changed(data={"each": deep}), is_plain=is_plain)
    frame(changed(data={"each": deep[0]}), is_plain=is_plain)


def test_the_closing_event_counts_its_stream():
    """The event that closes a stream is written when it states its own seq plus one."""
    closing = changed(data={"stream_length": 2})
    assert closing.is_closing
    assert parse_entry(encode_entry(closing)) == closing
    assert not ENTRY.is_closing


def test_a_wrong_length_is_read_but_not_written():
    """A leaf that states a wrong stream length is read, so that the verifier can name it."""
    leaf = LEAF.replace(b'"attempts":2', b'"stream_length":9').replace(
        b'"note":null,"ok":true,"stream', b'"stream'
    )
    wrong = canonical_json(msgspec.json.decode(leaf))
    assert parse_entry(wrong).data["stream_length"] == 9


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"null",
        b"[]",
        LEAF + b"\n",
        b" " + LEAF,
        LEAF.replace(b":", b": "),
        LEAF.replace(b'"seq":1', b'"seq":1.0'),
        LEAF.replace(b'"seq":1', b'"seq":01'),
        LEAF.replace(b'"seq":1', b'"seq":1e0'),
        LEAF.replace(b'"seq":1', b'"seq":"1"'),
        LEAF.replace(b'"seq":1', b'"seq":1,"seq":1'),
        LEAF.replace(b'"version":1', b'"version":1,"zusatz":1'),
        LEAF.replace(b',"version":1', b""),
        LEAF.replace(b"orders", b"\\u006frders"),
        LEAF.replace(b"orders", b"ord\\/ers"),
        LEAF.replace(b"orders", b"\\ud800"),
        LEAF.replace(b"orders", b"\xff"),
        LEAF.replace(b'"attempts":2', b'"attempts":-0'),
        LEAF.replace(b'"attempts":2', b'"attempts":2.5'),
        LEAF.replace(b'"attempts":2', b'"attempts":' + b"9" * 400),
        LEAF.replace(b'"attempts":2', b'"attempts":' + b"[" * 40 + b"]" * 40),
        LEAF.replace(b'"attempts":2', b'"attempts":' + b"[" * 30000 + b"]" * 30000),
        LEAF.replace(b"orders", b"x" * MAX_ENTRY_SIZE),
    ],
)
def test_any_other_bytes_are_refused(leaf):
    """Bytes that are not the one canonical form of an event are refused."""
    with pytest.raises(EntryError):
        parse_entry(leaf)


def test_times_are_utc_with_microseconds():
    """A moment in any zone is written in UTC with six digits and read back as the same moment."""
    moment = datetime(2026, 11, 24, 5, 9, 13, tzinfo=timezone(timedelta(hours=1)))
    assert format_time(moment) == "2026-11-24T04:09:13.000000Z"
    assert parse_time(format_time(moment)) == moment
    assert parse_time(format_time(moment)).tzinfo == UTC
    assert format_time(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 24, tzinfo=UTC).replace(tzinfo=None),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_a_time_that_is_no_moment_is_refused(moment):
    """A time without zone, or before the first year in UTC, is refused."""
    with pytest.raises(EntryError):
        format_time(moment)


def test_a_commitment_opens_to_its_value_only():
    """A commitment opens with its salt and value, and with no other of either."""
    salt = bytes(range(16))
    commitment = commit(salt, "Zoë Tester")
    check_commitment(commitment, salt, "Zoë Tester")
    for other_salt, other_value in [(bytes(16), "Zoë Tester"), (salt, "Zoe Tester")]:
        with pytest.raises(EntryError):
            check_commitment(commitment, other_salt, other_value)


@pytest.mark.parametrize("salt, value", [(b"", "x"), (bytes(17), "x"), (bytes(16), "\ud800")])
def test_a_commitment_needs_a_whole_salt_and_real_text(salt, value):
    """A salt of another length, or text that is not Unicode, makes no commitment."""
    with pytest.raises(EntryError):
        commit(salt, value)
