"""Binding tokens as compact JWS (RFC 7515), signed with Ed25519 (RFC 8037, RFC 9864).

Only we read them, so exactly one header is accepted, byte for byte: there is no algorithm to
choose and no key to look up. Its type keeps an access token, which the same key signs, from being
taken for one.
"""

import base64
import binascii
import hashlib
import re
from typing import Final

import msgspec

from callpoint.domain.access_request import AccessRequestError, Denial, Fault
from callpoint.ports.keys import TokenSigner, Verifier

TYPE: Final = "callpoint-denial+jwt"
ALGORITHM: Final = "Ed25519"
MAX_TOKEN: Final = 16 * 1024

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class CompactDenialTokens:
    """Implements ``ports.denials.DenialTokens``."""

    def __init__(self, holder: TokenSigner, verifier: Verifier) -> None:
        self._holder = holder
        self._verifier = verifier
        x = _base64url(base64.b64decode(holder.public_key, validate=True))
        # RFC 7638: the required members, in order, without white space.
        named = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
        kid = _base64url(hashlib.sha256(named.encode()).digest())
        header = {"alg": ALGORITHM, "kid": kid, "typ": TYPE}
        self._header = _base64url(msgspec.json.encode(header))

    def sign(self, denial: Denial) -> str:
        message = f"{self._header}.{_base64url(msgspec.json.encode(denial))}"
        signature = base64.b64decode(self._holder.sign(message.encode()))
        return f"{message}.{_base64url(signature)}"

    def read(self, token: str) -> Denial:
        parts = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN else None
        if parts is None or parts[1] != self._header:
            raise _not_ours()
        message = f"{parts[1]}.{parts[2]}".encode()
        try:
            signature = base64.b64encode(_bytes(parts[3])).decode()
            if not self._verifier.is_valid(self._holder.public_key, message, signature):
                raise _not_ours()
            return msgspec.json.decode(_bytes(parts[2]), type=Denial)
        except (binascii.Error, msgspec.DecodeError) as error:
            raise _not_ours() from error


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _not_ours() -> AccessRequestError:
    return AccessRequestError(
        Fault.INVALID_DENIAL_BINDING,
        "denial.binding_token is none of this installation",
        way_out="ask for a decision again, and return its binding_token as it is",
    )
