"""Telling receivers of signals: signing a token, and the way to whoever it is pushed to."""

from typing import Protocol

import msgspec

from callpoint.domain.security_event import SecurityEvent
from callpoint.domain.signal_stream import SignalStream


class Receipt(msgspec.Struct, frozen=True):
    """What a receiver answered to a pushed token.

    Attributes:
        status: HTTP status.
        body: At most a few kilobytes, without the secret that was sent; what was longer is cut.
    """

    status: int
    body: bytes = b""


class EventTokens(Protocol):
    """Writes security event tokens with the installation's token key."""

    @property
    def algorithm(self) -> str:
        """The JOSE name of the signature algorithm."""
        ...

    def sign(self, claims: SecurityEvent) -> str:
        """The token, compact; the same claims give the same token."""
        ...


class Receivers(Protocol):
    """The way to receivers that are pushed to (RFC 8935)."""

    async def push(self, stream: SignalStream, token: str) -> Receipt:
        """Post one token.

        Raises:
            UnavailableError: No answer in time, or what it wants to be shown is not known here.
        """
        ...
