"""The gateway's end of a line: opened with its key, then numbered calls; all carries a MAC."""

import asyncio
import base64
import hmac
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import msgspec
import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callpoint.domain.errors import CallpointError, UnavailableError
from callpoint.domain.gateway_line import (
    KEY_SIZE,
    LIFETIME,
    answer_mac,
    credentials,
    opening,
    order_mac,
)
from callpoint.domain.untrusted import printable
from callpoint.domain.untrusted_json import read_json
from callpoint.gateways.authority.way import Answer, decoded, fetched, silent
from callpoint.ports import authority_calls as calls
from callpoint.ports.authority import Cut
from callpoint.ports.clock import Clock

Sign = Callable[[str, str, bytes], dict[str, str]]
"""Method, URL and body to the headers that sign them with the gateway's key."""

_RENEWED = LIFETIME / 2
_SAID = 500
_JSON = {
    "content-type": "application/json",
    "accept": "application/json",
    "accept-encoding": "identity",
}


@dataclass(frozen=True)
class Line:
    """One server process's.

    Attributes:
        base: Address of the gateway's routes there.
        until: By the gateway's monotonic clock: then another one is opened.
        signed_by: The installation's key that its opening was signed with.
    """

    base: str
    name: str
    until: float
    signed_by: str
    key: bytes = field(repr=False)
    identity: pyrage.x25519.Identity = field(repr=False)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1), repr=False)

    def call(self, name: str, body: bytes = b"") -> "Call":
        """The next one; made anew for each time that it is sent."""
        return Call(self, name, next(self.numbers), body)

    def unsealed(self, box: bytes) -> bytes:
        """What was sealed to this program.

        Raises:
            UnavailableError: It was not.
        """
        return _unsealed(self.identity, box)


@dataclass(frozen=True)
class Call:
    """One call on a line.

    Attributes:
        name: What is asked: the last segment of the path.
    """

    line: Line
    name: str
    number: int
    body: bytes = field(repr=False)

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"{self.line.base}/{self.name}"

    @property
    def headers(self) -> dict[str, str]:
        """What proves it."""
        line = self.line
        proof = credentials(line.key, line.name, self.number, self.name, self.body)
        return {**_JSON, "authorization": proof}

    def is_answered_by(self, answer: Answer) -> bool:
        """Whether who has the line's key answers this very call so."""
        line = self.line
        mac = answer_mac(line.key, line.name, self.number, self.name, answer.status, answer.body)
        return hmac.compare_digest(f"mac={mac}".encode(), answer.proof.encode())

    def order(self, place: int, text: bytes) -> Cut | None:
        """What a line of the stream that answers it orders.

        Args:
            place: Of the line in the stream, from 1 on.
            text: The line.

        Raises:
            UnavailableError: It is no order, or not the one that was given in this place.
        """
        line = self.line
        try:
            said = read_json(text, calls.Ordered)
            order: Cut | None = read_json(said.order, Cut | None)
        except msgspec.DecodeError as error:
            raise UnavailableError("the authority sent something else than orders") from error
        mac = order_mac(line.key, line.name, self.number, place, bytes(said.order))
        if not hmac.compare_digest(mac.encode(), said.mac.encode()):
            raise UnavailableError(
                f"an order of {line.base} is not as it was given: changed, left out or told again",
                way_out="somebody on the way to the server does that: look at the proxies there",
            )
        return order


class Lines:
    """The line that is in use, and how the next one is opened.

    Args:
        http: Carries it.
        servers: Addresses of the authority; the next one is tried when one does not answer.
        gateway: The gateway's configured name.
        sign: Signs with its key.
        clock: For the age of a line.
        token_keys: Raw Ed25519 public keys, base64: of the installation; empty: any opens one.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        servers: tuple[str, ...],
        gateway: str,
        sign: Sign,
        clock: Clock,
        token_keys: tuple[str, ...] = (),
    ) -> None:
        self._http = http
        self._token_keys = token_keys
        self._gateway = gateway
        self._bases = [f"{server.rstrip('/')}{calls.PREFIX}/{gateway}" for server in servers]
        self._sign = sign
        self._clock = clock
        self._line: Line | None = None
        self._opening = asyncio.Lock()

    async def current(self) -> Line:
        """The line to ask on; it is opened when there is none, or the old one is too old.

        Raises:
            UnavailableError: No server opens one, or none answers.
        """
        async with self._opening:
            if self._line is None or self._clock.monotonic() >= self._line.until:
                self._line = await self._open()
            return self._line

    def lost(self, line: Line, *, is_silent: bool = False) -> None:
        """Do not ask on it again; when nobody answers there, begin with the next server."""
        if self._line is line:
            self._line = None
        if is_silent and self._bases[0] == line.base:
            self._next()

    def _next(self) -> None:
        self._bases.append(self._bases.pop(0))

    async def _open(self) -> Line:
        last = UnavailableError("no server of the authority is named")
        for _ in self._bases:
            base = self._bases[0]
            try:
                return await self._open_at(base)
            except UnavailableError as error:
                last = error
            self._next()
        raise last

    async def _open_at(self, base: str) -> Line:
        identity = pyrage.x25519.Identity.generate()
        seal_to = str(identity.to_public())
        body = msgspec.json.encode(calls.LineWish(seal_to))
        url, until = f"{base}/line", self._clock.monotonic() + _RENEWED.total_seconds()
        try:
            answer = await fetched(
                self._http, url, body, {**_JSON, **self._sign("POST", url, body)}
            )
        except httpx.HTTPError as error:
            raise silent(base, error) from error
        try:
            opened = decoded(answer, calls.Line)
        except CallpointError as error:
            raise _refused(base, error) from error
        said = opening(self._gateway, opened.line, seal_to, opened.box)
        if not _is_signed(opened.signed_by, said, opened.signature):
            raise UnavailableError(f"{base} opened a line that it did not sign")
        if self._token_keys and opened.signed_by not in self._token_keys:
            raise UnavailableError(
                f"{base} opened a line with a key that `token_keys` does not name",
                way_out="was the token key rotated? Else somebody stands between: look there",
            )
        key = _unsealed(identity, opened.box)
        if len(key) != KEY_SIZE:
            raise UnavailableError(f"{base} opened a line with no usable key")
        return Line(base, opened.line, until, opened.signed_by, key, identity)


def _refused(base: str, error: CallpointError) -> UnavailableError:
    """No line is opened: what is said has no proof yet, so it is told as what somebody says.

    The gateway is refused, not whoever connects to it: to them nobody can say now. Nobody is told
    to do what only a stranger may have advised.
    """
    return UnavailableError(
        f"{base} opens no line for this gateway, and says without proof:"
        f" {printable(str(error), _SAID)!r}",
        way_out="compare the gateway's name, key and clock with the configuration in force; the"
        " server's log says more",
    )


def _unsealed(identity: pyrage.x25519.Identity, box: bytes) -> bytes:
    try:
        return bytes(pyrage.decrypt(box, [identity]))
    except pyrage.DecryptError:
        raise UnavailableError("what the authority sealed is not for this gateway") from None


def _is_signed(key: str, message: bytes, signature: str) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        public.verify(base64.b64decode(signature, validate=True), message)
    except (ValueError, InvalidSignature):
        return False
    return True
