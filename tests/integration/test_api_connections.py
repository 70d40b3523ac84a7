"""``POST /v1/activations/{id}/connections``: what an actor is given instead of a credential."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pyrage
import pytest

from callpoint.domain.errors import DeniedError
from callpoint.lifecycle.connection import greet
from tests.fakes.behind import ELSEWHERE, MOCK_KEY, SOURCE, behind, fits, spent
from tests.fakes.clock import SimulatedClock
from tests.fakes.face import ADDRESS, Face, kind_of, open_sqlite
from tests.fakes.token_client import TokenClient
from tests.fakes.world import make_world


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    """The API of an installation whose targets are behind a gateway, with an open incident."""
    clock = SimulatedClock(auto=True)
    store = await open_sqlite(tmp_path, clock)
    world = await make_world(store=store, clock=clock, adapt=behind)
    await world.incident()
    async with Face(world) as made:
        yield made
    await store.close()


def place(activation: str) -> str:
    return f"/v1/activations/{activation}/connections"


async def shown(
    client: TokenClient, activation: str, token: str, proof: str = "", **wish: str
) -> httpx.Response:
    """Ask with a token instead of a signature."""
    path = place(activation)
    sent = proof or client.proof(token=token, claims={"htu": ADDRESS + path})
    return await client.face.client.post(
        path,
        content=msgspec.json.encode({"source": SOURCE, **wish}),
        headers={
            "authorization": f"DPoP {token}",
            "dpop": sent,
            "content-type": "application/json",
        },
    )


async def test_a_signed_request_is_answered_with_all_that_a_client_needs(face: Face):
    """Place, name, password, end; the password fits, once, from the address that was named."""
    made = await face.world.active()
    told = await face.post("alice", place(made.id), {"source": SOURCE})
    assert (told["host"], told["port"], told["sslmode"]) == ("gateway.example", 6432, "verify-full")
    assert (told["protocol"], told["target"], told["role"]) == ("postgresql", "orders-db", "repair")
    ends = datetime.fromisoformat(told["expires_at"])
    assert (ends - face.world.clock.now()).total_seconds() <= 60
    greeting = await greet(face.world.services, told["connection"], MOCK_KEY)
    assert fits(greeting, told["secret"])
    with pytest.raises(DeniedError, match="another address"):
        await spent(face.world, told["connection"], ELSEWHERE)
    await spent(face.world, told["connection"])
    again = await face.post("alice", place(made.id), {"source": SOURCE})
    assert again["connection"] != told["connection"]


async def test_nothing_that_the_api_returns_opens_the_targets_credential(face: Face):
    """No answer to the requester holds it, and the one-time key opens nothing of it."""
    world = face.world
    made = await world.active()
    (held,) = await world.leases(made.id)
    answers = [
        await face.call("alice", "POST", place(made.id), {"source": SOURCE}),
        await face.call("alice", "POST", f"/v1/activations/{made.id}/credentials"),
        await face.call("alice", "GET", f"/v1/activations/{made.id}"),
        await face.call("alice", "GET", f"/v1/activations/{made.id}/bundle"),
        await face.call("alice", "GET", "/v1/status"),
    ]
    assert kind_of(answers[1]) == (403, "denied")
    assert "callpoint connect" in answers[1].json()["way_out"]
    credential = msgspec.json.decode(world.services.vault.open(_raw(held.probe)))
    for answer in answers:
        assert credential["secret"] not in answer.text
        assert held.box not in answer.text
        assert held.probe not in answer.text
    for box in (held.box, held.probe):
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(_raw(box), [world.keys[made.id]])


def _raw(box: str) -> bytes:
    return msgspec.json.decode(json.dumps(box), type=bytes)


async def test_the_view_says_what_is_behind_a_gateway(face: Face):
    """So that a client knows which way to go before anything is taken up."""
    made = await face.world.approved()
    view = await face.get("alice", f"/v1/activations/{made.id}")
    assert view["gateways"] == {"orders-db": "front"}
    await face.post("alice", f"/v1/activations/{made.id}/issue")
    view = await face.get("alice", f"/v1/activations/{made.id}")
    assert [lease["gateway"] for lease in view["leases"]] == ["front"]


async def test_an_address_that_no_gateway_will_see_is_refused(face: Face):
    """Behind a proxy the server sees the proxy: then the address must be named."""
    made = await face.world.active()
    answer = await face.call("alice", "POST", place(made.id), {})
    assert kind_of(answer) == (400, "request")
    assert "--source ADDRESS" in answer.json()["way_out"]
    answer = await face.call("alice", "POST", place(made.id), {"source": "gateway.example"})
    assert kind_of(answer) == (400, "request")


@pytest.mark.parametrize("who", ["bob", "carol", "fixer"])
async def test_only_the_requester_is_answered(face: Face, who: str):
    """Whoever else signs is refused."""
    made = await face.world.active()
    answer = await face.call(who, "POST", place(made.id), {"source": SOURCE})
    assert kind_of(answer) == (403, "denied")


async def test_unsigned_and_after_the_end(face: Face):
    """Without a signature nothing, and after a kill nothing with one."""
    made = await face.world.active()
    answer = await face.client.post(place(made.id), json={"source": SOURCE})
    assert kind_of(answer) == (401, "authentication")
    await face.post("erin", "/v1/kill", {"scope": "activation", "about": made.id})
    answer = await face.call("alice", "POST", place(made.id), {"source": SOURCE})
    assert kind_of(answer) == (409, "conflict")


async def test_a_token_and_its_proof_stand_for_the_signature(face: Face):
    """The audience names the opening; the proof is used once, and by who holds the key alone."""
    alice = TokenClient(face)
    activation = await alice.live()
    token = await alice.token(activation)
    claims = {"htu": ADDRESS + place(activation)}
    proof = alice.proof(token=token, claims=claims)
    told = await shown(alice, activation, token, proof)
    assert told.status_code == 201, told.text
    assert told.json()["role"] == "repair"
    replayed = await shown(alice, activation, token, proof)
    assert (replayed.status_code, replayed.json()["error"]) == (401, "invalid_dpop_proof")
    elsewhere = alice.proof(token=token, claims={"htu": ADDRESS + "/v1/token"})
    assert (await shown(alice, activation, token, elsewhere)).status_code == 401
    mallory = TokenClient(face)
    stolen = mallory.proof(token=token, claims=claims)
    assert (await shown(alice, activation, token, stolen)).status_code == 401
    plain = await face.client.post(
        place(activation), json={"source": SOURCE}, headers={"authorization": f"Bearer {token}"}
    )
    assert plain.status_code == 401
    assert "dpop_jkt" in plain.json()["error_description"]


async def test_a_token_opens_what_it_names_and_nothing_else(face: Face):
    """Another activation, another opening, or less than a session: denied."""
    alice = TokenClient(face)
    activation = await alice.live()
    token = await alice.token(activation)
    other = (await face.world.active()).id
    assert kind_of(await shown(alice, other, token)) == (403, "denied")
    answer = await shown(alice, activation, token, opening="orders-db:read")
    assert kind_of(answer) == (403, "denied")
    details: list[dict[str, Any]] = [{"type": "urn:callpoint:break-glass", "actions": ["x:y"]}]
    narrowed = await alice.token(activation, authorization_details=json.dumps(details))
    answer = await shown(alice, activation, narrowed)
    assert kind_of(answer) == (403, "denied")
    assert "without actions" in answer.json()["way_out"]
    await face.post("erin", "/v1/kill", {"scope": "activation", "about": activation})
    dead = await shown(alice, activation, token)
    assert (dead.status_code, dead.json()["error"]) == (401, "invalid_token")
