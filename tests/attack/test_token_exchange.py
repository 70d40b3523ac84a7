"""Only who has a live activation gets a token, bound to a key that is theirs."""

import hmac
import json

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.dpop import Expected, check_proof
from callpoint.domain.errors import ConflictError
from callpoint.domain.incident import Incident
from callpoint.domain.kill import Scope
from callpoint.domain.token import LIFE, OAuthError, base64url, certificate_thumbprint
from callpoint.lifecycle.exchange import MOST_ALIVE
from callpoint.lifecycle.kill import kill
from tests.fakes.face import ADDRESS
from tests.fakes.invariants import history
from tests.fakes.token_client import AUDIENCE, TokenClient, part, refused


async def test_another_key_is_not_put_in_its_place(alice: TokenClient):
    """A proof that somebody between puts in is not the one whose thumbprint was signed."""
    mallory = TokenClient(alice.face, "mallory")
    answer = await alice.exchange(await alice.live(), proof=mallory.proof())
    assert refused(answer) == (400, "invalid_dpop_proof")


async def test_a_replayed_proof(alice: TokenClient):
    """The same proof in a second, freshly signed request is refused."""
    found, proof = await alice.live(), alice.proof()
    assert (await alice.exchange(found, proof=proof)).status_code == 200
    assert refused(await alice.exchange(found, proof=proof)) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "claims",
    [
        {"htm": "GET"},
        {"htu": f"{ADDRESS}/v1/kill"},
        {"htu": "https://other.example/oauth/token"},
        {"htu": "http://callpoint.example@evil.example/oauth/token"},
        {"iat": 1},
        {"iat": 4_000_000_000},
        {"iat": "now"},
        {"jti": ""},
        {"jti": "x" * 257},
    ],
    ids=str,
)
async def test_a_proof_for_something_else(alice: TokenClient, claims):
    """Another method, address or time, or no id."""
    answer = await alice.exchange(await alice.live(), proof=alice.proof(claims=claims))
    assert refused(answer) == (400, "invalid_dpop_proof")


async def test_a_proof_for_another_token(alice: TokenClient):
    """A proof that was made with one access token does not carry another one."""
    proof = alice.desk.proofs.read(alice.proof(token="one"))
    now = alice.face.world.clock.now()
    place = Expected("POST", ("HTTP://callpoint.example:80/oauth/%74oken?x=1",), "one")
    check_proof(proof, place, now)
    for token in ("two", ""):
        with pytest.raises(OAuthError, match="access token"):
            check_proof(proof, msgspec.structs.replace(place, token=token), now)


@pytest.mark.parametrize("attack", ["none", "HS256", "private", "typ", "crit", "jku", "kind"])
async def test_a_proof_whose_header_lies(alice: TokenClient, attack: str):
    """No signature, a shared secret, a private key, another type, or what we do not read."""
    good = alice.proof()
    body = good.split(".")[1]
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": alice.public}
    match attack:
        case "none":
            proof = f"{part({**header, 'alg': 'none'})}.{body}."
        case "HS256":
            signed = f"{part({**header, 'alg': 'HS256'})}.{body}"
            mac = hmac.digest(json.dumps(alice.public).encode(), signed.encode(), "sha256")
            proof = f"{signed}.{part(mac)}"
        case "private":
            proof = alice.proof(header={"jwk": alice.key.as_dict(private=True)})
        case "typ":
            proof = alice.proof(header={"typ": "jwt"})
        case "kind":
            proof = ".".join((part({**header, "alg": "Ed25519"}), *good.split(".")[1:]))
        case _:
            extra = {"crit": ["x"], "x": 1} if attack == "crit" else {"jku": "https://evil.example"}
            proof = ".".join((part({**header, **extra}), *good.split(".")[1:]))
    answer = await alice.exchange(await alice.live(), proof=proof)
    assert refused(answer) == (400, "invalid_dpop_proof")


async def test_nothing_is_widened(alice: TokenClient):
    """Another audience, another activation's facts, or an unknown member are refused."""
    found = await alice.live()
    other = AUDIENCE.replace("repair", "read")
    assert refused(await alice.exchange(found, audience=other)) == (400, "invalid_target")
    for wrong in (
        {"incident": "inc-8"},
        {"locations": [other]},
        {"privileges": ["superuser"]},
        {"type": "payment"},
    ):
        details = json.dumps([{"type": "urn:callpoint:break-glass", **wrong}])
        answer = await alice.exchange(found, authorization_details=details)
        assert refused(answer) == (400, "invalid_authorization_details")
    narrow = json.dumps([{"type": "urn:callpoint:break-glass", "actions": ["sql:select"]}])
    answer = await alice.exchange(found, authorization_details=narrow, audience=AUDIENCE)
    assert answer.json()["authorization_details"][0]["actions"] == ["sql:select"]


async def test_another_principal_gets_none(alice: TokenClient):
    """Who did not ask for the activation gets no token of it, and that is on record."""
    bob = TokenClient(alice.face, "bob")
    assert refused(await bob.exchange(await alice.live())) == (400, "invalid_grant")
    events = [i.event for i in history(alice.face.world.store.state)]
    assert any(isinstance(e, ev.RequestRefused) and e.actor == "bob" for e in events)
    unsigned = await alice.face.client.post("/oauth/token", data={"grant_type": "x"})
    assert refused(unsigned) == (401, "invalid_client")


async def test_one_binding_and_a_real_one(alice: TokenClient):
    """No token without a binding, with two, or bound to what is no digest."""
    found, digest = await alice.live(), certificate_thumbprint(b"x")
    for binding in (
        {"dpop_jkt": ""},
        {"x5t#S256": digest},
        {"dpop_jkt": "", "x5t#S256": digest[:-1]},
        {"dpop_jkt": "", "x5t#S256": digest + "="},
    ):
        assert refused(await alice.exchange(found, **binding)) == (400, "invalid_request")


async def test_tokens_without_end(alice: TokenClient):
    """A holder that asks in a loop is stopped: each token costs an entry of the log for ever."""
    found = await alice.live()
    for _ in range(MOST_ALIVE):
        await alice.token(found)
    assert refused(await alice.exchange(found)) == (400, "invalid_grant")
    alice.face.world.clock.advance(LIFE)
    await alice.token(found)


async def test_a_key_with_which_anybody_can_sign(alice: TokenClient):
    """A point of small order as DPoP key verifies signatures that nobody made."""
    for low in (bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"):
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(low)}
        head = part({"typ": "dpop+jwt", "alg": "Ed25519", "jwk": jwk})
        # R is the neutral point and S is 0: valid for such keys, whatever the message.
        signature = part(b"\x01" + bytes(63))
        proof = f"{head}.{alice.proof().split('.')[1]}.{signature}"
        answer = await alice.exchange(await alice.live(), proof=proof)
        assert refused(answer) == (400, "invalid_dpop_proof")
        assert "small order" in answer.json()["error_description"]


async def test_an_activation_that_ends_beside_an_issue(alice: TokenClient):
    """The two cannot both be written: a token that is logged after the end would spoil the log."""
    world, found = alice.face.world, await alice.live()
    row = await world.get(found)
    await alice.token(found)
    assert (await world.get(found)).version > row.version
    with pytest.raises(ConflictError):
        await world.services.store.transact(lambda tx: tx.put(row))


async def test_an_incident_that_somebody_removed(alice: TokenClient):
    """Without its incident in the database an activation gives no token, and one has no effect."""
    world, found = alice.face.world, await alice.live()
    token = await alice.token(found)
    await world.services.store.transact(lambda tx: tx.remove(Incident, "inc-7"))
    assert not await alice.active(token)
    assert refused(await alice.exchange(found)) == (400, "invalid_grant")


async def test_strangers_learn_nothing_of_an_activation(alice: TokenClient):
    """Whether it lives is for its requester; of one that does not exist everybody is told so."""
    world, found = alice.face.world, await alice.live()
    bob = TokenClient(alice.face, "bob")
    before = (await bob.exchange(found)).json()
    await kill(world.services, world.caller("erin"), Scope.ACTIVATION, found)
    assert (await bob.exchange(found)).json() == before
    assert refused(await bob.exchange("a" * 12)) == (400, "invalid_grant")
