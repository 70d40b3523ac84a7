"""How a gateway's calls are proven its own: a signature opens a line, a MAC is on each call.

A gateway asks before every statement. A signed request (``request_signature``) spends a nonce in
the store, durably, so that it counts once in the whole installation: that is a second write before
each statement. A line costs it once. Its key was drawn by one server process and is known there and
to the gateway alone, so that process can tell by itself which calls of the line it has seen: they
are numbered, as the packets of IPsec (RFC 4303, section 3.4.3). Another process, or the same one
after a restart, does not know the line: its calls are refused there, not accepted twice.

``docs/authentication.md`` is the specification.
"""

import base64
import hashlib
import hmac
import re
from datetime import timedelta

from callpoint.domain.errors import AuthenticationError

SCHEME = "Callpoint-Line"
KEY_SIZE = 32
LINE_LENGTH = 20
"""Characters of ``[a-z0-9]`` in a line's name."""

LIFETIME = timedelta(hours=1)
"""A line is worth nothing after that; the gateway opens another one in time."""

WINDOW = 4096
"""A call may come so many numbers late; beyond that nobody knows whether it was seen."""

_CONTEXT = b"callpoint/gateway-line/v1"
_CREDENTIALS = re.compile(
    rf"{SCHEME} (?P<line>[a-z0-9]{{{LINE_LENGTH}}})\.(?P<number>[1-9][0-9]{{0,15}})"
    r"\.(?P<mac>[A-Za-z0-9_-]{43})"
)


def mac(key: bytes, line: str, number: int, call: str, body: bytes) -> bytes:
    """HMAC-SHA-256 of one call.

    Args:
        key: ``KEY_SIZE`` bytes.
        line: The line's name.
        number: Never used before on this line.
        call: What is asked: the last segment of the path. A proxy may change what is before it.
        body: The exact bytes.
    """
    said = b"\n".join(
        (
            _CONTEXT,
            line.encode(),
            str(number).encode(),
            call.encode(),
            hashlib.sha256(body).digest(),
        )
    )
    return hmac.digest(key, said, "sha256")


def credentials(key: bytes, line: str, number: int, call: str, body: bytes) -> str:
    """The ``Authorization`` field of a call (RFC 9110, 11.4)."""
    text = base64.urlsafe_b64encode(mac(key, line, number, call, body)).rstrip(b"=").decode()
    return f"{SCHEME} {line}.{number}.{text}"


def parse_credentials(field: str) -> tuple[str, int, bytes]:
    """Line, number and MAC of an ``Authorization`` field.

    Raises:
        AuthenticationError: It is none of ours.
    """
    match = _CREDENTIALS.fullmatch(field)
    if match is None:
        raise AuthenticationError(
            "this is no call on a gateway's line",
            way_out=f"send Authorization: {SCHEME} LINE.NUMBER.MAC; a gateway's program does",
        )
    return match["line"], int(match["number"]), base64.urlsafe_b64decode(match["mac"] + "=")


class Seen:
    """Which numbers came already."""

    def __init__(self) -> None:
        self._highest = 0
        self._bits = 0  # bit n: number `highest - n` was seen

    def spend(self, number: int) -> bool:
        """True the first time; False ever after, and for what is too old to be known."""
        ahead = number - self._highest
        if ahead > 0:
            kept = self._bits << ahead if ahead < WINDOW else 0
            self._bits = (kept | 1) & ((1 << WINDOW) - 1)
            self._highest = number
            return True
        # First the window: of a number far behind, the bit alone would not fit into memory.
        if -ahead >= WINDOW or self._bits & (bit := 1 << -ahead):
            return False
        self._bits |= bit
        return True
