"""What the steps with tokens need beside the services, and the proof that a sender has its key."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from callpoint.domain.dpop import INVALID, Expected, Proof, check_proof
from callpoint.domain.token import OAuthError
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import NonceBook
from callpoint.ports.tokens import Proofs, Tokens


@dataclass(frozen=True)
class TokenDesk:
    """Handed over once by the composition root.

    Attributes:
        origins: The addresses that clients know us by; the first one is the issuer.
        since: Proofs that were spent before are not all known; None: they are.
    """

    services: Services
    tokens: Tokens
    proofs: Proofs
    nonces: NonceBook
    origins: tuple[str, ...]
    since: datetime | None = None

    @property
    def issuer(self) -> str:
        """``iss`` of every token."""
        return self.origins[0]

    def places(self, path: str) -> tuple[str, ...]:
        """A path of ours as clients may address it."""
        return tuple(origin.rstrip("/") + path for origin in self.origins)

    def prove(self, shown: str, expected: Expected) -> Proof:
        """The DPoP proof of a request, checked.

        Args:
            shown: The ``DPoP`` field.
            expected: The request that it came with.

        Raises:
            OAuthError: ``invalid_dpop_proof``.
        """
        proof = self.proofs.read(shown)
        known = msgspec.structs.replace(expected, since=self.since)
        check_proof(proof, known, self.services.clock.now())
        return proof

    async def spend(self, proof: Proof) -> None:
        """From now on the proof is used; one installation takes it once, whichever node is asked.

        Raises:
            OAuthError: ``invalid_dpop_proof``, it was used before.
            StoreUnavailableError: It is not known whether it was.
        """
        if not await self.nonces.spend(f"dpop:{proof.jkt}", proof.digest):
            raise OAuthError(INVALID, "the proof was used before")
