"""Offline grants: a JWS of a type of its own, signed with the installation's token key (Ed25519).

An access token is no grant and a grant no access token: each reader takes its own ``typ`` alone.
joserfc checks a signature and nothing else; audience and times are for who has the clock.
"""

import base64
from collections.abc import Sequence
from typing import Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from callpoint.domain.offline import MAX_GRANT, GrantError, OfflineGrant
from callpoint.domain.token import base64url
from callpoint.ports.keys import TokenSigner

TYPE: Final = "callpoint-offline+jwt"
ALGORITHM: Final = "Ed25519"


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header that we write; a grant with any other is not ours."""

    typ: str
    alg: str
    kid: str


class JoseGrantReader:
    """Implements ``ports.grants.GrantReader``.

    Args:
        keys: Raw Ed25519 public keys, base64.

    Raises:
        GrantError: One of them is none.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            made = [_key(raw) for raw in dict.fromkeys(keys)]
        except (JoseError, ValueError) as error:
            raise GrantError("what should sign offline grants is no key") from error
        self._keys = {key.thumbprint(): key for key in made}
        self._registry = jws.JWSRegistry(algorithms=[ALGORITHM])

    def read(self, token: str) -> OfflineGrant:
        if len(token) > MAX_GRANT or not token.isascii():
            raise _invalid()
        try:
            shown = jws.extract_compact(token.encode())
            header = msgspec.convert(shown.headers(), _Header)
            key = self._keys.get(header.kid)
            if header.typ != TYPE or header.alg != ALGORITHM or key is None:
                raise _invalid()
            found = jws.deserialize_compact(token, key, registry=self._registry)
            return msgspec.json.decode(found.payload, type=OfflineGrant)
        except GrantError:
            raise
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _invalid() from error


class JoseGrants(JoseGrantReader):
    """Implements ``ports.grants.Grants``.

    Args:
        signer: The token key in use.
        former: Raw Ed25519 public keys, base64, that signed before it.
    """

    def __init__(self, signer: TokenSigner, former: Sequence[str] = ()) -> None:
        self._signer = signer
        self._public = tuple(dict.fromkeys((signer.public_key, *former)))
        super().__init__(self._public)
        self._kid = _key(signer.public_key).thumbprint()

    @property
    def keys(self) -> tuple[str, ...]:
        return self._public

    def sign(self, grant: OfflineGrant) -> str:
        header = msgspec.json.encode(_Header(typ=TYPE, alg=ALGORITHM, kid=self._kid))
        message = f"{base64url(header)}.{base64url(msgspec.json.encode(grant))}"
        signature = base64.b64decode(self._signer.sign(message.encode()))
        return f"{message}.{base64url(signature)}"


def _key(raw: str) -> OKPKey:
    x = base64url(base64.b64decode(raw, validate=True))
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})


def _invalid() -> GrantError:
    return GrantError("this is no offline grant of this installation")
