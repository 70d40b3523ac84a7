"""Tokens and proofs are read as they were made, or not at all."""

import json
import string
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from callpoint.adapters.tokens.jose import JoseProofs, JoseTokens
from callpoint.domain.dpop import Expected, check_proof, normal_uri, token_hash
from callpoint.domain.token import Act, Confirmation, Details, OAuthError, TokenClaims, subject_of
from tests.fakes.clock import START
from tests.fakes.keys import Signer
from tests.fakes.token_client import part

URI = "https://gateway.example/orders"
TOKEN = "a.b.c"
KEY = ECKey.generate_key("P-256")
EDWARDS = OKPKey.generate_key("Ed25519")
TOKENS = JoseTokens(Signer("token-key"))
PROOFS = JoseProofs()
HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.as_dict(private=False)}
CLAIMS = {
    "jti": "one",
    "htm": "GET",
    "htu": URI,
    "iat": START.timestamp(),
    "ath": token_hash(TOKEN),
}
SAID = TokenClaims(
    iss="https://callpoint.example",
    sub="alice",
    aud="urn:callpoint:tstinc:target:orders-db:repair",
    client_id="fixer",
    iat=1,
    exp=301,
    jti="j",
    txn="k3v9x2m1q8za",
    cnf=Confirmation(jkt=KEY.thumbprint()),
    authorization_details=(Details("t", ("x",), "a", "l", "i", "recover", ("sql:select",)),),
    act=Act("fixer"),
)

names = st.text(string.ascii_lowercase, min_size=1, max_size=8)
places = st.integers(0, 5000)
junk = st.characters(min_codepoint=1, max_codepoint=0x2FFF)


def proof(**claims: object) -> str:
    """A proof with changes, rightly signed."""
    body = json.dumps(CLAIMS | claims)
    return jws.serialize_compact(HEADER, body, KEY, algorithms=["ES256"])


GOOD = proof()
SIGNED = TOKENS.sign(SAID)


def mutated(text: str, place: int, change: str, char: str) -> str:
    """One character more, less or another; or cut there."""
    at = place % len(text)
    match change:
        case "insert":
            return text[:at] + char + text[at:]
        case "append":
            return text + char
        case "delete":
            return text[:at] + text[at + 1 :]
        case "cut":
            return text[:at]
        case _:
            return text[:at] + char + text[at + 1 :]


changes = st.sampled_from(["insert", "append", "delete", "cut", "replace"])
near = st.one_of(st.sampled_from(string.ascii_letters + string.digits + "-_.=+/ \n"), junk)


def check(shown: str, expected: Expected, token: str = TOKEN) -> None:
    """All that is checked of a proof without state."""
    check_proof(PROOFS.read(shown), msgspec.structs.replace(expected, token=token), START)


@settings(max_examples=400, deadline=None)
@given(places, changes, near)
def test_no_changed_token_is_read(place: int, change: str, char: str):
    """One character another way and the token is not ours, whichever character it is."""
    shown = mutated(SIGNED, place, change, char)
    assert TOKENS.read(SIGNED) == SAID
    if shown != SIGNED:
        with pytest.raises(OAuthError):
            TOKENS.read(shown)


@settings(max_examples=400, deadline=None)
@given(places, changes, near)
def test_no_changed_proof_is_read(place: int, change: str, char: str):
    """One character another way and the proof does not verify."""
    shown = mutated(GOOD, place, change, char)
    check(GOOD, Expected("GET", (URI,)))
    if shown != GOOD:
        with pytest.raises(OAuthError):
            PROOFS.read(shown)


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(["GET", "get", "POST", "GET "]),
    uri=st.sampled_from([URI, f"{URI}/", f"{URI}x", URI.replace("https", "http"), f"{URI}%2f"]),
    token=st.sampled_from([TOKEN, "a.b.d", ""]),
    late=st.integers(-120, 120),
)
def test_a_proof_is_for_one_method_place_token_and_time(method, uri, token, late):
    """It is accepted exactly when all four are those of the request."""
    made = (START - timedelta(seconds=late)).timestamp()
    shown = proof(iat=made)
    fits = (method, uri, token) == ("GET", URI, TOKEN) and -5 <= late <= 60
    try:
        check(shown, Expected(method, (uri,)), token)
    except OAuthError:
        assert not fits
    else:
        assert fits


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from(["header", "jwk", "x", "alg", "typ", "jti", "htm", "htu", "iat", "ath"]),
)
def test_whatever_is_sent_is_refused_or_read(value: object, place: str):
    """No header, key or claim of another form makes the reader fail in its own way."""
    match place:
        case "header":
            shown = ".".join((part(value), *GOOD.split(".")[1:]))
        case "jwk" | "alg" | "typ":
            shown = ".".join((part(HEADER | {place: value}), *GOOD.split(".")[1:]))
        case "x":
            header = HEADER | {"jwk": {"kty": "EC", "crv": "P-256", "x": value, "y": value}}
            shown = ".".join((part(header), *GOOD.split(".")[1:]))
        case _:
            shown = proof(**{place: value})
    try:
        check(shown, Expected("GET", (URI,)))
    except OAuthError:
        return
    assert place in ("jti", "iat")


@given(st.lists(names, max_size=4))
def test_the_chain_of_actors_is_whole(acts_for: list[str]):
    """``sub`` is the last one acted for; ``act`` has the holder outermost, then who is nearer."""
    subject, act = subject_of("holder", tuple(acts_for))
    chain = []
    while act is not None:
        chain.append(act.sub)
        act = act.act
    assert [*chain, subject] == ["holder", *acts_for]


@given(
    st.text(max_size=60)
    | st.from_regex(r"https?://[a-zA-Z.:0-9]{1,12}(/[a-z%0-9A-F./]*)?", fullmatch=True)
)
def test_an_address_has_one_normal_form(text: str):
    """What is normal stays as it is; what is no address is refused in the same way."""
    try:
        normal = normal_uri(text)
    except OAuthError:
        return
    assert normal_uri(normal) == normal
    assert "?" not in normal
    assert "#" not in normal


def test_edwards_keys_prove_as_well():
    """Ed25519 is taken, with a key of that curve only."""
    header = {"typ": "dpop+jwt", "alg": "Ed25519", "jwk": EDWARDS.as_dict(private=False)}
    shown = jws.serialize_compact(header, json.dumps(CLAIMS), EDWARDS, algorithms=["Ed25519"])
    assert PROOFS.read(shown).jkt == EDWARDS.thumbprint()
    wrong = ".".join((part(header | {"alg": "ES256"}), *shown.split(".")[1:]))
    with pytest.raises(OAuthError):
        PROOFS.read(wrong)
