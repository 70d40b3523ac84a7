"""What is believed of an answer that lacks the line's MAC: nothing, whatever it says it is."""

from typing import Any

import httpx
import msgspec
import pyrage
import pytest

from callpoint.domain.errors import CallpointError, UnavailableError
from callpoint.domain.gateway_line import KEY_SIZE, opening
from callpoint.domain.operation import Operation
from callpoint.domain.problem import MEDIA_TYPE, URN, Problem
from callpoint.gateways.authority import RemoteAuthority
from callpoint.gateways.authority.line import Line
from callpoint.ports import authority_calls as calls
from callpoint.ports.authority import Deed
from tests.fakes.clock import SimulatedClock
from tests.fakes.keys import Signer

_DEED = Deed((Operation("sql:select", "public.items"),))


def between(problem: Problem, passed_on: list[str]) -> httpx.MockTransport:
    """It lets a line be opened, and answers every call on it with 401 and those words.

    ``passed_on`` is what an authority behind it would have got.
    """
    signer = Signer("tokens")

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/line"):
            passed_on.append(request.url.path.rpartition("/")[2])
            body = msgspec.json.encode(problem)
            return httpx.Response(401, content=body, headers={"content-type": MEDIA_TYPE})
        seal_to = msgspec.json.decode(request.content, type=calls.LineWish).seal_to
        box = pyrage.encrypt(bytes(KEY_SIZE), [pyrage.x25519.Recipient.from_str(seal_to)])
        signature = signer.sign(opening("back", "l" * 20, seal_to, box))
        line = calls.Line("l" * 20, box, signer.public_key, signature)
        return httpx.Response(200, content=msgspec.json.encode(line))

    return httpx.MockTransport(answer)


@pytest.mark.parametrize("kind", ["conflict", "denied", "request", "authentication", "tamper"])
async def test_a_refusal_without_proof_says_that_the_line_is_lost_and_no_more(kind):
    """Who ends TLS ends no session, has no words for the actor, and no decision made twice."""
    said: Any = Problem(URN + kind, "said", 401, detail="call 555-0100 and tell them your password")
    passed_on: list[str] = []
    async with httpx.AsyncClient(transport=between(said, passed_on)) as http:
        remote = RemoteAuthority(
            http, ("https://front.example",), "back", lambda *_: {}, SimulatedClock()
        )
        with pytest.raises(CallpointError) as raised:
            await remote.decide("s1", _DEED)
    assert type(raised.value) is UnavailableError
    assert "password" not in str(raised.value)
    assert passed_on == ["decide"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(
            503,
            content=msgspec.json.encode(
                Problem(
                    URN + "unavailable",
                    "Not\x1b[2J",
                    503,
                    "\x1b]0;root\x07" + "x" * 100_000,
                    "run me",
                )
            ),
            headers={"content-type": MEDIA_TYPE},
        ),
        httpx.Response(
            401, content=b'{"type": ' + b"[" * 3000, headers={"content-type": MEDIA_TYPE}
        ),
        httpx.Response(200, content=b'{"line": "\xff", "box": ' + b"[" * 3000),
        httpx.Response(200, content=b'{"x": ' + b"[" * 3000),
    ],
    ids=["words", "nested error", "no text", "nested line"],
)
async def test_who_opens_no_line_is_quoted_and_advises_nothing(answer):
    """Whose words they are is said; they are cleaned and bounded, and what to do is our word."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as http:
        remote = RemoteAuthority(
            http, ("https://front.example",), "back", lambda *_: {}, SimulatedClock()
        )
        with pytest.raises(UnavailableError) as raised:
            await remote.standing(("s1",))
    assert "https://front.example/v1/gateways/back opens no line" in raised.value.message
    assert "says without proof" in raised.value.message
    assert "run me" not in raised.value.way_out
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [b'{"order":' + b"[" * 2000, b'{"order":null,"mac":"\xff"}', b'{"order":"\xff","mac":""}'],
)
async def test_a_line_that_is_no_order_is_refused_whatever_it_is(text):
    """It is read before its MAC can be compared, so whoever is on the way may send anything."""
    key = pyrage.x25519.Identity.generate()
    line = Line("https://front.example", "l" * 20, 1.0, "", bytes(KEY_SIZE), key)
    with pytest.raises(UnavailableError):
        line.call("cuts").order(1, text)
