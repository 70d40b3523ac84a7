"""The documents that clients find the token routes by, and what a client of the standards does."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from callpoint.api.app import make_app
from callpoint.api.surface import Surface
from callpoint.api.token_documents import RESOURCE, SERVER, place_of
from tests.fakes.face import ADDRESS, Face
from tests.fakes.token_client import AUDIENCE, TokenClient, refused


def served(surface: Surface) -> httpx.AsyncClient:
    """A client of the API over another surface."""
    app: Any = make_app(surface)  # Litestar and httpx write ASGI's types differently
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ADDRESS)


async def test_a_token_verifies_with_the_published_keys(face: Face):
    """A library that knows nothing of us finds the keys by the metadata and reads the token."""
    await face.world.incident()
    alice = TokenClient(face)
    token = await alice.token(await alice.live())
    server = (await face.client.get(SERVER)).json()
    keys = KeySet.import_key_set((await face.client.get(server["jwks_uri"])).json())
    read = jwt.decode(token, keys, algorithms=["Ed25519"])
    jwt.JWTClaimsRegistry(
        now=int(face.world.clock.now().timestamp()),
        iss={"essential": True, "value": server["issuer"]},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    ).validate(read.claims)
    assert read.header["typ"] == "at+jwt"


async def test_the_documents_name_only_what_is_there(face: Face):
    """Every address in them answers, and what a proof may be signed with is what is taken."""
    server = (await face.client.get(SERVER)).json()
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        answer = await face.client.post(server[name], data={})
        assert refused(answer) == (401, "invalid_client")
    assert server["dpop_signing_alg_values_supported"] == ["ES256", "Ed25519"]
    resource = (await face.client.get(RESOURCE)).json()
    assert resource["resource"] == ADDRESS
    assert resource["authorization_servers"] == [server["issuer"]]
    assert resource["tls_client_certificate_bound_access_tokens"] is False


@pytest.mark.parametrize("document", [SERVER, RESOURCE])
async def test_an_issuer_with_a_path(face: Face, document: str):
    """Its metadata is behind the well-known address of its host (RFC 8414, 3.1; RFC 9728, 3.1)."""
    issuer = "https://gate.example/callpoint"
    desk = face.surface.tokens
    assert desk is not None
    surface = replace(face.surface, tokens=replace(desk, origins=(issuer, ADDRESS)))
    async with served(surface) as client:
        found = await client.get(place_of(document, issuer))
        assert issuer in (found.json().get("issuer"), found.json().get("resource"))
        assert (await client.get(f"{document}/other")).status_code == 404


async def test_a_server_without_a_token_key(face: Face):
    """It issues nothing and says so, and everything else goes on."""
    async with served(replace(face.surface, tokens=None)) as client:
        assert (await client.get("/oauth/jwks")).status_code == 404
        assert (await client.get("/v1/token?audience=x")).status_code == 404
        assert (await client.get("/healthz")).status_code == 200
        killing = face.request("erin", "POST", "/v1/kill", {"scope": "everything"})
        assert (await client.send(killing)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"token=a&token=b",
        b"token=%ff",
        b"tok=a",
        b"token",
        b"&".join(b"a%d=1" % n for n in range(40)),
        b"\xff",
    ],
    ids=str,
)
async def test_a_form_that_is_none(face: Face, body: bytes):
    """Each is refused in OAuth's words, before anything is looked at."""
    request = face.request("alice", "POST", "/oauth/introspect", body=body)
    assert refused(await face.client.send(request)) == (400, "invalid_request")
    again = face.request("alice", "POST", "/oauth/introspect", body=body)
    again.headers["content-type"] = "application/x-www-form-urlencoded"
    assert refused(await face.client.send(again)) == (400, "invalid_request")
