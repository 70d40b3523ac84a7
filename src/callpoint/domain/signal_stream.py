"""A signal stream: who outside is told that access began and ended (OpenID Shared Signals)."""

from enum import StrEnum

import msgspec


class SignalKind(StrEnum):
    """What a receiver can be told: the event types of CAEP 1.0 that we have something to say in."""

    SESSION_ESTABLISHED = "session-established"
    SESSION_REVOKED = "session-revoked"
    CREDENTIAL_CHANGE = "credential-change"


class Delivery(StrEnum):
    """How signals reach the receiver."""

    PUSH = "push"
    POLL = "poll"


EVERY_KIND = tuple(SignalKind)


class SignalStream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One receiver, as the configuration names it.

    Attributes:
        id: Configured name; the ``stream_id`` of the protocol.
        delivery: Push (RFC 8935) or poll (RFC 8936).
        audience: ``aud`` of what it gets: its own name for itself.
        url: Where pushed signals are posted; empty for poll.
        authorization_env: Environment variable with the ``Authorization`` field that the receiver
            wants; empty for none.
        receiver: Principal that may fetch this stream and ask about it; empty for none.
        token_sha256: Hex SHA-256 of a bearer token that may do the same; empty for none.
        events: Which kinds it gets.
        users: Principal to the address by which the receiver knows it. Who is not listed is named
            by the principal's id alone.
    """

    id: str
    delivery: Delivery
    audience: str
    url: str = ""
    authorization_env: str = ""
    receiver: str = ""
    token_sha256: str = ""
    events: tuple[SignalKind, ...] = EVERY_KIND
    users: dict[str, str] = {}
