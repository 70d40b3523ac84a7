"""JSON Web Tokens with joserfc: access tokens that we sign, proofs that others sign."""

from callpoint.adapters.tokens.jose.access import JoseTokens
from callpoint.adapters.tokens.jose.proofs import JoseProofs

__all__ = ["JoseProofs", "JoseTokens"]
