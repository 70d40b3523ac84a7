"""RFC 9421, Appendix B.2.6: the one Ed25519 example, and the library that is the oracle."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519

from callpoint.domain.request_signature import content_digest

# B.1.4: test-key-ed25519.
PRIVATE = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
"""
PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
"""
# B.2: test-request, and B.2.6: its signature.
FIELDS = {
    "host": "example.com",
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "content-type": "application/json",
    "content-length": "18",
}
SIGNATURE_INPUT = (
    'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"'
)
SIGNATURE = (
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1"
    "u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
)
BASE = (
    '"date": Tue, 20 Apr 2021 02:07:55 GMT\n'
    '"@method": POST\n'
    '"@path": /foo\n'
    '"@authority": example.com\n'
    '"content-type": application/json\n'
    '"content-length": 18\n'
    '"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"'
)


@dataclass
class _Request:
    method: str
    url: str
    headers: dict[str, str]


class _TimelessVerifier(HTTPMessageVerifier):
    """The example is of 2021."""

    def validate_created_and_expires(self, sig_input, max_age=None):
        pass


def _request(**changed: str) -> _Request:
    fields = FIELDS | {"signature-input": SIGNATURE_INPUT, "signature": SIGNATURE} | changed
    return _Request("POST", "https://example.com/foo?param=Value&Pet=dog", fields)


def _verifier() -> _TimelessVerifier:
    keys = MappingKeyResolver(public_keys={"test-key-ed25519": PUBLIC}, private_keys={})
    return _TimelessVerifier(signature_algorithm=ED25519, key_resolver=keys)


def test_the_example_key_signs_the_example():
    """Ed25519 is deterministic: the RFC's key over the RFC's base gives the RFC's signature."""
    key = load_pem_private_key(PRIVATE, password=None)
    assert isinstance(key, Ed25519PrivateKey)
    signature = base64.b64encode(key.sign(BASE.encode())).decode()
    assert f"sig-b26=:{signature}:" == SIGNATURE


def test_the_library_verifies_the_example():
    """The library that is the oracle of the authenticator accepts the RFC's example."""
    (result,) = _verifier().verify(_request(), max_age=None)
    assert result.label == "sig-b26"
    assert result.parameters == {"created": 1618884473, "keyid": "test-key-ed25519"}


@pytest.mark.parametrize(
    "changed",
    [
        {"date": "Tue, 20 Apr 2021 02:07:56 GMT"},
        {"content-type": "text/plain"},
        {"signature": SIGNATURE.replace("wqcA", "wqcB")},
        {"signature-input": SIGNATURE_INPUT.replace("1618884473", "1618884474")},
    ],
)
def test_the_library_refuses_the_changed_example(changed):
    """One changed field, signature or parameter, and the library refuses."""
    with pytest.raises(InvalidSignature):
        _verifier().verify(_request(**changed), max_age=None)


def test_the_library_signs_the_example():
    """The library that the client stands on writes the RFC's two fields, byte for byte."""
    key = load_pem_private_key(PRIVATE, password=None)
    assert isinstance(key, Ed25519PrivateKey)
    signer = HTTPMessageSigner(
        signature_algorithm=ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={"test-key-ed25519": key}),
    )
    request = _request()
    prepared = signer.prepare(
        request,
        key_id="test-key-ed25519",
        created=datetime.fromtimestamp(1618884473, tz=UTC),
        label="sig-b26",
        include_alg=False,
        covered_component_ids=(
            *("date", "@method", "@path", "@authority", "content-type", "content-length"),
        ),
    )
    assert prepared.signature_base.decode() == BASE


def test_the_content_digest_of_the_rfc():
    """RFC 9530, Appendix B.1: the SHA-256 of its example, and the well-known one of no bytes."""
    assert (
        content_digest(b'{"hello": "world"}\n')
        == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    )
    assert content_digest(b"") == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
