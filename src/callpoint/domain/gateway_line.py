"""How a gateway and a server prove what they say: signatures open a line, MACs are on the rest.

A gateway asks before every statement. A signed request (``request_signature``) spends a nonce in
the store, durably, so that it counts once in the whole installation: that is a second write before
each statement. A line costs it once. Its key was drawn by one server process and is known there and
to the gateway alone, so that process can tell by itself which calls of the line it has seen: they
are numbered, as the packets of IPsec (RFC 4303, section 3.4.3). Another process, or the same one
after a restart, does not know the line: its calls are refused there, not accepted twice.

Answers, and orders to end sessions, carry a MAC under the same key: whoever ends TLS on the way can
hold them back, and neither change, repeat nor swap one. The key leaves sealed to the gateway, which
anybody can do; so the server signs the opening with the installation's token key, and a session is
believed about on lines alone that were signed with the key that its own was.

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
_ANSWER = _CONTEXT + b"/answer"
_ORDER = _CONTEXT + b"/order"
_OPENING = _CONTEXT + b"/opening"
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


def answer_mac(key: bytes, line: str, number: int, call: str, status: int, body: bytes) -> str:
    """Of the answer to a call, base64url: the ``mac`` of its ``Authentication-Info`` (RFC 9110).

    Args:
        key: As in ``mac``.
        line: As in ``mac``.
        number: Of the call that is answered.
        call: As in ``mac``.
        status: The answer's.
        body: Its exact bytes.
    """
    said = (line.encode(), str(number).encode(), call.encode(), str(status).encode())
    return _text(key, _ANSWER, *said, hashlib.sha256(body).digest())


def order_mac(key: bytes, line: str, number: int, place: int, order: bytes) -> str:
    """Of one line of the stream of orders, base64url.

    Args:
        key: As in ``mac``.
        line: As in ``mac``.
        number: Of the call that is answered by the stream.
        place: Counted from 1 within the stream, so that none can be left out or told again.
        order: Its exact bytes.
    """
    said = (line.encode(), str(number).encode(), str(place).encode())
    return _text(key, _ORDER, *said, hashlib.sha256(order).digest())


def opening(gateway: str, line: str, seal_to: str, box: bytes) -> bytes:
    """What a server signs when it opens a line. No JWS begins like it.

    Args:
        gateway: Whose line it is.
        line: Its name.
        seal_to: The gateway's recipient, drawn for this opening: an older one does not fit.
        box: The line's key, sealed to it.
    """
    said = (_OPENING, gateway.encode(), line.encode(), seal_to.encode())
    return b"\n".join((*said, hashlib.sha256(box).hexdigest().encode()))


def _text(key: bytes, *said: bytes) -> str:
    found = hmac.digest(key, b"\n".join(said), "sha256")
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode()


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
