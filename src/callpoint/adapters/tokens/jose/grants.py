"""Offline grants: a JWS of a type of its own, signed with the installation's token key.

Audience and times are for who has the clock.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from joserfc.errors import JoseError

from callpoint.adapters.tokens.jose.typed import NotOursError, TypedReader, sign
from callpoint.domain.offline import MAX_GRANT, GrantError, OfflineGrant
from callpoint.ports.keys import TokenSigner

TYPE: Final = "callpoint-offline+jwt"


class JoseGrantReader:
    """Implements ``ports.grants.GrantReader``.

    Args:
        keys: Raw Ed25519 public keys, base64.

    Raises:
        GrantError: One of them is none.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._reader = TypedReader(TYPE, MAX_GRANT, keys)
        except (JoseError, ValueError) as error:
            raise GrantError("what should sign offline grants is no key") from error

    def read(self, token: str) -> OfflineGrant:
        try:
            return msgspec.json.decode(self._reader.read(token), type=OfflineGrant)
        except (NotOursError, ValueError, RecursionError) as error:
            raise GrantError("this is no offline grant of this installation") from error


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

    @property
    def keys(self) -> tuple[str, ...]:
        return self._public

    def sign(self, grant: OfflineGrant) -> str:
        return sign(self._signer, TYPE, msgspec.json.encode(grant))
