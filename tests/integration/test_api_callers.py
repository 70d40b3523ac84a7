"""Who may call the HTTP API: signed, fresh, once, and exactly what arrived."""

from datetime import timedelta

import pytest

from tests.fakes.face import ADDRESS, Face, kind_of


async def test_a_replayed_request_is_refused(face: Face):
    """The same bytes a second time are not accepted."""
    request = face.request("alice", "GET", "/v1/status")
    assert (await face.client.send(request)).status_code == 200
    replay = await face.client.send(request)
    assert kind_of(replay) == (401, "authentication")
    assert "nonce is spent" in replay.json()["detail"]


@pytest.mark.parametrize(
    "tamper,says",
    [
        ({"content": b'{"scope":"everything" }'}, "SHA-256 of the body"),
        ({"url": f"{ADDRESS}/v1/kill?x=1"}, "does not verify"),
        ({"url": f"{ADDRESS}/v1/kil%6C"}, "does not verify"),
        ({"method": "PUT"}, None),
    ],
)
async def test_a_changed_request_is_refused(face: Face, tamper, says):
    """Body, address and method are what the key signed, byte for byte."""
    request = face.request("alice", "POST", "/v1/kill", {"scope": "everything"})
    parts = {"method": "POST", "url": str(request.url), "content": request.content, **tamper}
    headers = {k: v for k, v in request.headers.items() if k not in ("content-length", "host")}
    answer = await face.client.request(headers=headers, **parts)
    if says is None:
        assert answer.status_code == 405
    else:
        assert kind_of(answer) == (401, "authentication")
        assert says in answer.json()["detail"]
        assert "www-authenticate" in answer.headers


async def test_an_old_request_is_refused(face: Face):
    """What was signed more than a minute ago is not accepted."""
    request = face.request("alice", "GET", "/v1/status")
    face.world.clock.advance(timedelta(seconds=61))
    assert kind_of(await face.client.send(request)) == (401, "authentication")


PUBLIC = {
    "/healthz": 200,
    "/v1/installation": 200,
    "/v1/checkpoint": 200,
    "/.well-known/authzen-configuration": 200,
    "/oauth/jwks": 200,
    "/.well-known/oauth-authorization-server": 200,
    "/.well-known/oauth-protected-resource": 200,
    "/.well-known/ssf-configuration": 200,
    # What follows asks for nothing, or for what is not there.
    "/v1/log/proof": 400,
    "/v1/log/consistency": 400,
    "/.well-known/authzen-configuration/{place}": 404,
    "/access/v1/request-schema": 200,
    "/tlog/callpoint/{log}/checkpoint": 404,
    "/tlog/callpoint/{log}/{generation}/checkpoint": 404,
    "/tlog/callpoint/{log}/tile/{level}/{place}": 404,
    "/tlog/callpoint/{log}/{generation}/tile/{level}/{place}": 404,
    "/.well-known/oauth-authorization-server/{place}": 404,
    "/.well-known/oauth-protected-resource/{place}": 404,
    "/witness/add-checkpoint": 404,
    "/witness/{origin_hash}/checkpoint": 404,
}


async def test_only_the_public_routes_answer_strangers(face: Face):
    """Every route but a listed few asks for a signature before it looks at anything else."""
    asked = 0
    for path, operations in face.app.openapi_schema.to_schema()["paths"].items():
        for method in set(operations) & {"get", "post"}:
            place = path.replace("{activation}", "a" * 12).replace("{incident}", "inc-7")
            place = place.replace("{number}", "1")
            answer = await face.client.request(method, place.replace("{source}", "nobody"))
            assert answer.status_code == PUBLIC.get(path, 401), path
            asked += 1
    assert asked > 20


async def test_a_stranger_and_a_wrong_key_look_the_same(face: Face):
    """Nobody learns from an answer whether a principal exists."""
    face.world.services.random.token(1)
    stranger = face.request("mallory", "GET", "/v1/status")
    wrong = face.request("mallory", "GET", "/v1/status")
    wrong.headers["signature-input"] = wrong.headers["signature-input"].replace("mallory", "alice")
    first, second = await face.client.send(stranger), await face.client.send(wrong)
    assert first.json() == second.json()
