"""Requests by keys: HTTP Message Signatures (RFC 9421), judged at once or, for orders, later."""

from callpoint.adapters.identity.signatures.authenticator import (
    SignatureAuthenticator,
    key_fingerprint,
)
from callpoint.adapters.identity.signatures.claims import parse_signature_input
from callpoint.adapters.identity.signatures.orders import SignedOrderJudge

__all__ = [
    "SignatureAuthenticator",
    "SignedOrderJudge",
    "key_fingerprint",
    "parse_signature_input",
]
