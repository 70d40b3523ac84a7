"""The first message of a client: a session, a question for TLS, or a request to cancel."""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from callpoint.domain.errors import RequestError
from callpoint.gateways.postgres.frames import message

NEWEST_MINOR = 2
OLD_KEY, NEW_KEY = 4, 32
"""Bytes of a cancel key, in protocol 3.0 and from 3.2 on."""

_MAJOR = 3
_CANCEL, _TLS, _GSS = 80877102, 80877103, 80877104
_CODE = struct.Struct("!I")
_PID = struct.Struct("!i")
_MOST_PARAMETERS = 64


class Wish(Enum):
    """For an encrypted connection."""

    TLS = "tls"
    GSS = "gss"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Whoever knows both wants the session's statement to end."""

    pid: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Startup:
    """Somebody wants a session.

    Attributes:
        minor: Of protocol 3.
        parameters: By name; ``_pq_`` options apart.
        options: Names of the protocol's options that the client asks for.
    """

    minor: int
    parameters: dict[str, str]
    options: tuple[str, ...]

    @property
    def spoken_minor(self) -> int:
        """What is spoken: no newer than we know, and there is no 3.1."""
        return NEWEST_MINOR if self.minor >= NEWEST_MINOR else 0

    @property
    def key_size(self) -> int:
        """Of the cancel key that this client can keep."""
        return NEW_KEY if self.spoken_minor else OLD_KEY

    def negotiation(self) -> bytes:
        """NegotiateProtocolVersion; empty when all that was asked for is there."""
        if self.minor <= NEWEST_MINOR and not self.options:
            return b""
        names = b"".join(name.encode() + b"\0" for name in self.options)
        version = _CODE.pack((_MAJOR << 16) + self.spoken_minor)
        return message(b"v", version + _CODE.pack(len(self.options)) + names)


First: TypeAlias = Startup | Cancel | Wish


def read_first(body: bytes) -> First:
    """What a client begins with.

    Args:
        body: Without its length.

    Raises:
        RequestError: It is none of the four.
    """
    (code,) = _CODE.unpack_from(body)
    if code == _CANCEL and _CODE.size * 3 <= len(body) <= _CODE.size * 2 + 256:
        (pid,) = _PID.unpack_from(body, _CODE.size)
        return Cancel(pid, body[_CODE.size * 2 :])
    if code in (_TLS, _GSS) and len(body) == _CODE.size:
        return Wish.TLS if code == _TLS else Wish.GSS
    if code >> 16 != _MAJOR:
        raise RequestError(
            "this is no startup message of protocol 3",
            way_out="connect with a client for PostgreSQL",
        )
    return _startup(code & 0xFFFF, body[_CODE.size :])


def _startup(minor: int, body: bytes) -> Startup:
    if not body.endswith(b"\0\0") and body != b"\0":
        raise RequestError("a startup message does not end where it says")
    try:
        words = [word.decode() for word in body[:-2].split(b"\0")] if len(body) > 1 else []
    except UnicodeDecodeError as error:
        raise RequestError("a startup message is no valid UTF-8") from error
    names, values = words[::2], words[1::2]
    if len(names) != len(values) or len(names) > _MOST_PARAMETERS or len(set(names)) != len(names):
        raise RequestError("a startup message does not pair names and values, each name once")
    if not all(names):
        raise RequestError("a startup message names a parameter with nothing")
    pairs = dict(zip(names, values, strict=True))
    return Startup(
        minor=minor,
        parameters={name: value for name, value in pairs.items() if not name.startswith("_pq_.")},
        options=tuple(name for name in pairs if name.startswith("_pq_.")),
    )


def startup_body(parameters: dict[str, str]) -> bytes:
    """Our own startup message, whole, in protocol 3.0."""
    words = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items())
    body = _CODE.pack(_MAJOR << 16) + words + b"\0"
    return _CODE.pack(len(body) + _CODE.size) + body


def tls_request() -> bytes:
    """SSLRequest."""
    return _CODE.pack(8) + _CODE.pack(_TLS)


def cancel_request(pid: int, key: bytes) -> bytes:
    """CancelRequest."""
    return _CODE.pack(3 * _CODE.size + len(key)) + _CODE.pack(_CANCEL) + _PID.pack(pid) + key


def key_data(pid: int, key: bytes) -> bytes:
    """BackendKeyData."""
    return message(b"K", _PID.pack(pid) + key)


def read_key_data(body: bytes) -> tuple[int, bytes]:
    """Process and key of a BackendKeyData's body."""
    (pid,) = _PID.unpack_from(body)
    return pid, body[_PID.size :]
