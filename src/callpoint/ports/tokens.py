"""Signing and reading tokens and proofs, without saying how they are written (JOSE)."""

from collections.abc import Mapping
from typing import Protocol

from callpoint.domain.dpop import Proof
from callpoint.domain.token import TokenClaims


class Tokens(Protocol):
    """The token key in use, and the former ones whose tokens may still be alive."""

    def sign(self, claims: TokenClaims) -> str:
        """The access token."""
        ...

    def read(self, token: str) -> TokenClaims:
        """What a token says whose signature is ours. Its times are the caller's to check.

        Raises:
            OAuthError: ``invalid_token``.
        """
        ...

    def key_set(self) -> Mapping[str, object]:
        """The public keys (RFC 7517), the one in use first."""
        ...


class Proofs(Protocol):
    """Reads DPoP proofs (RFC 9449)."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Signature algorithms that it takes."""
        ...

    def read(self, proof: str) -> Proof:
        """What a proof says whose signature verifies; nothing of that is checked yet.

        Raises:
            OAuthError: ``invalid_dpop_proof``.
        """
        ...
