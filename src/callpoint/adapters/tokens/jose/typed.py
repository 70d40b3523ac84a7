"""Compact JWS (RFC 7515) of one ``typ``, signed with the installation's token key (Ed25519).

The key signs several kinds of things; a reader takes its own ``typ`` alone, so that none of them is
taken for another. joserfc checks a signature and nothing else: what the payload means, for whom it
is and until when, is for who reads it.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from callpoint.domain.token import base64url
from callpoint.ports.keys import TokenSigner

ALGORITHM: Final = "Ed25519"


class NotOursError(Exception):
    """It is no JWS of that type, or none of these keys signed it."""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header that we write; one with any other is not ours."""

    typ: str
    alg: str
    kid: str


class TypedReader:
    """Reads those of one type.

    Args:
        typ: Theirs.
        most: Characters of the longest.
        keys: Raw Ed25519 public keys, base64.

    Raises:
        ValueError, JoseError: One of them is none.
    """

    def __init__(self, typ: str, most: int, keys: Sequence[str]) -> None:
        self._typ = typ
        self._most = most
        made = [_key(raw) for raw in dict.fromkeys(keys)]
        self._keys = {key.thumbprint(): key for key in made}
        self._registry = jws.JWSRegistry(algorithms=[ALGORITHM])

    @property
    def keys(self) -> Mapping[str, OKPKey]:
        """By their thumbprints (RFC 7638), the first one first."""
        return self._keys

    def read(self, token: str) -> bytes:
        """The payload.

        Raises:
            NotOursError: See there.
        """
        if len(token) > self._most or not token.isascii():
            raise NotOursError
        try:
            shown = jws.extract_compact(token.encode())
            header = msgspec.convert(shown.headers(), _Header)
            key = self._keys.get(header.kid)
            if header.typ != self._typ or header.alg != ALGORITHM or key is None:
                raise NotOursError
            return jws.deserialize_compact(token, key, registry=self._registry).payload
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise NotOursError from error


def sign(signer: TokenSigner, typ: str, payload: bytes) -> str:
    """A new one."""
    kid = _key(signer.public_key).thumbprint()
    header = msgspec.json.encode(_Header(typ=typ, alg=ALGORITHM, kid=kid))
    message = f"{base64url(header)}.{base64url(payload)}"
    signature = base64.b64decode(signer.sign(message.encode()))
    return f"{message}.{base64url(signature)}"


def _key(raw: str) -> OKPKey:
    x = base64url(base64.b64decode(raw, validate=True))
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})
