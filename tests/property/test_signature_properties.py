"""Whatever arrives, an authenticator answers with a caller or with AuthenticationError."""

import asyncio
import string

from hypothesis import given
from hypothesis import strategies as st

from callpoint.adapters.identity.signatures import parse_signature_input
from callpoint.cli.signing import sign_request
from callpoint.domain.errors import AuthenticationError, RequestError
from callpoint.domain.request_signature import split_url
from tests.fakes.clock import START
from tests.fakes.signing import KEY, ORIGIN, Door

NAMES = st.sampled_from(["signature", "signature-input", "content-digest", "Signature", "host"])
GOOD = sign_request(
    "POST", f"{ORIGIN}/v1/x", b"{}", principal="ana-laptop", key=KEY, now=START, nonce=b"n" * 16
)
WORDS = st.lists(
    st.sampled_from(
        [
            *(
                "sig1=",
                "sig2=",
                "(",
                ")",
                '"@method"',
                '"@target-uri"',
                '"content-digest"',
                " ",
                ";",
            ),
            *(
                "created=1772334000",
                "expires=1",
                'nonce="AAECAwQFBgcICQoLDA0ODw"',
                'tag="callpoint"',
            ),
            *(
                'keyid="ana-laptop"',
                'alg="ed25519"',
                ",",
                ":",
                "=",
                "\\",
                "\n",
                "A" * 86 + "==",
                "?1",
            ),
        ]
    )
).map("".join)
TARGETS = st.lists(
    st.sampled_from([*string.ascii_letters, *string.digits, *"/?=&._~-!$'()*+,;:@", "%2F", "%00"]),
    max_size=40,
).map(lambda rest: f"/{''.join(rest)}")


def knock(headers, method, url, body):
    """Whether the request was accepted."""
    try:
        asyncio.run(Door().knock(headers, method=method, url=url, body=body))
    except AuthenticationError:
        return False
    return True


@given(st.dictionaries(NAMES, st.text() | WORDS), st.text(), st.text(), st.binary())
def test_arbitrary_requests_are_refused(headers, method, url, body):
    """Arbitrary headers, methods and addresses raise AuthenticationError and nothing else."""
    assert not knock(headers, method, url, body)


@given(st.sampled_from(sorted(GOOD)), st.text() | WORDS)
def test_a_good_request_with_one_arbitrary_field_is_refused(name, value):
    """A good request of which one field is replaced is refused."""
    changed = GOOD | {name: value}
    assert knock(changed, "POST", f"{ORIGIN}/v1/x", b"{}") == (value.strip(" \t") == GOOD[name])


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_a_good_request_with_one_changed_character_is_refused(name, data):
    """No single character of the three fields can be changed."""
    value = GOOD[name]
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != value[place]))
    changed = value[:place] + other + value[place + 1 :]
    if changed.strip(" \t") != value:
        assert not knock(GOOD | {name: changed}, "POST", f"{ORIGIN}/v1/x", b"{}")


@given(WORDS)
def test_arbitrary_signature_inputs_are_claims_or_refused(field):
    """A Signature-Input is read completely or refused."""
    try:
        claims = parse_signature_input(field)
    except AuthenticationError:
        return
    assert claims.keyid == "ana-laptop"
    assert len(claims.components) == 3


@given(TARGETS, st.sampled_from(["GET", "POST", "DELETE"]), st.binary(max_size=64))
def test_what_is_signed_is_accepted_and_nothing_else(target, method, body):
    """A signed request is accepted as it is, and refused with one more character in its target."""
    url = ORIGIN + target
    headers = sign_request(
        method, url, body, principal="ana-laptop", key=KEY, now=START, nonce=b"n" * 16
    )
    assert knock(headers, method, url, body)
    assert not knock(headers, method, f"{url}x", body)


@given(st.text() | TARGETS.map(lambda rest: f"HTTPS://Callpoint.example:443{rest}"))
def test_an_address_is_split_without_loss(text):
    """Arbitrary text is refused, or split into a spelling that splits into itself."""
    try:
        origin, rest = split_url(text)
    except RequestError:
        return
    assert split_url(origin + rest) == (origin, rest)
