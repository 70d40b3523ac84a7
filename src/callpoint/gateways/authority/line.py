"""The gateway's end of a line: opened with its key, then numbered calls with a MAC."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import msgspec
import pyrage

from callpoint.domain.errors import CallpointError, UnavailableError
from callpoint.domain.gateway_line import KEY_SIZE, LIFETIME, credentials
from callpoint.gateways.authority.way import decoded, silent
from callpoint.ports import authority_calls as calls
from callpoint.ports.clock import Clock

Sign = Callable[[str, str, bytes], dict[str, str]]
"""Method, URL and body to the headers that sign them with the gateway's key."""

_RENEWED = LIFETIME / 2
_JSON = {"content-type": "application/json", "accept": "application/json"}


@dataclass(frozen=True)
class Line:
    """One server process's.

    Attributes:
        base: Address of the gateway's routes there.
        until: By the gateway's monotonic clock: then another one is opened.
    """

    base: str
    name: str
    until: float
    key: bytes = field(repr=False)
    identity: pyrage.x25519.Identity = field(repr=False)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1), repr=False)

    def url(self, call: str) -> str:
        """Where it is asked."""
        return f"{self.base}/{call}"

    def headers(self, call: str, body: bytes = b"") -> dict[str, str]:
        """What proves one call; made anew for each time that it is sent."""
        number = next(self.numbers)
        return {**_JSON, "authorization": credentials(self.key, self.name, number, call, body)}

    def unsealed(self, box: bytes) -> bytes:
        """What was sealed to this program.

        Raises:
            UnavailableError: It was not.
        """
        return _unsealed(self.identity, box)


class Lines:
    """The line that is in use, and how the next one is opened.

    Args:
        http: Carries it.
        servers: Addresses of the authority; the next one is tried when one does not answer.
        gateway: The gateway's configured name.
        sign: Signs with its key.
        clock: For the age of a line.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        servers: tuple[str, ...],
        gateway: str,
        sign: Sign,
        clock: Clock,
    ) -> None:
        self._http = http
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
            except CallpointError as error:
                # The gateway is refused, not whoever connects to it: to them nobody can say now.
                last = UnavailableError(
                    f"the authority at {base} opens no line for this gateway: {error.message}",
                    way_out=error.way_out,
                )
            self._next()
        raise last

    async def _open_at(self, base: str) -> Line:
        identity = pyrage.x25519.Identity.generate()
        body = msgspec.json.encode(calls.LineWish(str(identity.to_public())))
        url, until = f"{base}/line", self._clock.monotonic() + _RENEWED.total_seconds()
        try:
            answer = await self._http.post(
                url, content=body, headers={**_JSON, **self._sign("POST", url, body)}
            )
        except httpx.HTTPError as error:
            raise silent(base, error) from error
        opened = decoded(answer, calls.Line)
        key = _unsealed(identity, opened.box)
        if len(key) != KEY_SIZE:
            raise UnavailableError(f"{base} opened a line with no usable key")
        return Line(base, opened.line, until, key, identity)


def _unsealed(identity: pyrage.x25519.Identity, box: bytes) -> bytes:
    try:
        return bytes(pyrage.decrypt(box, [identity]))
    except pyrage.DecryptError:
        raise UnavailableError("what the authority sealed is not for this gateway") from None
