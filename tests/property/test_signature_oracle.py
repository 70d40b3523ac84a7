"""What the authenticator accepts, an independent reading of RFC 9421 verifies as the same."""

import asyncio
import base64
from dataclasses import dataclass

from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519
from hypothesis import example, given
from hypothesis import strategies as st

from callpoint.adapters.identity.signatures import parse_signature_input
from callpoint.domain.errors import AuthenticationError
from callpoint.domain.request_signature import COMPONENTS, content_digest
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
