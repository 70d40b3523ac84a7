"""Signing requests, as ``docs/authentication.md`` specifies: the client's half of the profile."""

import base64
import re
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.domain.errors import RequestError
from callpoint.domain.request_signature import (
    ALGORITHM,
    COMPONENTS,
    LABEL,
    TAG,
    content_digest,
    encode_nonce,
    split_url,
)
from callpoint.domain.untrusted import printable

_METHOD = re.compile("[A-Z]+")
# What a quoted string of RFC 8941 holds without an escape, and without the comma between members.
_KEY_ID = re.compile(r"[!#-+\--\[\]-~]+")


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
    for pattern, said in ((_METHOD, method), (_KEY_ID, principal)):
        if not pattern.fullmatch(said):
            raise RequestError(f"this request cannot be signed: {printable(repr(said))}")
    digest = content_digest(body)
    values = {"@method": method, "@target-uri": origin + target, "content-digest": digest}
    # RFC 9421, 2.3 and 2.5: the list of what is signed is the last line of what is signed.
    listed = " ".join(f'"{name}"' for name in COMPONENTS)
    judged = (
        f'({listed});created={int(now.timestamp())};keyid="{principal}";alg="{ALGORITHM}"'
        f';nonce="{encode_nonce(nonce)}";tag="{TAG}"'
    )
    lines = [f'"{name}": {values[name]}' for name in COMPONENTS]
    base = "\n".join((*lines, f'"@signature-params": {judged}'))
    signature = base64.b64encode(key.sign(base.encode())).decode()
    return {
        "content-digest": digest,
        "signature-input": f"{LABEL}={judged}",
        "signature": f"{LABEL}=:{signature}:",
    }
