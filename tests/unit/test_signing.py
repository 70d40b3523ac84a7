"""The client's half: what is signed is what is sent."""

import httpx
import pytest

from callpoint.cli.signing import SignatureAuth, sign_request
from callpoint.domain.errors import RequestError
from callpoint.ports.identity import SignedRequest
from tests.fakes.clock import START, SeededRandom
from tests.fakes.signing import KEY, NONCE, ORIGIN, Door


@pytest.mark.parametrize("changed", [{"method": "post"}, {"principal": "änä"}])
def test_what_the_profile_cannot_say_is_not_signed(changed):
    """A lower-case method or a name outside ASCII is refused when signing, with our error."""
    with pytest.raises(RequestError, match="cannot be signed"):
        sign_request(
            **{"method": "POST", "principal": "ana-laptop"} | changed,
            url=f"{ORIGIN}/v1",
            body=b"",
            key=KEY,
            now=START,
            nonce=NONCE,
        )


async def test_an_httpx_client_signs_what_it_sends():
    """Requests of a client with SignatureAuth verify as they arrive, each with a new nonce."""
    door = Door()
    arrived = []

    async def server(request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        seen = SignedRequest(request.method, str(request.url), dict(request.headers), content)
        arrived.append(await door.authenticator.authenticate(seen))
        return httpx.Response(204)

    auth = SignatureAuth("ana-laptop", KEY, clock=door.clock, random=SeededRandom())
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(server), auth=auth, base_url="https://CALLPOINT.example:443"
    ) as client:
        await client.post("/v1/incidents/INC 7?note=ü", json={"a": "ö"})
        await client.get("")
        await client.get("/v1/status", params={"q": "a b&c"})
    assert len(arrived) == 3
    assert len(set(door.nonces.spent)) == 3
