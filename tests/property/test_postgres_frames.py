"""Messages of PostgreSQL's protocol: any split of a stream is the same stream, garbage ends it."""

import contextlib
import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callpoint.domain.errors import RequestError
from callpoint.gateways.postgres import messages
from callpoint.gateways.postgres.frames import Inbox, limits_of, message
from callpoint.gateways.postgres.row_counter import RowCounter
from callpoint.gateways.postgres.startup import read_first, startup_body

LIMITS = limits_of(4096, 8192)

frames = st.builds(
    lambda kind, body: message(bytes([kind]), body),
    st.sampled_from(sorted(LIMITS)),
    st.binary(max_size=600),
)
words = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)


def read(chunks: list[bytes]) -> tuple[list[bytes], bool]:
    """All messages, and whether the stream was refused."""
    inbox, found = Inbox(LIMITS), []
    try:
        for chunk in chunks:
            inbox.feed(chunk)
            while (frame := inbox.next()) is not None:
                found.append(frame)
    except RequestError:
        return found, True
    return found, False


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(st.lists(frames, max_size=12), st.lists(st.integers(0, 8000), max_size=20))
def test_any_split_gives_the_same_messages(sent, cuts):
    """Where the network cuts the stream makes no difference."""
    assert read(pieces(b"".join(sent), cuts)) == (sent, False)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=20))
def test_garbage_ends_the_same_however_it_is_split(garbage, cuts):
    """Whatever comes is messages and then, at most, a refusal; never anything else."""
    whole, split = read([garbage]), read(pieces(garbage, cuts))
    assert split == whole
    assert b"".join(whole[0]) == garbage[: sum(map(len, whole[0]))]


@given(st.binary(max_size=200))
def test_bodies_are_read_whole_or_refused(body):
    """No reader of a body raises anything but a refusal, and none leaves a rest unread."""
    for kind, reader in (
        (b"Q", messages.query_text), (b"P", messages.parse), (b"B", messages.bind),
        (b"E", messages.execute), (b"D", lambda frame: messages.named(frame, "Describe")),
    ):  # fmt: skip
        try:
            found = reader(message(kind, body))
        except RequestError:
            continue
        match found:
            case str():
                assert found.encode() + b"\0" == body or kind == b"E"
            case messages.Parse():
                types = struct.pack(f"!H{len(found.types)}I", len(found.types), *found.types)
                assert f"{found.name}\0{found.text}\0".encode() + types == body
            case messages.Bind():
                again = found.of_another(found.statement)
                assert again == message(kind, body)
            case _:
                assert "".join(found).encode() + b"\0" == body


@settings(max_examples=40)
@given(st.dictionaries(words.filter(bool), words, max_size=4))
def test_a_startup_message_is_read_as_it_was_written(parameters):
    """Names and values come back; those of the protocol's own options apart."""
    first = read_first(startup_body(parameters)[4:])
    expected = {name: value for name, value in parameters.items() if not name.startswith("_pq_.")}
    assert getattr(first, "parameters", None) == expected


@given(st.binary(min_size=4, max_size=300))
def test_the_first_message_is_read_or_refused(body):
    """Garbage at the door is a refusal."""
    with contextlib.suppress(RequestError):
        assert read_first(body) is not None


tuples = st.lists(st.lists(st.one_of(st.none(), st.binary(max_size=9)), max_size=4), max_size=9)


@given(tuples, st.lists(st.integers(0, 500), max_size=12), st.binary(max_size=5))
def test_binary_rows_are_counted_exactly(rows, cuts, extension):
    """COPY's binary format: as many tuples as there are, however they come."""
    data = b"PGCOPY\n\xff\r\n\0" + struct.pack("!II", 0, len(extension)) + extension
    for row in rows:
        data += struct.pack("!h", len(row))
        for value in row:
            data += (
                struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
            )
    counter = RowCounter(is_binary=True)
    parts = pieces(data + struct.pack("!h", -1) + b"rest", cuts)
    assert sum(counter.count(message(b"d", part)) for part in parts) == len(rows)


def test_names_that_the_server_would_cut_are_refused():
    """Two names that are one to the server must not be two here."""
    with pytest.raises(RequestError, match="62"):
        messages.parse(messages.parse_frame("n" * 63, "SELECT 1"))
    assert messages.parse(messages.parse_frame("n" * 62, "SELECT 1")).text == "SELECT 1"
