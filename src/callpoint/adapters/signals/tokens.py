"""Security event tokens as JWS (RFC 7515): ``secevent+jwt``, signed with the token key.

The type is in the protected header, so a token of another use under the same key is never one of
these, nor these one of those (RFC 8725, 3.11).
"""

import base64
import hashlib
from typing import Final

import msgspec

from callpoint.domain.security_event import SecurityEvent
from callpoint.ports.keys import TokenSigner

TYPE: Final = "secevent+jwt"
ALGORITHM: Final = "Ed25519"


class _Header(msgspec.Struct, frozen=True):
    typ: str
    alg: str
    kid: str


class _Thumbprint(msgspec.Struct, frozen=True):
    """The members that RFC 7638 hashes, in its order (RFC 8037, A.3)."""

    crv: str
    kty: str
    x: str


class JwsEventTokens:
    """Implements ``ports.signals.EventTokens``.

    Args:
        signer: The token key in use; its public half is in the key set that tokens have too.
    """

    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer
        self._header = _base64url(
            msgspec.json.encode(_Header(TYPE, ALGORITHM, key_id(signer.public_key)))
        )

    @property
    def algorithm(self) -> str:
        return ALGORITHM

    def sign(self, claims: SecurityEvent) -> str:
        message = self._header + b"." + _base64url(msgspec.json.encode(claims))
        signature = base64.b64decode(self._signer.sign(message))
        return (message + b"." + _base64url(signature)).decode()


def key_id(public_key: str) -> str:
    """The thumbprint (RFC 7638) of a raw Ed25519 public key in base64."""
    x = _base64url(base64.b64decode(public_key, validate=True)).decode()
    body = msgspec.json.encode(_Thumbprint(crv="Ed25519", kty="OKP", x=x))
    return _base64url(hashlib.sha256(body).digest()).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
