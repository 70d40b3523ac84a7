"""Bodies of messages, read and written (PostgreSQL, "Message Formats").

Whatever a client sends is read here to its last byte before anything of it goes on: a body that
another reader could end elsewhere is refused.
"""

import struct
from dataclasses import dataclass

from callpoint.domain.errors import RequestError
from callpoint.domain.untrusted import bounded
from callpoint.gateways.postgres.frames import HEADER, message

LONGEST_NAME = 62
"""Bytes of a statement's or portal's name. The server cuts longer ones: two would be one."""

_SHORT = struct.Struct("!H")
_LONG = struct.Struct("!i")
_NULL = -1
_SHOWN = 2_000

FLUSH = message(b"H")
SYNC = message(b"S")
TERMINATE = message(b"X")
COPY_FAIL = message(b"f", b"ended by the gateway\0")
NO_SQL = "refused by the gateway"
"""Never parses, in no version, in no transaction: see docs/adr/0021."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client is told instead of an answer.

    Attributes:
        code: SQLSTATE.
        message: One sentence.
        detail: More of them, if there are.
        hint: The way out.
    """

    code: str
    message: str
    detail: str = ""
    hint: str = ""

    def encoded(self, severity: str = "ERROR") -> bytes:
        """As ErrorResponse."""
        fields = [
            ("S", severity), ("V", severity), ("C", self.code), ("M", self.message),
            ("D", self.detail), ("H", self.hint),
        ]  # fmt: skip
        body = b"".join(
            name.encode() + bounded(value, _SHOWN).encode() + b"\0"
            for name, value in fields
            if value
        )
        return message(b"E", body + b"\0")


@dataclass(frozen=True, slots=True)
class Parse:
    """A statement under a name."""

    name: str
    text: str
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """A statement and its values become a portal.

    Attributes:
        values: Format code and bytes of each; None is NULL.
        rest: All that follows the two names.
    """

    portal: str
    statement: str
    values: tuple[tuple[int, bytes | None], ...]
    rest: bytes

    def of_another(self, statement: str) -> bytes:
        """The same message for another statement."""
        names = self.portal.encode() + b"\0" + statement.encode() + b"\0"
        return message(b"B", names + self.rest)


def query_text(frame: bytes) -> str:
    """The text of a Query.

    Raises:
        RequestError: It does not end where the message ends, or is no UTF-8.
    """
    end = frame.find(b"\0", HEADER)
    if end != len(frame) - 1:
        raise _malformed("Query")
    return _text(frame[HEADER:end])


def parse(frame: bytes) -> Parse:
    """A Parse message.

    Raises:
        RequestError: As ``query_text``.
    """
    name, at = _name(frame, HEADER)
    end = frame.find(b"\0", at)
    if end < 0 or len(frame) < end + 1 + _SHORT.size:
        raise _malformed("Parse")
    (count,) = _SHORT.unpack_from(frame, end + 1)
    at_types = end + 1 + _SHORT.size
    if len(frame) != at_types + 4 * count:
        raise _malformed("Parse")
    return Parse(name, _text(frame[at:end]), struct.unpack_from(f"!{count}I", frame, at_types))


def bind(frame: bytes) -> Bind:
    """A Bind message.

    Raises:
        RequestError: As ``query_text``.
    """
    portal, at = _name(frame, HEADER)
    statement, rest_at = _name(frame, at)
    try:
        formats, at = _shorts(frame, rest_at)
        (count,) = _SHORT.unpack_from(frame, at)
        at += _SHORT.size
        values: list[tuple[int, bytes | None]] = []
        for index in range(count):
            (length,) = _LONG.unpack_from(frame, at)
            at += _LONG.size
            code = formats[index] if len(formats) > 1 else (formats[0] if formats else 0)
            if length == _NULL:
                values.append((code, None))
                continue
            if length < 0 or at + length > len(frame):
                raise _malformed("Bind")
            values.append((code, frame[at : at + length]))
            at += length
        _, at = _shorts(frame, at)
    except (struct.error, IndexError) as error:
        raise _malformed("Bind") from error
    if at != len(frame):
        raise _malformed("Bind")
    return Bind(portal, statement, tuple(values), frame[rest_at:])


def named(frame: bytes, what: str) -> tuple[str, str]:
    """Describe and Close: ``S`` (statement) or ``P`` (portal), and its name.

    Raises:
        RequestError: As ``query_text``.
    """
    kind = frame[HEADER : HEADER + 1]
    name, at = _name(frame, HEADER + 1)
    if kind not in (b"S", b"P") or at != len(frame):
        raise _malformed(what)
    return kind.decode(), name


def execute(frame: bytes) -> str:
    """The portal of an Execute message.

    Raises:
        RequestError: As ``query_text``.
    """
    name, at = _name(frame, HEADER)
    if len(frame) != at + _LONG.size:
        raise _malformed("Execute")
    return name


def parse_frame(name: str, text: str) -> bytes:
    """A Parse message without types."""
    return message(b"P", name.encode() + b"\0" + text.encode() + b"\0" + _SHORT.pack(0))


def query_frame(text: str) -> bytes:
    """A Query message."""
    return message(b"Q", text.encode() + b"\0")


def execute_frame(portal: str) -> bytes:
    """An Execute message for all rows."""
    return message(b"E", portal.encode() + b"\0" + _LONG.pack(0))


def bind_frame(statement: str) -> bytes:
    """A Bind message without values, to the unnamed portal."""
    return message(b"B", b"\0" + statement.encode() + b"\0" + _SHORT.pack(0) * 3)


def describe_frame(statement: str) -> bytes:
    """A Describe message of a statement."""
    return message(b"D", b"S" + statement.encode() + b"\0")


def own_query(name: str, text: str) -> bytes:
    """A query of the gateway's own, beside the client's names and without an end of a transaction.

    The answers are 1, 2, D for each row, C, 3, 3.
    """
    called = name.encode() + b"\0"
    return b"".join((
        parse_frame(name, text),
        message(b"B", called + called + _SHORT.pack(0) * 3),
        execute_frame(name),
        message(b"C", b"P" + called),
        message(b"C", b"S" + called),
    ))  # fmt: skip


def row(frame: bytes) -> tuple[str | None, ...]:
    """A DataRow in text format."""
    (count,) = _SHORT.unpack_from(frame, HEADER)
    at = HEADER + _SHORT.size
    found: list[str | None] = []
    for _ in range(count):
        (length,) = _LONG.unpack_from(frame, at)
        at += _LONG.size
        found.append(None if length == _NULL else frame[at : at + length].decode())
        at += max(length, 0)
    return tuple(found)


def error_fields(frame: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse, by their letter."""
    parts = frame[HEADER:].split(b"\0")
    return {part[:1].decode("latin-1"): part[1:].decode(errors="replace") for part in parts if part}


def parameter(frame: bytes) -> tuple[str, str]:
    """Name and value of a ParameterStatus."""
    name, _, rest = frame[HEADER:].partition(b"\0")
    return name.decode(errors="replace"), rest.rstrip(b"\0").decode(errors="replace")


def _shorts(frame: bytes, at: int) -> tuple[tuple[int, ...], int]:
    (count,) = _SHORT.unpack_from(frame, at)
    at += _SHORT.size
    if not count:
        return (), at
    return struct.unpack_from(f"!{count}H", frame, at), at + 2 * count


def _name(frame: bytes, at: int) -> tuple[str, int]:
    end = frame.find(b"\0", at)
    if end == at:
        return "", end + 1
    if end < 0:
        raise _malformed("named")
    if end - at > LONGEST_NAME:
        raise RequestError(
            f"a name has more than {LONGEST_NAME} bytes, and the server would cut it",
            way_out="use shorter names for statements and portals",
        )
    return _text(frame[at:end]), end + 1


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            "a text is no valid UTF-8", way_out="set client_encoding to UTF8 and send UTF-8"
        ) from error


def _malformed(what: str) -> RequestError:
    return RequestError(f"a {what} message does not end where it says")
