"""Security event tokens against the published examples of CAEP 1.0, and RFC 8417's own rules."""

import json
from typing import Any

import msgspec
from joserfc import jws
from joserfc.jwk import OKPKey

from callpoint.adapters.signals.tokens import JwsEventTokens, key_id
from callpoint.domain.security_event import CAEP, SecurityEvent
from callpoint.lifecycle import give_back
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.push_signals import tend_stream
from callpoint.lifecycle.sweep import sweep
from callpoint.ports.authority import Arrival
from tests.conformance.vectors import vectors_or_skip
from tests.fakes.behind import GATEWAY, SOURCE, behind, connect
from tests.fakes.keys import Signer
from tests.fakes.signals import TOKEN_KEY, Receiver, claims, kinds, make_desk, make_told, pushed

OURS = tuple(
    f"{CAEP}{name}" for name in ("session-established", "session-revoked", "credential-change")
)


def examples() -> dict[str, dict[str, Any]]:
    """Every published example of a token, by its file."""
    folder = vectors_or_skip("caep")
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["json"]
        for path in sorted(folder.glob("openid-caep-1_0-*.json"))
    }
    return {name: example for name, example in found.items() if "events" in example}


def of_ours() -> list[dict[str, Any]]:
    """Those of event types that we tell."""
    return [example for example in examples().values() if set(example["events"]) <= set(OURS)]


def shape(value: object) -> object:
    """Member names and JSON types, whatever the values are."""
    match value:
        case dict():
            return {name: shape(item) for name, item in value.items()}
        case list():
            return [shape(item) for item in value[:1]]
        case _:
            return type(value).__name__


def test_the_examples_are_read_and_written_again():
    """Each published example of our event types is a value of ours, and comes back as it was."""
    for example in of_ours():
        assert msgspec.to_builtins(msgspec.convert(example, SecurityEvent)) == example
    assert {uri for example in of_ours() for uri in example["events"]} == set(OURS)


async def whole_life() -> list[dict[str, Any]]:
    """What a receiver is told of one activation, and of a session through a gateway in it."""
    world = await make_told(pushed(users={"alice": "alice@example.com"}), adapt=behind)
    receiver = Receiver()
    desk = make_desk(world, receiver)
    await world.incident()
    made = await world.active()
    offer = await connect(world, made.id)
    authority = GatewayAuthority(world.services, GATEWAY)
    await authority.open_session(Arrival(offer.connection.id, SOURCE, GATEWAY))
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    await sweep(world.services)
    await tend_stream(desk, (await desk.streams())["siem"])
    return receiver.told()


async def test_ours_have_the_members_of_the_examples():
    """No member that the examples' events, subjects and envelopes lack, and of the same types."""
    told = await whole_life()
    assert kinds(told) == [
        "session-established",
        "credential-change:create",
        "session-established",
        "session-revoked",
        "session-revoked",
        "credential-change:revoke",
    ]
    payloads: dict[str, dict[str, object]] = {}
    subjects: dict[str, object] = {"tenant": None, "application": None}
    for example in examples().values():
        for uri, event in example["events"].items():
            payloads.setdefault(uri, {}).update(event)
        subject = example["sub_id"]
        subjects.update({k: v for k, v in subject.items() if subject["format"] == "complex"})
        subjects[subject["format"]] = subject
    common = payloads[f"{CAEP}session-revoked"]
    # Section 3.6 gives it `ext_id`, as 3.7 does, whose example has one.
    payloads[f"{CAEP}session-established"] |= payloads[f"{CAEP}session-presented"]
    for one in told:
        assert set(one) == {"iss", "jti", "iat", "aud", "txn", "sub_id", "events"}
        assert [type(one[name]) for name in ("iat", "jti", "aud")] == [int, str, str]
        ((uri, event),) = one["events"].items()
        known = {**common, **payloads[uri]}
        assert {name: shape(value) for name, value in event.items()} == {
            name: {"en": "str"} if name.startswith("reason_") else shape(known[name])
            for name in event
        }
        assert set(one["sub_id"]) <= {"format", *subjects}
        for member in set(one["sub_id"]) - {"format"}:
            part = one["sub_id"][member]
            assert shape(part) == shape(subjects[part["format"]]), member


async def test_a_token_is_what_the_profiles_ask_for():
    """SSF 1.0, 4.1: typed, one event, no ``sub``, no ``exp``, and a key that the key set has."""
    for one in await whole_life():
        assert not {"sub", "exp"} & set(one)
        assert len(one["events"]) == 1
        ((_, event),) = one["events"].items()
        assert event["reason_admin"]["en"], "the interoperability profile wants one"
        assert one["iat"] == event["event_timestamp"]


def test_another_library_verifies_a_token():
    """joserfc takes it with the public key, and finds that key's thumbprint in the header."""
    example = of_ours()[0]
    token = JwsEventTokens(TOKEN_KEY).sign(msgspec.convert(example, SecurityEvent))
    x = TOKEN_KEY.public.rstrip("=").translate(str.maketrans("+/", "-_"))
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})
    found = jws.deserialize_compact(token, key, registry=jws.JWSRegistry(algorithms=["Ed25519"]))
    assert json.loads(found.payload) == example == claims(token)
    assert found.headers()["kid"] == key.thumbprint() == key_id(TOKEN_KEY.public)
    other = key_id(Signer("another").public)
    assert other != found.headers()["kid"]
