"""Access tokens: ``at+jwt`` (RFC 9068), signed with the installation's token key (Ed25519).

joserfc checks a signature and nothing else; times are for who has the store's clock.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from callpoint.domain.token import OAuthError, TokenClaims, base64url
from callpoint.ports.keys import TokenSigner

TYPE: Final = "at+jwt"
ALGORITHM: Final = "Ed25519"
MAX_TOKEN: Final = 8192


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header that we write; a token with any other is not ours."""

    typ: str
    alg: str
    kid: str


class JoseTokens:
    """Implements ``ports.tokens.Tokens``.

    Args:
        signer: The token key in use.
        former: Raw Ed25519 public keys, base64, that signed before it.
    """

    def __init__(self, signer: TokenSigner, former: Sequence[str] = ()) -> None:
        self._signer = signer
        keys = [_key(raw) for raw in dict.fromkeys((signer.public_key, *former))]
        self._keys = {key.thumbprint(): key for key in keys}
        self._kid = keys[0].thumbprint()
        self._registry = jws.JWSRegistry(algorithms=[ALGORITHM])

    def sign(self, claims: TokenClaims) -> str:
        header = msgspec.json.encode(_Header(typ=TYPE, alg=ALGORITHM, kid=self._kid))
        message = f"{base64url(header)}.{base64url(msgspec.json.encode(claims))}"
        signature = base64.b64decode(self._signer.sign(message.encode()))
        return f"{message}.{base64url(signature)}"

    def read(self, token: str) -> TokenClaims:
        if len(token) > MAX_TOKEN or not token.isascii():
            raise _invalid()
        try:
            shown = jws.extract_compact(token.encode())
            header = msgspec.convert(shown.headers(), _Header)
            key = self._keys.get(header.kid)
            if header.typ != TYPE or header.alg != ALGORITHM or key is None:
                raise _invalid()
            found = jws.deserialize_compact(token, key, registry=self._registry)
            return msgspec.json.decode(found.payload, type=TokenClaims)
        except OAuthError:
            raise
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _invalid() from error

    def key_set(self) -> Mapping[str, object]:
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
                for kid, key in self._keys.items()
            ]
        }


def _key(raw: str) -> OKPKey:
    x = base64url(base64.b64decode(raw, validate=True))
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})


def _invalid() -> OAuthError:
    return OAuthError("invalid_token", "this is no token of this installation")
