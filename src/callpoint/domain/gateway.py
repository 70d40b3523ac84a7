"""A gateway between the actor and a target, and how what passes it goes on record."""

from enum import StrEnum

import msgspec

POSTGRESQL = "postgresql"
"""The only protocol that a gateway speaks so far."""


class Evidence(StrEnum):
    """When the record of an action is durable: before it is let through, or beside it."""

    BEFORE = "before"
    WITH = "with"


class Recording(StrEnum):
    """How the text of an action goes on record."""

    FULL = "full"
    HASHED = "hashed"
    REDACTED = "redacted"


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where actors connect instead of to the target.

    Attributes:
        id: Configured name.
        protocol: ``POSTGRESQL``.
        host: Where the actor finds it.
        port: Likewise.
        sslmode: What the actor's client is told to demand of it, in libpq's words.
        principal: The workload whose key a gateway that runs alone signs with; empty: it runs
            inside the server.
    """

    id: str
    protocol: str
    host: str
    port: int
    sslmode: str
    principal: str = ""
