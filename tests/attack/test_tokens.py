"""A token that was stolen, forged, replayed or outlived is worth nothing."""

import dataclasses
import json
from datetime import timedelta
from functools import partial

import msgspec
import pytest

from callpoint.adapters.tokens.jose import JoseTokens
from callpoint.api.token_holder import SELF
from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.kill import Scope
from callpoint.domain.token import (
    Act,
    Confirmation,
    OAuthError,
    TokenClaims,
    certificate_thumbprint,
)
from callpoint.lifecycle import incidents
from callpoint.lifecycle.give_back import give_back
from callpoint.lifecycle.introspect import standing_of
from callpoint.lifecycle.kill import kill
from callpoint.lifecycle.verify_token import Shown, verify_token
from tests.fakes.face import ADDRESS
from tests.fakes.invariants import history
from tests.fakes.keys import Signer
from tests.fakes.signed_order import tombstone
from tests.fakes.token_client import AUDIENCE, TokenClient, part, refused


async def test_what_a_token_says_and_what_the_log_says(alice: TokenClient):
    """Bound to key, lease, audience and five minutes; the log names it without holding it."""
    found = await alice.live()
    answer = await alice.exchange(found)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert (told["token_type"], told["expires_in"]) == ("DPoP", 300)
    token = told["access_token"]
    shown = (await alice.form("/oauth/introspect", {"token": token})).json()
    assert shown["active"] is True
    assert (shown["sub"], shown["aud"], shown["txn"]) == ("alice", AUDIENCE, found)
    assert shown["cnf"] == {"jkt": alice.key.thumbprint()}
    assert "act" not in shown
    store = alice.face.world.store.state
    (event,) = [i.event for i in history(store) if isinstance(i.event, ev.TokenIssued)]
    assert event.token == alice.desk.tokens.read(token).digest
    assert (event.binding, event.thumbprint) == ("jkt", alice.key.thumbprint())
    assert not any(shown["jti"].encode() in leaf or token.encode() in leaf for leaf in store.leaves)


async def test_a_token_that_has_expired(alice: TokenClient):
    """After five minutes it is over, although the activation goes on."""
    token = await alice.token(await alice.live())
    alice.face.world.clock.advance(timedelta(seconds=299))
    assert await alice.active(token)
    assert (await alice.use(token)).status_code == 200
    alice.face.world.clock.advance(timedelta(seconds=2))
    assert not await alice.active(token)
    assert refused(await alice.use(token)) == (401, "invalid_token")


async def test_a_token_does_not_outlive_its_activation(alice: TokenClient):
    """Asked for a minute before the activation ends, it ends with it."""
    world = alice.face.world
    found = await world.active()
    assert found.not_after is not None
    world.clock.advance(found.not_after - world.clock.now() - timedelta(seconds=60, microseconds=5))
    answer = await alice.exchange(found.id)
    assert answer.json()["expires_in"] <= 61  # both times are whole seconds, rounded down
    claims = alice.desk.tokens.read(answer.json()["access_token"])
    assert claims.expires_at <= found.not_after


@pytest.mark.parametrize("end", ["kill", "return", "incident", "revoke"])
async def test_a_token_after_kill_return_incident_close_or_revocation(alice: TokenClient, end: str):
    """Inactive at once, at introspection and at use; a new one only if it was just given up."""
    world, found = alice.face.world, await alice.live()
    token = await alice.token(found)
    assert await alice.active(token)
    match end:
        case "kill":
            await kill(world.services, world.caller("erin"), Scope.ACTIVATION, found)
        case "return":
            await give_back(world.services, world.caller("alice"), found)
        case "incident":
            await incidents.resolve(world.services, world.caller("frank"), "inc-7")
        case _:
            for _ in range(2):
                assert (await alice.form("/oauth/revoke", {"token": token})).status_code == 200
    assert not await alice.active(token)
    assert refused(await alice.use(token)) == (401, "invalid_token")
    again = await alice.exchange(found)
    assert again.status_code == (200 if end == "revoke" else 400)


async def test_a_token_shown_with_another_key(alice: TokenClient):
    """Who stole the token has not its key: no proof, and a proof of their own, open nothing."""
    token = await alice.token(await alice.live())
    mallory = TokenClient(alice.face, "mallory")
    assert refused(await mallory.use(token)) == (401, "invalid_dpop_proof")
    assert refused(await mallory.use(token, proof="")) == (401, "invalid_dpop_proof")
    assert refused(await mallory.use(token, proof="", scheme="Bearer")) == (401, "invalid_token")
    told = await alice.use(token)
    assert told.json()["holder"] == "alice"
    assert told.json()["claims"]["aud"] == AUDIENCE


async def test_a_token_for_another_audience(alice: TokenClient):
    """An enforcement point takes only tokens that name it."""
    token = await alice.token(await alice.live())
    other = await alice.use(token, audience=AUDIENCE.replace("repair", "read"))
    assert refused(other) == (401, "invalid_token")
    assert refused(await alice.use(token, audience="")) == (400, "invalid_request")


async def test_a_proof_replayed_at_use(alice: TokenClient):
    """A proof counts once, and only for its method, address and token."""
    found = await alice.live()
    token, second = await alice.token(found), await alice.token(found)
    proof = alice.use_proof(token)
    assert (await alice.use(token, proof=proof)).status_code == 200
    replayed = await alice.use(token, proof=proof)
    assert refused(replayed) == (401, "invalid_dpop_proof")
    challenge = replayed.headers["www-authenticate"]
    assert challenge.startswith('DPoP error="invalid_dpop_proof", algs="ES256 ')
    assert f'resource_metadata="{ADDRESS}/.well-known/oauth-protected-resource"' in challenge
    for wrong in (
        alice.use_proof(second),
        alice.use_proof(token, htm="POST"),
        alice.use_proof(token, htu=f"{ADDRESS}/oauth/token"),
        alice.use_proof(token, ath=""),
    ):
        assert refused(await alice.use(token, proof=wrong)) == (401, "invalid_dpop_proof")


async def test_a_proof_from_before_what_is_spent_is_known(alice: TokenClient):
    """After a restored backup nobody knows which proofs were spent, so older ones do not count."""
    token = await alice.token(await alice.live())
    now = alice.face.world.clock.now()
    desk = dataclasses.replace(alice.desk, since=now + timedelta(seconds=1))
    shown = Shown(token, "GET", (ADDRESS + SELF,), proof=alice.use_proof(token))
    with pytest.raises(OAuthError, match="which ones are spent"):
        await verify_token(desk, shown, AUDIENCE)


async def test_a_token_bound_to_a_certificate(alice: TokenClient):
    """It opens nothing without that very certificate, nor where TLS ends elsewhere."""
    ours, others = b"certificate of alice", b"certificate of mallory"
    named = {"dpop_jkt": "", "x5t#S256": certificate_thumbprint(ours)}
    answer = await alice.exchange(await alice.live(), proof="", **named)
    assert answer.json()["token_type"] == "Bearer"
    token = answer.json()["access_token"]
    shown = Shown(token, "", (), certificate=ours)
    verified = await verify_token(alice.desk, shown, AUDIENCE)
    assert verified.claims.cnf == Confirmation(certificate=named["x5t#S256"])
    assert verified.caller.principal.id == "alice"
    told = (await alice.form("/oauth/introspect", {"token": token})).json()
    assert (told["token_type"], told["cnf"]) == ("Bearer", {"x5t#S256": named["x5t#S256"]})
    for wrong, why in ((others, "another certificate"), (b"", "only where TLS ends")):
        stolen = msgspec.structs.replace(shown, certificate=wrong, proof=alice.use_proof(token))
        with pytest.raises(OAuthError, match=why):
            await verify_token(alice.desk, stolen, AUDIENCE)
    for scheme in ("DPoP", "Bearer"):
        told = await alice.use(token, scheme=scheme)
        assert refused(told) == (401, "invalid_token")
        assert "dpop_jkt" in told.json()["error_description"]


async def test_a_token_that_the_log_does_not_know(alice: TokenClient):
    """Whoever stole the token key makes no token with it, nor changes what one says."""
    details = json.dumps([{"type": "urn:callpoint:break-glass", "actions": ["sql:select"]}])
    token = await alice.token(await alice.live(), authorization_details=details)
    tokens = JoseTokens(Signer("token-key"))
    claims = tokens.read(token)
    (one,) = claims.authorization_details
    wide = msgspec.structs.replace(one, actions=())
    for change in (
        {"jti": "other"},
        {"exp": claims.exp + 600},
        {"cnf": Confirmation(jkt=TokenClient(alice.face, "mallory").key.thumbprint())},
        {"aud": "x"},
        {"sub": "gina"},
        {"act": Act(sub="alice")},
        {"authorization_details": (wide,)},
    ):
        forged = tokens.sign(msgspec.structs.replace(claims, **change))
        assert not await alice.active(forged)
    foreign = JoseTokens(Signer("mallory")).sign(claims)
    assert not await alice.active(foreign)
    head, body, signature = token.split(".")
    none = part({"typ": "at+jwt", "alg": "none"})
    for forged in (f"{none}.{body}.", f"{head}.{part(b'{}')}.{signature}", "x", token[:-4]):
        assert not await alice.active(forged)
        assert refused(await alice.use(forged)) == (401, "invalid_token")
    assert await alice.active(token)


async def test_a_row_that_was_changed_by_hand(alice: TokenClient):
    """An activation that was made longer in the database is told, and its token opens nothing."""
    world, found = alice.face.world, await alice.live()
    token = await alice.token(found)

    def prolong(tx):
        row = tx.get(Activation, found)
        tx.put(msgspec.structs.replace(row, not_after=row.not_after + timedelta(hours=1)))

    await world.services.store.transact(prolong, urgent=True)
    assert (await alice.use(token)).status_code == 500
    answer = await alice.form("/oauth/introspect", {"token": token})
    assert refused(answer) == (500, "server_error")
    events = [i.event for i in history(world.store.state)]
    assert any(isinstance(e, ev.RequestRefused) and e.action == "token:verify" for e in events)


async def test_a_kill_while_the_store_is_down(alice: TokenClient):
    """As long as that order is not merged no token counts: it may be the one that was killed."""
    world = alice.face.world
    token = await alice.token(await alice.live())
    world.services.node.tombstones.hold(tombstone(world, "erin", "everything"))
    assert (await alice.use(token)).status_code == 503
    answer = await alice.form("/oauth/introspect", {"token": token})
    assert refused(answer) == (503, "temporarily_unavailable")


async def test_the_key_of_the_holder_is_replaced(alice: TokenClient):
    """Who has another key by the configuration in force holds no token of before."""
    token = await alice.token(await alice.live())
    desk, rules = alice.desk, await alice.face.world.services.rules.current()
    claims = desk.tokens.read(token)
    people = rules.configuration.principals
    other = msgspec.structs.replace(people["alice"], key=Signer("new").public)
    for principals in (
        {**people, "alice": other},
        {k: v for k, v in people.items() if k != "alice"},
    ):
        changed = msgspec.structs.replace(rules.configuration, principals=principals)
        for configuration, is_held in ((rules.configuration, True), (changed, False)):
            ask = partial(standing_of, desk=desk, configuration=configuration, claims=claims)
            assert (await desk.services.store.read(ask) is not None) == is_held


async def test_who_may_ask_about_a_token(alice: TokenClient):
    """Its holder, and whom policy lets view the activation; others learn nothing, nor revoke it."""
    token = await alice.token(await alice.live())
    assert await TokenClient(alice.face, "erin").active(token)
    assert not await TokenClient(alice.face, "deployer").active(token)
    bob = TokenClient(alice.face, "bob")
    answer = await bob.form("/oauth/revoke", {"token": token})
    assert refused(answer) == (400, "unauthorized_client")
    assert await alice.active(token)


async def test_a_former_key_stays_readable():
    """After a rotation its tokens are read until they expire; keys before it are forgotten."""
    old, new = Signer("old"), Signer("new")
    claims = TokenClaims(
        iss=ADDRESS,
        sub="alice",
        aud=AUDIENCE,
        client_id="alice",
        iat=1,
        exp=2,
        jti="j",
        txn="t",
        cnf=Confirmation("k"),
        authorization_details=(),
    )
    token = JoseTokens(old).sign(claims)
    after = JoseTokens(new, (old.public,))
    assert after.read(token) == claims
    (first, second) = msgspec.convert(after.key_set()["keys"], list[dict[str, str]])
    assert first["x"] != second["x"]
    with pytest.raises(OAuthError):
        JoseTokens(Signer("third"), (new.public,)).read(token)
