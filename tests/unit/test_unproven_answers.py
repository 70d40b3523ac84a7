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
