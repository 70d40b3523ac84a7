"""Access tokens: ``at+jwt`` (RFC 9068), signed with the installation's token key.

Their times are for who has the store's clock.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from callpoint.adapters.tokens.jose.typed import ALGORITHM, NotOursError, TypedReader, sign
from callpoint.domain.token import OAuthError, TokenClaims
from callpoint.ports.keys import TokenSigner

TYPE: Final = "at+jwt"
MAX_TOKEN: Final = 8192


class JoseTokens:
    """Implements ``ports.tokens.Tokens``.

    Args:
        signer: The token key in use.
        former: Raw Ed25519 public keys, base64, that signed before it.
    """

    def __init__(self, signer: TokenSigner, former: Sequence[str] = ()) -> None:
        self._signer = signer
        self._reader = TypedReader(TYPE, MAX_TOKEN, (signer.public_key, *former))

    def sign(self, claims: TokenClaims) -> str:
        return sign(self._signer, TYPE, msgspec.json.encode(claims))

    def read(self, token: str) -> TokenClaims:
        try:
            return msgspec.json.decode(self._reader.read(token), type=TokenClaims)
        except (NotOursError, ValueError, RecursionError) as error:
            raise OAuthError("invalid_token", "this is no token of this installation") from error

    def key_set(self) -> Mapping[str, object]:
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
                for kid, key in self._reader.keys.items()
            ]
        }
