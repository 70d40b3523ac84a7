"""Who is calling: the one signature profile, and everything it refuses."""

import base64
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.adapters.identity.signatures import key_fingerprint
from callpoint.cli.signing import sign_request
from callpoint.domain.errors import AuthenticationError, ConfigError, RequestError
from callpoint.domain.request_signature import content_digest
from tests.fakes.clock import START
from tests.fakes.signing import (
    ANA,
    KEY,
    NONCE,
    ORIGIN,
    OTHER_KEY,
    Door,
    configuration_of,
    public_text,
)

URL = f"{ORIGIN}/v1/activations?dry_run=true"
BODY = b'{"why":"disk full"}'


def signed(**changes):
    """Headers of a good request, signed by Ana at the start of simulated time."""
    arguments: dict[str, Any] = {"principal": "ana-laptop", "method": "POST", "url": URL}
    arguments["body"] = BODY
    arguments |= {"key": KEY, "now": START, "nonce": NONCE} | changes
    return sign_request(
        arguments.pop("method"), arguments.pop("url"), arguments.pop("body"), **arguments
    )


def resigned(signature_input, *, key=KEY, digest=None, method="POST", url=URL, lines=None):
    """Headers whose signature is good for any Signature-Input, built without our signing code."""
    digest = content_digest(BODY) if digest is None else digest
    parameters = signature_input.removeprefix("sig1=")
    base = lines or [
        f'"@method": {method}',
        f'"@target-uri": {url}',
        f'"content-digest": {digest}',
    ]
    text = "\n".join([*base, f'"@signature-params": {parameters}'])
    signature = base64.b64encode(key.sign(text.encode())).decode()
    return {
        "content-digest": digest,
        "signature-input": signature_input,
        "signature": f"sig1=:{signature}:",
    }


CREATED = int(START.timestamp())
COVERED = '("@method" "@target-uri" "content-digest")'
GOOD = (
    f'sig1={COVERED};created={CREATED};keyid="ana-laptop";alg="ed25519"'
    ';nonce="AAECAwQFBgcICQoLDA0ODw";tag="callpoint"'
)


async def test_a_signed_request_names_its_caller():
    """A request signed with Ana's key is Ana's, and says which key proved it."""
    caller = await Door().knock(signed())
    assert caller.principal == ANA
    assert caller.key_id == key_fingerprint(base64.b64decode(ANA.key))
    assert caller.strength == "key"


@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 1000])
async def test_every_body_is_signed(body):
    """Empty and binary bodies are signed and verified alike."""
    assert await Door().knock(signed(body=body), body=body)


async def test_a_signature_made_by_other_code_is_accepted():
    """The base of RFC 9421, built by hand with the parameters in another order, verifies."""
    assert await Door().knock(resigned(GOOD))


async def test_components_may_come_in_any_order():
    """What must be covered may be covered in any order."""
    swapped = GOOD.replace(COVERED, '("content-digest" "@method" "@target-uri")')
    lines = [
        f'"content-digest": {content_digest(BODY)}',
        '"@method": POST',
        f'"@target-uri": {URL}',
    ]
    assert await Door().knock(resigned(swapped, lines=lines))


@pytest.mark.parametrize(
    "seen",
    [
        "http://10.0.0.7:8080/v1/activations?dry_run=true",
        "https://evil.example/v1/activations?dry_run=true",
    ],
)
async def test_host_and_scheme_as_seen_do_not_matter(seen):
    """Behind a proxy that changes scheme and host the request still verifies for our address."""
    assert await Door().knock(signed(), url=seen)


async def test_a_request_made_for_another_installation_is_refused():
    """A request signed for another host is refused, even when the Host field says that host."""
    elsewhere = "https://staging.example/v1/activations?dry_run=true"
    with pytest.raises(AuthenticationError, match="does not verify"):
        await Door().knock(signed(url=elsewhere), url=elsewhere)


async def test_each_public_address_is_accepted():
    """With two public addresses, one with a path, requests to both verify."""
    door = Door(ORIGIN, "https://GATE.example:443/callpoint/")
    assert await door.knock(signed())
    behind = "https://gate.example/callpoint/v1/activations?dry_run=true"
    assert await door.knock(signed(url=behind, nonce=b"n" * 16))


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "DELETE"},
        {"method": "post"},
        {"url": f"{ORIGIN}/v1/activations"},
        {"url": f"{ORIGIN}/v1/activations?dry_run=false"},
        {"url": f"{ORIGIN}/v1/activationS?dry_run=true"},
        {"url": f"{ORIGIN}/v1/%61ctivations?dry_run=true"},
        {"body": b'{"why":"disk  full"}'},
        {"body": b""},
    ],
)
async def test_a_changed_request_is_refused(changed):
    """Another method, path, query or body than the signed one is refused, and spends nothing."""
    door = Door()
    with pytest.raises(AuthenticationError):
        await door.knock(signed(), **changed)
    assert door.nonces.spent == []


@pytest.mark.parametrize("name", ["signature", "signature-input", "content-digest"])
async def test_each_field_is_needed_once(name):
    """Without one of the three fields, or with it twice in any way, nobody is authenticated."""
    door = Door()
    good = signed()
    without = {key: value for key, value in good.items() if key != name}
    with pytest.raises(AuthenticationError, match="is not signed"):
        await door.knock(without)
    for twice in (
        good | {name: f"{good[name]}, {good[name]}"},
        good | {name: f"{good[name]},{good[name].replace('sig1', 'sig2')}"},
        good | {name.title(): good[name]},
        good | {name: good[name] + "x" * 2000},
        good | {name: ""},
        good | {name: "\N{SNOWMAN}"},
    ):
        with pytest.raises(AuthenticationError):
            await door.knock(twice)
    assert door.nonces.spent == []
    assert await door.knock(good)


@pytest.mark.parametrize(
    "old,new",
    [
        (COVERED, '("@method" "@target-uri")'),
        (COVERED, '("@method" "content-digest")'),
        (COVERED, '("@target-uri" "content-digest")'),
        (COVERED, '("@method" "@target-uri" "content-digest" "host")'),
        (COVERED, '("@method" "@method" "@target-uri" "content-digest")'),
        (COVERED, '("@method" "@target-uri";req "content-digest")'),
        (COVERED, '("@method" "@path" "content-digest")'),
        (COVERED, "()"),
        (f";created={CREATED}", ""),
        (f";created={CREATED}", f';created="{CREATED}"'),
        (f";created={CREATED}", f";created={CREATED}.0"),
        (f";created={CREATED}", f";created={CREATED};created={CREATED}"),
        (f";created={CREATED}", f";created={CREATED}000000000000"),
        (f";created={CREATED}", ";created=-999999999999999"),
        (f";created={CREATED}", f";created={CREATED};expires={CREATED - 1}"),
        (f";created={CREATED}", f';created={CREATED};expires="never"'),
        (f";created={CREATED}", f";created={CREATED};role=1"),
        (';keyid="ana-laptop"', ""),
        (';keyid="ana-laptop"', ";keyid=5"),
        (';keyid="ana-laptop"', ";keyid=ana-laptop"),
        (';keyid="ana-laptop"', ';keyid="ana-\\"laptop"'),
        (';alg="ed25519"', ""),
        (';alg="ed25519"', ';alg="hmac-sha256"'),
        (';alg="ed25519"', ';alg="none"'),
        (';tag="callpoint"', ""),
        (';tag="callpoint"', ';tag="other"'),
        (';nonce="AAECAwQFBgcICQoLDA0ODw"', ""),
        (';nonce="AAECAwQFBgcICQoLDA0ODw"', ';nonce="AAECAwQFBgcICQoLDA0O"'),
        (';nonce="AAECAwQFBgcICQoLDA0ODw"', f';nonce="{"A" * 100}"'),
        (';nonce="AAECAwQFBgcICQoLDA0ODw"', ';nonce="AAECAwQFBgcICQoLDA0OD:"'),
        (f";created={CREATED}", f";created=0{CREATED}"),
        (f";created={CREATED}", f";created={CREATED};expires=0{CREATED + 9}"),
        ("sig1=", "sig2="),
        ("sig1=", "sig1= "),
    ],
)
async def test_another_profile_is_refused(old, new):
    """A component or parameter that is missing, added, doubled or different is refused."""
    door = Door()
    assert old in GOOD
    with pytest.raises(AuthenticationError) as refusal:
        await door.knock(resigned(GOOD.replace(old, new)))
    assert refusal.value.way_out
    assert "does not verify" not in str(refusal.value), "refused for its signature, not its form"
    assert door.nonces.spent == []


@pytest.mark.parametrize(
    "digest",
    [
        content_digest(BODY).replace("sha-256", "sha-512"),
        content_digest(b"another body"),
        content_digest(BODY) + ", unixsum=:AAAA:",
        content_digest(BODY).replace("=:", "", 1),
    ],
)
async def test_another_digest_is_refused(digest):
    """Only the SHA-256 of the body that arrived is accepted, even when another one is signed."""
    with pytest.raises(AuthenticationError, match="Content-Digest"):
        await Door().knock(resigned(GOOD, digest=digest))


async def test_a_signature_of_another_length_is_refused():
    """A Signature that is no Ed25519 signature is refused before any key is looked up."""
    for signature in ("sig1=:AAAA:", "sig1=1", 'sig1="x"', "sig1=::"):
        with pytest.raises(AuthenticationError, match="Signature is malformed"):
            await Door().knock(signed() | {"signature": signature})


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=60), timedelta(seconds=-5)])
async def test_a_request_in_time_is_accepted(late):
    """From 5 s before our clock to 60 s after it was signed, a request is accepted."""
    door = Door()
    door.clock.jump(late)
    assert await door.knock(signed())


@pytest.mark.parametrize(
    "late,words",
    [
        (timedelta(seconds=60, microseconds=1), "signed 61 s ago"),
        (timedelta(hours=2), "signed 7200 s ago"),
        (timedelta(seconds=-5, microseconds=-1), "signed 6 s in the future"),
        (timedelta(days=-1), "signed 86400 s in the future"),
    ],
)
async def test_a_request_out_of_time_says_by_how_much(late, words):
    """A request that is too old or from the future is refused, and the skew is named."""
    door = Door()
    door.clock.jump(late)
    with pytest.raises(AuthenticationError, match=words) as refusal:
        await door.knock(signed())
    assert "clock" in refusal.value.way_out


async def test_expires_is_honoured():
    """A request with `expires` is accepted until then, and refused after it."""
    door = Door()
    expiring = GOOD.replace(";keyid", f";expires={CREATED + 10};keyid")
    door.clock.jump(timedelta(seconds=10))
    assert await door.knock(resigned(expiring))
    door.clock.jump(timedelta(seconds=1))
    with pytest.raises(AuthenticationError, match="expired 1 s ago"):
        await door.knock(resigned(expiring))


async def test_a_request_is_accepted_once():
    """The same request a second time is refused, and the way out is to sign anew."""
    door = Door()
    await door.knock(signed())
    with pytest.raises(AuthenticationError, match="nonce is spent") as refusal:
        await door.knock(signed())
    assert "new nonce" in refusal.value.way_out
    assert await door.knock(signed(nonce=b"another nonce 16"))


async def test_only_the_key_can_spend_its_nonce():
    """A wrong signature with a seen nonce does not spend it, so nobody can burn Ana's request."""
    door = Door()
    with pytest.raises(AuthenticationError):
        await door.knock(signed(key=OTHER_KEY))
    assert door.nonces.spent == []
    assert await door.knock(signed())


async def test_a_nonce_is_counted_per_key():
    """Two principals may happen to use the same nonce."""
    door = Door()
    bob = msgspec.structs.replace(ANA, id="bob-laptop", key=public_text(OTHER_KEY))
    door.configuration = configuration_of(ANA, bob)
    await door.knock(signed())
    caller = await door.knock(signed(principal="bob-laptop", key=OTHER_KEY))
    assert caller.principal == bob


async def test_refusals_do_not_tell_who_exists():
    """An unknown principal, a wrong key and an unreadable key are refused in the same words."""
    door = Door()
    broken = msgspec.structs.replace(ANA, id="broken", key="no base64")
    short = msgspec.structs.replace(ANA, id="short", key="AAAA")
    door.configuration = configuration_of(ANA, broken, short)
    seen = set()
    for principal, key in (
        ("ana-laptop", OTHER_KEY),
        ("nobody", KEY),
        ("broken", KEY),
        ("short", KEY),
    ):
        with pytest.raises(AuthenticationError) as refusal:
            await door.knock(signed(principal=principal, key=key))
        seen.add(str(refusal.value))
    assert len(seen) == 1


async def test_the_decoy_key_opens_nothing():
    """Whoever signs as nobody with the decoy's published private key is refused all the same."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    decoy = Ed25519PrivateKey.from_private_bytes(seed)
    door = Door()
    with pytest.raises(AuthenticationError, match="does not verify"):
        await door.knock(signed(principal="nobody", key=decoy))
    assert door.nonces.spent == []


async def test_a_removed_principal_is_refused_at_once():
    """The configuration in force is asked for each request."""
    door = Door()
    await door.knock(signed())
    door.configuration = configuration_of()
    with pytest.raises(AuthenticationError):
        await door.knock(signed(nonce=b"another nonce 16"))


async def test_a_long_field_is_refused():
    """A field beyond its limit is refused, however well it is signed."""
    door = Door()
    long = msgspec.structs.replace(ANA, id="a" * 1024)
    door.configuration = configuration_of(long)
    with pytest.raises(AuthenticationError, match="at most 1024"):
        await door.knock(signed(principal=long.id))


async def test_huge_headers_and_urls_are_refused():
    """Headers or an URL beyond the limits are refused before anything is parsed."""
    with pytest.raises(AuthenticationError, match="headers are longer"):
        await Door().knock(signed() | {"x-filler": "x" * 40_000})
    with pytest.raises(AuthenticationError, match="URL is longer"):
        await Door().knock(signed(), url=f"{ORIGIN}/{'x' * 10_000}")


@pytest.mark.parametrize(
    "url", ["", "/v1", f"{ORIGIN}/a b", f"{ORIGIN}/#f", "https://u@callpoint.example/", "\x00"]
)
async def test_an_address_that_cannot_be_signed_is_refused(url):
    """Neither side accepts an address that is relative, unencoded, or has a user or a fragment."""
    with pytest.raises(AuthenticationError):
        await Door().knock(signed(), url=url)
    with pytest.raises(RequestError):
        signed(url=url)


@pytest.mark.parametrize(
    "origins",
    [[], ["callpoint.example"], ["ftp://callpoint.example"], [f"{ORIGIN}?x"], [ORIGIN] * 9],
)
def test_a_wrong_public_address_is_a_configuration_error(origins):
    """None, too many, or one that is no http address: said at start."""
    with pytest.raises(ConfigError):
        Door().authenticator.__class__(
            configuration_of, Door().nonces, Door().clock, origins=origins
        )


async def test_what_was_signed_before_the_nonces_were_lost_does_not_count():
    """After a recovery nobody knows whether it was accepted before; what is signed since counts."""
    door = Door(since=START + timedelta(seconds=3))
    door.clock.advance(timedelta(seconds=5))
    with pytest.raises(AuthenticationError, match="before the database was recovered"):
        await door.knock(signed())
    assert await door.knock(signed(now=START + timedelta(seconds=3)))
