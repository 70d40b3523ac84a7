"""The authority as a gateway asks it over HTTPS. Implements ``ports.authority.Authority``.

What is asked again after an answer that never came: only what may be done twice (``greet``,
``standing``, ``end_session``, ``grants``, ``take``). A ``decide`` that may have been recorded is
not repeated: the actor is told, and may send the statement anew. What was certainly not done,
because nobody was reached or the call was refused unread, is asked again whatever it is.
"""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import httpx
import msgspec

from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import AuthenticationError, UnavailableError
from callpoint.domain.offline_journal import Told
from callpoint.gateways.authority.line import Line, Lines, Sign
from callpoint.gateways.authority.way import CONNECT_WITHIN, decoded, silent
from callpoint.ports import authority_calls as calls
from callpoint.ports.authority import (
    POLL,
    Arrival,
    Cut,
    Deed,
    Granted,
    Greeting,
    Opened,
    Outcome,
    Standing,
    Taken,
    Verdict,
)
from callpoint.ports.clock import Clock

_HEARD_WITHIN = POLL.total_seconds() * 1.5
_TRIES = 3
_T = TypeVar("_T")
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class RemoteAuthority:
    """Asks the servers that the gateway was told of, on behalf of one configured gateway.

    Args:
        http: Carries it; ``way.carrier`` makes it.
        servers: Addresses, the best first.
        gateway: The gateway's configured name.
        sign: Signs with the gateway's key.
        clock: For the age of lines.
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
        self._lines = Lines(http, servers, gateway, sign, clock)

    async def greet(self, connection: str, source: str) -> Greeting:
        asked = calls.Greet(connection, source)
        _, greeting = await self._ask("greet", asked, Greeting, again=True)
        return greeting

    async def open_session(self, arrival: Arrival) -> Opened:
        line, admitted = await self._ask("open", arrival, calls.Admitted)
        opened = admitted.opened
        try:
            sealed = msgspec.json.decode(line.unsealed(admitted.box), type=calls.SealedCredential)
        except msgspec.DecodeError:
            # Without the cause: it could quote the credential.
            raise UnavailableError(
                "the authority sealed something else than a credential"
            ) from None
        if sealed.session != opened.session:
            raise UnavailableError("the authority sent the credential of another session")
        return msgspec.structs.replace(opened, credential=sealed.credential)

    async def decide(self, session: str, deed: Deed) -> Verdict:
        _, verdict = await self._ask("decide", calls.Decide(session, deed), Verdict)
        return verdict

    async def draw(self, session: str, number: int, used: Used) -> Portion:
        _, portion = await self._ask("draw", calls.Draw(session, number, used), Portion)
        return portion

    async def report(self, session: str, outcome: Outcome) -> Standing:
        _, reported = await self._ask("report", calls.Report(session, outcome), calls.Reported)
        return reported.standing

    async def end_session(self, session: str, reason: str) -> None:
        await self._ask("end", calls.End(session, reason), calls.Ended, again=True)

    async def standing(self, sessions: Sequence[str]) -> dict[str, Standing]:
        found: dict[str, Standing] = {}
        # Asked also about none: the answer is what tells a gateway that the authority is there.
        for start in range(0, max(len(sessions), 1), calls.MAX_SESSIONS):
            part = calls.Ask(tuple(sessions[start : start + calls.MAX_SESSIONS]))
            _, told = await self._ask("standing", part, calls.Standings, again=True)
            found |= told.standings
        return found

    async def grants(self, journal: str, sessions: Sequence[str]) -> Granted:
        asked = calls.AskGrants(journal, tuple(sessions))
        _, granted = await self._ask("grants", asked, Granted, again=True)
        return granted

    async def take(self, told: Told) -> Taken:
        _, taken = await self._ask("take", told, Taken, again=True)
        return taken

    async def cuts(self) -> AsyncIterator[Cut | None]:
        line = await self._lines.current()
        within = httpx.Timeout(_HEARD_WITHIN, connect=CONNECT_WITHIN)
        try:
            async with self._http.stream(
                "GET", line.url("cuts"), headers=line.headers("cuts"), timeout=within
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                    decoded(answer, dict)
                async for order in _orders(answer.aiter_bytes()):
                    yield order
        except AuthenticationError as error:
            self._lines.lost(line)
            raise UnavailableError(f"the line is lost: {error.message}") from error
        except httpx.HTTPError as error:
            self._lines.lost(line, is_silent=True)
            raise silent(line.base, error) from error

    async def _ask(
        self, call: str, asked: object, kind: type[_T], *, again: bool = False
    ) -> tuple[Line, _T]:
        body = msgspec.json.encode(asked)
        last = UnavailableError("nobody was asked")
        for _ in range(_TRIES):
            line = await self._lines.current()
            try:
                answer = await self._http.post(
                    line.url(call), content=body, headers=line.headers(call, body)
                )
                return line, decoded(answer, kind)
            except AuthenticationError as error:  # refused unread: the server knows no such line
                self._lines.lost(line)
                last = UnavailableError(f"the line is lost: {error.message}")
            except httpx.HTTPError as error:
                self._lines.lost(line, is_silent=True)
                last = silent(line.base, error)
                if not again and not isinstance(error, _NOT_SENT):
                    break
        raise last


async def _orders(pieces: AsyncIterator[bytes]) -> AsyncIterator[Cut | None]:
    """Lines of a stream, as they are whole.

    Raises:
        UnavailableError: One that is no order, or without end.
    """
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for text in whole:
            try:
                yield msgspec.json.decode(text, type=Cut | None)
            except msgspec.DecodeError as error:
                raise UnavailableError("the authority sent something else than orders") from error
        if len(rest) > calls.MAX_CUT:
            raise UnavailableError("the authority sent an order without end")
