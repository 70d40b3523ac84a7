"""An independent RFC 9421 verifies what the authenticator accepts, and writes what clients sign."""

import asyncio
import base64
import re
from dataclasses import dataclass
from datetime import timedelta

from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519
from hypothesis import example, given
from hypothesis import strategies as st

from callpoint.adapters.identity.signatures import parse_signature_input
from callpoint.cli.signing import sign_request
from callpoint.domain.errors import AuthenticationError
from callpoint.domain.request_signature import (
    COMPONENTS,
    LABEL,
    TAG,
    content_digest,
    encode_nonce,
)
from tests.fakes.clock import START
from tests.fakes.signing import KEY, ORIGIN, Door

URL, BODY = f"{ORIGIN}/v1/x?a=%2F", b"{}"
CREATED = int(START.timestamp())
VALUES = {"@method": "POST", "@target-uri": URL, "content-digest": content_digest(BODY)}
PARAMETERS = (
    f"created={CREATED}",
    'keyid="ana-laptop"',
    'alg="ed25519"',
    'nonce="AAECAwQFBgcICQoLDA0ODw"',
    'tag="callpoint"',
)
ODD_COMPONENTS = ('"@method";req', '"@path"', '"content-digest";sf', '"Content-Digest"', "")
ODD_PARAMETERS = (
    f"expires={CREATED + 9}",
    f"created=0{CREATED}",
    f"created={CREATED}.0",
    "created",
    ' tag="callpoint"',
    'alg="hmac-sha256"',
    'keyid="ana\\-laptop"',
    "x=?1",
)


@dataclass
class _Request:
    method: str
    url: str
    headers: dict[str, str]


class _Oracle(HTTPMessageVerifier):
    """The library, without its clock."""

    def validate_created_and_expires(self, sig_input, max_age=None):
        """Nothing: time is not what is compared here."""


ORACLE = _Oracle(
    signature_algorithm=ED25519,
    key_resolver=MappingKeyResolver(public_keys={"ana-laptop": KEY.public_key()}, private_keys={}),
)


def some(usual: tuple[str, ...], odd: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """The usual parts in any order, mostly whole; some are left out, doubled, or odd ones."""
    whole = st.permutations(usual)
    return (
        whole
        | st.lists(st.sampled_from(usual + odd), max_size=7)
        | whole.flatmap(lambda parts: st.sampled_from(odd).map(lambda other: [*parts, other]))
    )


def signed(components: list[str], parameters: list[str]) -> dict[str, str]:
    """Fields whose signature is good for the base as it reads, whatever the profile says."""
    judged = f"({' '.join(components)})" + "".join(f";{one}" for one in parameters)
    values = [VALUES.get(name.strip('"'), "") for name in components]
    lines = [f"{name}: {value}" for name, value in zip(components, values, strict=True)]
    base = "\n".join([*lines, f'"@signature-params": {judged}'])
    signature = base64.b64encode(KEY.sign(base.encode())).decode()
    return {
        "content-digest": VALUES["content-digest"],
        "signature-input": f"sig1={judged}",
        "signature": f"sig1=:{signature}:",
    }


@given(
    some(tuple(f'"{name}"' for name in COMPONENTS), ODD_COMPONENTS),
    some(PARAMETERS, ODD_PARAMETERS),
)
@example([f'"{name}"' for name in COMPONENTS], list(PARAMETERS))
def test_what_is_accepted_the_library_reads_alike(components, parameters):
    """Whatever is signed: if it is accepted, the library verifies it, with the same parameters."""
    headers = signed(components, parameters)
    try:
        asyncio.run(Door().knock(headers, method="POST", url=URL, body=BODY))
    except AuthenticationError:
        is_usual = sorted(parameters) == sorted(PARAMETERS)
        assert not (is_usual and sorted(components) == sorted(f'"{name}"' for name in COMPONENTS))
        return
    try:
        (result,) = ORACLE.verify(_Request("POST", URL, headers), max_age=None)
    except HTTPMessageSignaturesException as error:
        raise AssertionError(f"accepted, but no RFC 9421: {headers['signature-input']}") from error
    claims = parse_signature_input(headers["signature-input"])
    assert result.parameters == claims.parameters
    assert set(result.covered_components) - {'"@signature-params"'} == set(components)


@given(
    st.sampled_from(("GET", "POST", "DELETE")),
    st.from_regex(r"(/[a-z0-9._~%A-F-]{0,9}){0,3}(\?[a-z0-9=&]{0,9})?", fullmatch=True),
    st.binary(max_size=99),
    st.binary(min_size=16, max_size=64),
    st.timedeltas(timedelta(0), timedelta(days=99)),
)
@example("POST", "/v1/activations", b"", bytes(16), timedelta(0))
def test_the_client_writes_what_the_library_writes(method, path, body, nonce, later):
    """Every field that the command line sends is, byte for byte, what the library would send."""
    url = f"{ORIGIN}{path}" if re.fullmatch("(?:[^%]|%[0-9A-F]{2})*", path) else ORIGIN
    ours = sign_request(
        method, url, body, principal="ana-laptop", key=KEY, now=START + later, nonce=nonce
    )
    rest = url.removeprefix(ORIGIN)
    whole = url if rest.startswith("/") else f"{ORIGIN}/{rest}"
    theirs = _Request(method, whole, {"content-digest": content_digest(body)})
    keys = MappingKeyResolver(public_keys={}, private_keys={"ana-laptop": KEY})
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=keys).sign(
        theirs,
        key_id="ana-laptop",
        created=START + later,
        nonce=encode_nonce(nonce),
        label=LABEL,
        tag=TAG,
        covered_component_ids=COMPONENTS,
        use_existing_digest=True,
    )
    assert ours == {name.lower(): value for name, value in theirs.headers.items()}
