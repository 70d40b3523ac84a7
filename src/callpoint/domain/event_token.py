"""Events of activation tokens. A token itself is never in the log, nor is its id."""

from datetime import datetime

from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision
from callpoint.domain.event_form import Event


class TokenIssued(Event, frozen=True, kw_only=True, tag="token:issued"):
    """An activation token is about to leave; ``actor`` holds it.

    Attributes:
        token: SHA-256 of its claims as they are signed, hex.
        audience: The target role that it is for.
        binding: ``jkt`` (a DPoP key) or ``x5t#S256`` (a TLS client certificate).
        thumbprint: SHA-256 of what it is bound to, base64url.
        key: The public key with which its holder authenticated, base64.
        key_id: How that key is named.
        strength: How strongly its holder authenticated.
        acts_for: Principals for whom the holder acts, nearest first.
        parent: Of the token that was exchanged for it, SHA-256 as above; empty: of none.
        delegate: Who may exchange it to act for its holder; empty: nobody.
    """

    token: str
    lease: str
    audience: str
    expires_at: datetime
    binding: str
    thumbprint: str
    key: str
    key_id: str
    strength: str
    decision: Decision
    asked: Asked
    acts_for: tuple[str, ...] = ()
    parent: str = ""
    delegate: str = ""


class TokenRevoked(Event, frozen=True, kw_only=True, tag="token:revoked"):
    """Its holder gave it up before it expired."""

    token: str
    lease: str
