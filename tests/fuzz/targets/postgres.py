"""Streams of PostgreSQL's protocol, whole and broken, through everything that reads them.

What must hold, whatever is sent:

* it is messages, and then at most one refusal; how the stream is split makes no difference;
* a body is read to its last byte or refused, and what is read writes the same body again.

A case is one byte that says where the stream is split, and the stream of a client.
"""

import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from callpoint.domain.errors import RequestError
from callpoint.gateways.postgres import messages
from callpoint.gateways.postgres.frames import HEADER, Inbox, limits_of, message
from callpoint.gateways.postgres.startup import read_first
from tests.fuzz.target import Check, FoundError

_LIMITS = limits_of(4096, 8192)
_WORDS = (
    b"Q", b"P", b"B", b"D", b"E", b"C", b"S", b"H", b"X", b"d", b"c", b"f", b"F", b"\0", b"\0\0",
    b"\0\0\0\4", b"\xff\xff\xff\xff", b"\0\1", b"SELECT 1", b"S\0", b"P\0", b"\xc3\xa4", b"\x80",
    b"\0\3\0\0", b"user\0", b"\4\xd2\x16/",
)  # fmt: skip


def _judge(case: bytes) -> str:
    cut, stream = (case[0] if case else 0), case[1:]
    found, refused = _read([stream])
    split = cut % (len(stream) + 1)
    _must(_read([stream[:split], stream[split:]]) == (found, refused), "another reading")
    _must(stream.startswith(b"".join(found)), "other bytes")
    bodies = sorted({_body(frame) for frame in found})
    return f"{_first(stream)} {bodies} {refused}"


def _read(parts: list[bytes]) -> tuple[list[bytes], bool]:
    inbox, found = Inbox(_LIMITS), []
    try:
        for part in parts:
            inbox.feed(part)
            while (frame := inbox.next()) is not None:
                found.append(frame)
    except RequestError:
        return found, True
    return found, False


def _first(stream: bytes) -> str:
    if len(stream) < 4:  # an inbox waits for that many
        return "short"
    try:
        return type(read_first(stream)).__name__
    except RequestError:
        return "refused"


def _body(frame: bytes) -> str:
    kind = frame[:1].decode()
    try:
        match kind:
            case "Q":
                _must(messages.query_frame(messages.query_text(frame)) == frame, "another Query")
            case "P":
                read = messages.parse(frame)
                types = struct.pack(f"!H{len(read.types)}I", len(read.types), *read.types)
                body = f"{read.name}\0{read.text}\0".encode() + types
                _must(message(b"P", body) == frame, "another Parse")
            case "B":
                bound = messages.bind(frame)
                _must(bound.of_another(bound.statement) == frame, "another Bind")
            case "E":
                _must(messages.execute(frame).encode() in frame, "another Execute")
            case "D" | "C":
                words = "".join(messages.named(frame, kind)).encode()
                _must(frame[HEADER:] == words + b"\0", "another name")
            case _:
                return kind
    except RequestError:
        return kind + " refused"
    return kind + " read"


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise FoundError(what)


@dataclass
class PostgresTarget:
    """Implements ``tests.fuzz.target.Target``."""

    session: int = 100_000

    @property
    def words(self) -> tuple[bytes, ...]:
        return _WORDS

    def make(self, chance: random.Random) -> bytes:
        made = [
            chance.choice((
                messages.query_frame("SELECT 1"), messages.parse_frame("s", "SELECT $1"),
                messages.bind_frame("s"), messages.execute_frame(""), messages.SYNC,
                messages.describe_frame("s"), messages.own_query("x", "SELECT 2"),
                message(b"d", b"1\ta\n"), message(b"c"), message(b"f", b"no\0"),
                message(b"B", b"p\0s\0\0\1\0\1\0\2\0\0\0\2ab\xff\xff\xff\xff\0\0"),
                message(bytes([chance.randrange(256)]), chance.randbytes(chance.randrange(40))),
            ))
            for _ in range(chance.randrange(1, 8))
        ]  # fmt: skip
        return bytes([chance.randrange(256)]) + b"".join(made)

    @contextmanager
    def open(self) -> Iterator[Check]:
        yield _judge


TARGET = PostgresTarget()
