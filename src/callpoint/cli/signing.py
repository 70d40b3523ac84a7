"""Signing requests, as ``docs/authentication.md`` specifies: the client's half of the profile."""

from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519

from callpoint.domain.errors import RequestError
from callpoint.domain.request_signature import (
    COMPONENTS,
    LABEL,
    TAG,
    content_digest,
    encode_nonce,
    split_url,
)
from callpoint.domain.untrusted import printable


@dataclass(frozen=True, slots=True)
class _Message:
    """What the library reads of a request, and the headers that it writes."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


def sign_request(
    method: str,
    url: str,
    body: bytes,
    *,
    principal: str,
    key: Ed25519PrivateKey,
    now: datetime,
    nonce: bytes,
) -> dict[str, str]:
    """The headers to add: Content-Digest, Signature-Input and Signature, names in lower case.

    Args:
        method: Upper case.
        url: Absolute and encoded, as it will be sent.
        body: The exact bytes that will be sent; may be empty.
        principal: The name under which the key is published.
        key: Its Ed25519 key.
        now: Aware; the request is accepted for 60 s from here.
        nonce: At least 16 random bytes, never used before.

    Raises:
        RequestError: The URL, the method or the principal's name cannot be signed.
    """
    origin, target = split_url(url)
    message = _Message(method, origin + target, {"content-digest": content_digest(body)})
    signer = HTTPMessageSigner(
        signature_algorithm=ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={principal: key}),
    )
    try:
        signer.sign(
            message,
            key_id=principal,
            created=now,
            nonce=encode_nonce(nonce),
            label=LABEL,
            tag=TAG,
            covered_component_ids=COMPONENTS,
            use_existing_digest=True,
        )
    except (HTTPMessageSignaturesException, ValueError) as error:
        raise RequestError(f"this request cannot be signed: {printable(str(error))}") from error
    return {name.lower(): value for name, value in message.headers.items()}
