"""The authority as a gateway asks it over HTTPS. Implements ``ports.authority.Authority``.

What is asked again after an answer that never came: only what may be done twice (``greet``,
``standing``, ``end_session``, ``grants``, ``take``). A ``decide`` that may have been recorded is
not repeated: the actor is told, and may send the statement anew. What was certainly not done,
because nobody was reached or the server proves that it refused the call unread, is asked again
whatever it is. A server that does not know the line can prove nothing: who ends TLS could pass the
call on, say that, and have one statement decided and counted several times.

What is answered without the line's MAC was answered by somebody else, a proxy for instance, and is
taken for no answer. A session is asked about on lines alone that were opened with the key that its
own line was: who cannot sign so has no say about it, whatever lines they open.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import httpx
import msgspec

from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import (
    AuthenticationError,
    ConflictError,
    RequestError,
    UnavailableError,
)
from callpoint.domain.offline_journal import Told
from callpoint.domain.untrusted_json import read_json
from callpoint.gateways.authority.line import Call, Line, Lines, Sign
from callpoint.gateways.authority.way import (
    CONNECT_WITHIN,
    Answer,
    decoded,
    fetched,
    silent,
    whole,
)
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
_UNKNOWN_LINE = 401
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
        token_keys: Who may open one; empty: see above.
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
        self._lines = Lines(http, servers, gateway, sign, clock, token_keys)
        self._signed_by: dict[str, str] = {}

    async def greet(self, connection: str, source: str) -> Greeting:
        asked = calls.Greet(connection, source)
        _, greeting = await self._ask("greet", asked, Greeting, again=True)
        return greeting

    async def open_session(self, arrival: Arrival) -> Opened:
        line, admitted = await self._ask("open", arrival, calls.Admitted)
        opened = admitted.opened
        try:
            sealed = read_json(line.unsealed(admitted.box), calls.SealedCredential)
        except msgspec.DecodeError:
            # Without the cause: it could quote the credential.
            raise UnavailableError(
                "the authority sealed something else than a credential"
            ) from None
        if sealed.session != opened.session or opened.session in self._signed_by:
            raise UnavailableError("the authority sent the credential of another session")
        self._signed_by[opened.session] = line.signed_by
        return msgspec.structs.replace(opened, credential=sealed.credential)

    async def decide(self, session: str, deed: Deed) -> Verdict:
        _, verdict = await self._ask(
            "decide", calls.Decide(session, deed), Verdict, about=(session,)
        )
        return verdict

    async def draw(self, session: str, number: int, used: Used) -> Portion:
        asked = calls.Draw(session, number, used)
        _, portion = await self._ask("draw", asked, Portion, about=(session,))
        return portion

    async def report(self, session: str, outcome: Outcome) -> Standing:
        asked = calls.Report(session, outcome)
        _, reported = await self._ask("report", asked, calls.Reported, about=(session,))
        return reported.standing

    async def end_session(self, session: str, reason: str) -> None:
        asked = calls.End(session, reason)
        line, _ = await self._ask("end", asked, calls.Ended, again=True)
        if self._is_its(session, line):
            self._signed_by.pop(session, None)

    async def standing(self, sessions: Sequence[str]) -> dict[str, Standing]:
        found: dict[str, Standing] = {}
        # Asked also about none: the answer is what tells a gateway that the authority is there.
        for start in range(0, max(len(sessions), 1), calls.MAX_SESSIONS):
            part = calls.Ask(tuple(sessions[start : start + calls.MAX_SESSIONS]))
            line, told = await self._ask("standing", part, calls.Standings, again=True)
            found |= told.standings
            found |= {one: Standing.OVER for one in part.sessions if not self._is_its(one, line)}
        return found

    async def grants(self, journal: str, sessions: Sequence[str]) -> Granted:
        asked = calls.AskGrants(journal, tuple(sessions))
        line, granted = await self._ask("grants", asked, Granted, again=True)
        # Of its signatures as well: what others sign must not be what grants are read with.
        return granted if all(self._is_its(one, line) for one in sessions) else Granted()

    async def take(self, told: Told) -> Taken:
        # What a liar takes would be forgotten here.
        about = tuple(entry.entry.session for entry in told.entries)
        _, taken = await self._ask("take", told, Taken, again=True, about=about)
        return taken

    async def cuts(self) -> AsyncIterator[Cut | None]:
        line = await self._lines.current()
        call = line.call("cuts")
        within = httpx.Timeout(_HEARD_WITHIN, connect=CONNECT_WITHIN)
        try:
            async with self._http.stream(
                "GET", call.url, headers=call.headers, timeout=within
            ) as answer:
                if not answer.is_success:
                    decoded(_proven(call, await whole(answer)), dict)
                async for order in _orders(call, answer.aiter_bytes()):
                    yield order
        except (AuthenticationError, _UnknownLineError) as error:
            self._lines.lost(line)
            raise UnavailableError(f"the line is lost: {error}") from error
        except httpx.HTTPError as error:
            self._lines.lost(line, is_silent=True)
            raise silent(line.base, error) from error

    async def _ask(
        self,
        name: str,
        asked: object,
        kind: type[_T],
        *,
        again: bool = False,
        about: tuple[str, ...] = (),
    ) -> tuple[Line, _T]:
        """One question, and the line that it was answered on.

        Args:
            name: The call.
            asked: Its body.
            kind: What is answered.
            again: It may be done twice.
            about: Sessions of which it tells something, or that the answer lets do something.
        """
        body = msgspec.json.encode(asked)
        if len(body) > calls.MAX_BODY:
            raise RequestError(f"a question to the authority has at most {calls.MAX_BODY} bytes")
        last = UnavailableError("nobody was asked")
        for _ in range(_TRIES):
            line = await self._lines.current()
            if not all(self._is_its(one, line) for one in about):
                raise ConflictError("the session is over: another authority answers than opened it")
            call = line.call(name, body)
            try:
                answer = await fetched(self._http, call.url, body, call.headers)
                return line, decoded(_proven(call, answer), kind)
            except AuthenticationError as error:  # refused unread, with proof
                self._lines.lost(line)
                last = UnavailableError(f"the line is lost: {error.message}")
            except _UnknownLineError as error:
                self._lines.lost(line)
                last = UnavailableError(
                    f"the line is lost: {error}",
                    way_out="send it again: the next question opens another line",
                )
                if not again:
                    break
            except httpx.HTTPError as error:
                self._lines.lost(line, is_silent=True)
                last = silent(line.base, error)
                if not again and not isinstance(error, _NOT_SENT):
                    break
        raise last

    def _is_its(self, session: str, line: Line) -> bool:
        return self._signed_by.get(session, line.signed_by) == line.signed_by


class _UnknownLineError(Exception):
    """The line is said to be unknown, without proof: who does not know its key has none.

    So another line is opened, and nothing else that is said beside it is believed.
    """


def _proven(call: Call, answer: Answer) -> Answer:
    """The answer, when it is the authority's.

    Raises:
        _UnknownLineError: See there.
        httpx.HTTPError: Somebody else gave it, who is not believed.
    """
    if call.is_answered_by(answer):
        return answer
    if answer.status == _UNKNOWN_LINE:
        raise _UnknownLineError("a server says that it does not know it")
    raise httpx.RemoteProtocolError(
        f"it answered {answer.status} without proof that the authority did, or to another question"
    )


async def _orders(call: Call, pieces: AsyncIterator[bytes]) -> AsyncIterator[Cut | None]:
    """Lines of a stream, as they are whole.

    Raises:
        UnavailableError: One that is no order, is not in its place, is without end or too late.
    """
    rest, place = b"", 0
    while True:
        try:
            # Each line in time: a stream that drips tells nothing, and is no sign of life.
            async with asyncio.timeout(_HEARD_WITHIN):
                text, rest = await _line(pieces, rest)
        except TimeoutError as error:
            raise UnavailableError("the authority gave no whole sign of life in time") from error
        if text is None:
            return
        place += 1
        yield call.order(place, text)


async def _line(pieces: AsyncIterator[bytes], rest: bytes) -> tuple[bytes | None, bytes]:
    """The next line, None at the end, and what came after it."""
    while b"\n" not in rest:
        if len(rest) > calls.MAX_CUT:
            raise UnavailableError("the authority sent an order without end")
        piece = await anext(pieces, None)
        if piece is None:
            return None, b""
        rest += piece
    text, _, rest = rest.partition(b"\n")
    return text, rest
