"""JSON Web Tokens with joserfc: access tokens and offline grants that we sign, others' proofs."""

from callpoint.adapters.tokens.jose.access import JoseTokens
from callpoint.adapters.tokens.jose.grants import JoseGrantReader, JoseGrants
from callpoint.adapters.tokens.jose.proofs import JoseProofs

__all__ = ["JoseGrantReader", "JoseGrants", "JoseProofs", "JoseTokens"]
