"""The desk of a test world: real signatures with a key that is made from a name."""

from callpoint.adapters.identity.nonces import StoreNonceBook
from callpoint.adapters.tokens.jose import JoseProofs, JoseTokens
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.token_desk import TokenDesk
from tests.fakes.keys import Signer

KEY = "token-key"


def make_desk(services: Services, *origins: str) -> TokenDesk:
    """As bootstrap makes it; spent proofs are in the world's store."""
    return TokenDesk(
        services,
        JoseTokens(Signer(KEY)),
        JoseProofs(),
        StoreNonceBook(services.store, services.clock),
        origins or ("http://callpoint.example",),
    )
