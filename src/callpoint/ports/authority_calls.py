"""The authority's questions and answers as they cross a network: JSON, by both sides' own types.

What is not here crosses as the port has it: ``Arrival``, ``Greeting``, ``Verdict``, ``Portion``,
``Granted``, ``Told``, ``Taken``.
"""

import msgspec

from callpoint.domain.allowance import Used
from callpoint.ports.authority import Deed, Opened, Outcome, Standing
from callpoint.ports.credential import Credential

MAX_BODY = 1 << 18
"""Longest body of a call, bytes: a deed with the text that may go on record and what it touches."""

MAX_SESSIONS = 500
"""Sessions in one question how they stand."""

MAX_GRANTS = 50
"""Sessions in one question for offline grants."""

MAX_TOLD = 50
"""Entries of a journal in one call."""

MAX_CUT = 1 << 12
"""Longest line of the stream of orders, bytes."""

MAX_ANSWER = 1 << 22
"""Longest answer that a gateway reads, bytes."""

PROOF = "authentication-info"
"""The field of an answer that has its MAC, ``mac=…`` (RFC 9110, 11.6.3)."""

PREFIX = "/v1/gateways"
HIDDEN = Credential(username="", secret="")
"""In the place of a credential that is sealed beside it."""


class LineWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST …/{gateway}/line``, signed; ``seal_to``: a fresh age recipient of the gateway's."""

    seal_to: str


class Line(msgspec.Struct, frozen=True):
    """What was opened.

    Attributes:
        box: The line's key, sealed to the gateway.
        signed_by: The installation's token key: raw Ed25519 public key, base64.
        signature: By it, of ``gateway_line.opening``; base64.
    """

    line: str
    box: bytes
    signed_by: str
    signature: str


class Ordered(msgspec.Struct, frozen=True):
    """A line of the answer of ``GET …/{gateway}/cuts``.

    Attributes:
        order: A ``Cut``, or null as a sign of life; exact bytes.
        mac: See ``gateway_line.order_mac``.
    """

    order: msgspec.Raw
    mac: str


class Greet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST …/{gateway}/greet``."""

    connection: str
    source: str


class SealedCredential(msgspec.Struct, frozen=True):
    """What is in the box of ``Admitted``; the session's name, so that no other box fits."""

    session: str
    credential: Credential

    def __repr__(self) -> str:
        return f"SealedCredential(session={self.session!r}, credential=<hidden>)"


class Admitted(msgspec.Struct, frozen=True):
    """The answer of ``POST …/{gateway}/open``, which takes an ``Arrival``.

    Attributes:
        opened: With ``HIDDEN`` for a credential.
        box: A ``SealedCredential``, sealed to the line's recipient: whoever ends TLS in front of
            the server does not see it.
    """

    opened: Opened
    box: bytes


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST …/{gateway}/decide``."""

    session: str
    deed: Deed


class Draw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST …/{gateway}/draw``."""

    session: str
    number: int
    used: Used


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST …/{gateway}/report``."""

    session: str
    outcome: Outcome


class Reported(msgspec.Struct, frozen=True):
    """How the session stands after it."""

    standing: Standing


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST …/{gateway}/end``."""

    session: str
    reason: str


class Ended(msgspec.Struct, frozen=True):
    """It is over."""

    session: str


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST …/{gateway}/standing``; at most ``MAX_SESSIONS``."""

    sessions: tuple[str, ...]


class Standings(msgspec.Struct, frozen=True):
    """One for each session that was asked for."""

    standings: dict[str, Standing]


class AskGrants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST …/{gateway}/grants``; at most ``MAX_GRANTS``."""

    journal: str
    sessions: tuple[str, ...]
