"""What an authority says to a gateway, whole and broken, through everything that reads it.

What must hold, whatever is sent:

* of a stream of orders those are obeyed that were given, in their places, and what comes after
  them is refused; how the stream is split makes no difference;
* an answer is what was asked for, or an error that the gateway knows how to tell; a grant in it
  holds, or is refused;
* a line is opened or not, and whatever is wrong is told in words that are bounded.

A case is one byte for what is read, one for a choice within that, and what is sent. An opening
without a signature is signed, whatever else it says.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import msgspec
import pyrage

from callpoint.adapters.tokens.jose import JoseGrantReader
from callpoint.domain.errors import CallpointError, UnavailableError
from callpoint.domain.gateway_line import KEY_SIZE, opening, order_mac
from callpoint.domain.offline import GrantError
from callpoint.domain.problem import KINDS, MAX_LISTED, MAX_WORDS, MEDIA_TYPE, URN, Problem
from callpoint.gateways.authority.line import Line, Lines
from callpoint.gateways.authority.remote import _orders
from callpoint.gateways.authority.way import Answer, decoded
from callpoint.ports import authority_calls as calls
from callpoint.ports.authority import Cut, Granted, Greeting, Reach, Standing, Taken, Verdict
from tests.fakes.clock import SimulatedClock
from tests.fakes.keys import Signer
from tests.fuzz.target import Check, FoundError

_KEY, _NAME, _BASE = bytes(KEY_SIZE), "l" * 20, "https://authority.example"
_SIGNER = Signer("tokens")
_GIVEN = (
    Cut(Reach.SESSION, "s1", "killed"), None, Cut(Reach.EVERYTHING), Cut(Reach.TARGET, "orders-db"),
    None, Cut(Reach.PRINCIPAL, "deployer", "é"), Cut(Reach.INCIDENT, "inc-1"), None,
)  # fmt: skip
_ANSWERS: tuple[msgspec.Struct, ...] = (
    Greeting(b"salt", 4096, b"s" * 32, b"k" * 32),
    Verdict(allowed=True, number=7, reasons=("no",)),
    calls.Standings({"s1": Standing.OPEN, "s2": Standing.OVER}),
    Granted((_SIGNER.public_key,), {"s1": "e30.e30.e30"}),
    Taken(3),
    calls.Reported(Standing.PAUSED),
)
_STATUSES = (400, 401, 403, 404, 409, 500, 502, 503, 504, 302)
_WORDS = (
    b'{"order":', b'"mac":', b"null", b"\n", b"{}", b"[", b"[" * 1500, b'"\xff"', b'"\\ud800"',
    b'"reach":"session"', b'"begun_by":"0001-01-01T00:00:00Z"', b'"allowed":1', b"-1",
    b"18446744073709551616", b'"errors":[', b'"detail":', b'"signature":""', b"\x1b[2J",
)  # fmt: skip
_MOST_TOLD = 4 * MAX_WORDS * MAX_LISTED
"""Characters of an error with as many wrong lines as are told."""


def _line() -> Line:
    return Line(_BASE, _NAME, 1.0, "", _KEY, pyrage.x25519.Identity.generate())


async def _obeyed(parts: list[bytes]) -> tuple[list[Cut | None], bool]:
    """What is obeyed of a stream, and whether it then was refused."""

    async def pieces() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    found: list[Cut | None] = []
    try:
        async for order in _orders(_line().call("cuts"), pieces()):
            found.append(order)  # noqa: PERF401 -- those before an error count
    except UnavailableError:
        return found, True
    return found, False


async def _stream(choice: int, sent: bytes) -> str:
    found, is_refused = await _obeyed([sent])
    split = choice * len(sent) // 256
    _must(await _obeyed([sent[:split], sent[split:]]) == (found, is_refused), "another reading")
    _must(tuple(found) == _GIVEN[: len(found)], "an order that was not given")
    _must(is_refused or sent.count(b"\n") == len(found), "a line that was passed over")
    return f"{len(found)} orders {is_refused}"


async def _answer(choice: int, sent: bytes) -> str:
    kind = type(_ANSWERS[choice % len(_ANSWERS)])
    try:
        found = decoded(Answer("authority.example", 200, "application/json", "", sent), kind)
    except UnavailableError as error:
        _told(error)
        return f"{kind.__name__} refused"
    _must(type(found) is kind, "something else than was asked for")
    if isinstance(found, Granted):
        for token in found.grants.values():
            try:
                JoseGrantReader(found.keys).read(token)
            except GrantError as error:
                return f"grant {str(error)[:20]}"
    return f"{kind.__name__} read"


async def _refusal(choice: int, sent: bytes) -> str:
    status = _STATUSES[choice % len(_STATUSES)]
    try:
        decoded(Answer("authority.example", status, MEDIA_TYPE, "", sent), dict)
    except CallpointError as error:
        _told(error)
        return type(error).__name__
    raise FoundError("a refusal was no error")


async def _opening(_: int, sent: bytes) -> str:
    def answer(request: httpx.Request) -> httpx.Response:
        wish = msgspec.json.decode(request.content, type=calls.LineWish)
        return httpx.Response(200, content=_signed(sent, wish.seal_to))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        lines = Lines(http, (_BASE,), "back", lambda *_: {}, SimulatedClock())
        try:
            line = await lines.current()
        except UnavailableError as error:
            _told(error)
            return f"no line {error.message.removeprefix(_BASE)[22:50]}"
    _must(len(line.key) == KEY_SIZE, "a key that is none")
    return "line"


def _signed(sent: bytes, seal_to: str) -> bytes:
    """As it is, or signed; a box that says ``key`` is sealed."""
    try:
        said = msgspec.json.decode(sent, type=calls.Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return sent
    if said.signature:
        return sent
    box = said.box
    if box.startswith(b"key"):
        box = bytes(pyrage.encrypt(box[3:], [pyrage.x25519.Recipient.from_str(seal_to)]))
    signature = _SIGNER.sign(opening("back", said.line, seal_to, box))
    whole = msgspec.structs.replace(
        said, box=box, signed_by=_SIGNER.public_key, signature=signature
    )
    return msgspec.json.encode(whole)


def _told(error: CallpointError) -> None:
    words = str(error)
    _must(words.replace("\n", "").isprintable(), "words that a terminal obeys")
    _must(len(words) <= _MOST_TOLD, "words without end")


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise FoundError(what)


_READERS = (_stream, _answer, _refusal, _opening)


def _order(place: int) -> bytes:
    text = msgspec.json.encode(_GIVEN[place - 1])
    mac = order_mac(_KEY, _NAME, 1, place, text)
    return msgspec.json.encode(calls.Ordered(msgspec.Raw(text), mac)) + b"\n"


@dataclass
class GatewayLineTarget:
    """Implements ``tests.fuzz.target.Target``."""

    session: int = 10_000
    given: tuple[bytes, ...] = field(
        default_factory=lambda: tuple(_order(place + 1) for place in range(len(_GIVEN)))
    )

    @property
    def words(self) -> tuple[bytes, ...]:
        return (*_WORDS, *self.given)

    def make(self, chance: random.Random) -> bytes:
        reader, choice = chance.randrange(len(_READERS)), chance.randrange(256)
        match reader:
            case 0:
                sent = b"".join(self.given[: chance.randrange(len(self.given) + 1)])
            case 1:
                sent = msgspec.json.encode(_ANSWERS[choice % len(_ANSWERS)])
            case 2:
                kind = chance.choice(KINDS)
                one = Problem(URN + kind.name, kind.title, kind.status, "said", "do", key="k")
                sent = msgspec.json.encode(
                    msgspec.structs.replace(one, errors=(one,) * chance.randrange(3))
                )
            case _:
                box = b"key" + bytes(chance.choice((KEY_SIZE, KEY_SIZE, 0, 31)))
                sent = msgspec.json.encode(calls.Line(_NAME, box, "", ""))
        return bytes([reader, choice]) + sent

    @contextmanager
    def open(self) -> Iterator[Check]:
        with asyncio.Runner() as runner:

            def check(case: bytes) -> str:
                head, sent = case[:2].ljust(2, b"\0"), case[2:]
                read = _READERS[head[0] % len(_READERS)]
                return f"{read.__name__} {runner.run(read(head[1], sent))}"

            yield check


TARGET = GatewayLineTarget()
