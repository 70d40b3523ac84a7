"""Signing and reading offline grants, without saying how they are written (JOSE)."""

from typing import Protocol

from callpoint.domain.offline import OfflineGrant


class GrantReader(Protocol):
    """Knows the public keys that sign grants."""

    def read(self, token: str) -> OfflineGrant:
        """What a grant says whose signature verifies. All that it says is the caller's to check.

        Raises:
            GrantError: It is none, or signed by another key.
        """
        ...


class Grants(GrantReader, Protocol):
    """The authority's side: the token key in use, and the former one, whose grants live on."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Raw Ed25519 public keys, base64; the one in use first."""
        ...

    def sign(self, grant: OfflineGrant) -> str:
        """The signed grant."""
        ...
