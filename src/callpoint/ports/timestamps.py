"""Somebody outside who says that bytes existed, and when (RFC 3161)."""

from datetime import datetime
from typing import Protocol

import msgspec


class Stamped(msgspec.Struct, frozen=True):
    """An authority's answer, checked.

    Attributes:
        response: DER of the answer; whoever has the authority's certificates can check it again.
        at: The time that it states.
        by: Who signed it, for people.
    """

    response: bytes
    at: datetime
    by: str


class TimestampAuthority(Protocol):
    """One authority."""

    @property
    def name(self) -> str:
        """For people: its address."""
        ...

    async def stamp(self, message: bytes) -> Stamped:
        """Have the bytes stamped; the answer holds for exactly these bytes and this request.

        Raises:
            UnavailableError: No answer, a refusal, or an answer that does not hold: a wrong
                imprint or nonce, another authority, an expired certificate, a time that is off.
        """
        ...
