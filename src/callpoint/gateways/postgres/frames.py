"""Messages on the wire: where one ends, and how long it may be.

A message is a type byte, a length that counts itself but not the type (4 bytes), and a body
(PostgreSQL, "Message Formats"). The first message of a client has no type.
"""

import struct

from callpoint.domain.errors import RequestError

HEADER = 5
STARTUP_LIMIT = 10_000
"""Bytes of a startup message; PostgreSQL's own limit, too."""

_SMALL = 1_024
_HEAD = struct.Struct("!BI")
_FIRST = struct.Struct("!I")


def limits_of(text: int, data: int) -> dict[int, int]:
    """Bytes of each message that a client may send once it has logged in; others are refused."""
    return {
        **dict.fromkeys(b"QP", text),
        **dict.fromkeys(b"Bd", data),
        **dict.fromkeys(b"DCEHSXcfF", _SMALL),
    }


LOGIN = {ord("p"): STARTUP_LIMIT}
"""While a client logs in it only proves itself."""


class Inbox:
    """Bytes as they come, messages as they are whole.

    Attributes:
        limits: Bytes of a message by its type; a type that is not listed is refused.
    """

    __slots__ = ("_bytes", "_start", "limits")

    def __init__(self, limits: dict[int, int]) -> None:
        self.limits = limits
        self._bytes = bytearray()
        self._start = 0

    def __len__(self) -> int:
        return len(self._bytes) - self._start

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        if self._start:
            del self._bytes[: self._start]
            self._start = 0
        self._bytes += data

    def next(self) -> bytes | None:
        """The next whole message, header included; None until there is one.

        Raises:
            RequestError: A message that is unknown, or longer than it may be. Nothing that
                follows can be read.
        """
        start, held = self._start, self._bytes
        if len(held) - start < HEADER:
            if len(held) > start and held[start] not in self.limits:
                raise _unknown(held[start])
            return None
        kind, length = _HEAD.unpack_from(held, start)
        limit = self.limits.get(kind)
        if limit is None:
            raise _unknown(kind)
        if not HEADER - 1 <= length <= limit:
            raise RequestError(
                f"a message of type {chr(kind)!r} says that it has {length} bytes;"
                f" here it has 4 to {limit}",
                way_out="send values in smaller parts, rows by COPY",
            )
        end = start + 1 + length
        if len(held) < end:
            return None
        self._start = end
        return bytes(memoryview(held)[start:end])

    def first(self) -> bytes | None:
        """The body of the message without a type; None until it is whole.

        Raises:
            RequestError: It is no startup message.
        """
        held = self._bytes
        if len(held) - self._start < _FIRST.size:
            return None
        (length,) = _FIRST.unpack_from(held, self._start)
        if not 2 * _FIRST.size <= length <= STARTUP_LIMIT:
            raise RequestError(
                "this is no startup message of PostgreSQL's protocol",
                way_out="connect with a client for PostgreSQL",
            )
        begin, end = self._start + _FIRST.size, self._start + length
        if len(held) < end:
            return None
        self._start = end
        return bytes(memoryview(held)[begin:end])

    def alone(self) -> int:
        """The only byte that there is.

        Raises:
            RequestError: There are more: what came in the clear must not pass for TLS's.
        """
        if len(self) != 1:
            raise RequestError(
                "bytes came in the clear before TLS began: somebody may have put them there",
                way_out="look for somebody between client and server",
            )
        self._start += 1
        return self._bytes[self._start - 1]


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A whole message."""
    return kind + _FIRST.pack(len(body) + _FIRST.size) + body


def _unknown(kind: int) -> RequestError:
    return RequestError(
        f"a message of type {bytes([kind])!r} is not spoken here",
        way_out="use the simple or the extended query protocol",
    )
