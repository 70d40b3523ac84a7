"""A connection secret: one login at a gateway, from one address, within a minute.

It stands where a wire protocol cannot carry a signature or a DPoP proof. Here is only what checks
it: the secret itself is handed to the requester and kept nowhere. Who runs a client that opens
several connections at once says how many when asking.
"""

import ipaddress
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from callpoint.domain import canonical
from callpoint.domain.errors import RequestError
from callpoint.domain.gateway import Gateway
from callpoint.domain.record import Index
from callpoint.domain.scram import Verifier

LIFETIME = timedelta(seconds=60)
"""A secret that nobody used by then is worth nothing."""

KEPT_FOR = timedelta(minutes=15)
"""Kept so long after it expired, so that who comes late or twice is told so, and is on record."""

ID_LENGTH = 20
"""Characters of ``[a-z0-9]``, a letter first: 103 bits, and a user's name in any protocol."""

SECRET_SIZE = 24
"""Random bytes of a secret; it is written in base64url, 32 characters."""


MOST_LOGINS = 100
"""More than any role lets in at a time."""


class ConnectionState(StrEnum):
    """Whether the secret was used up."""

    OFFERED = "offered"
    SPENT = "spent"


class Connection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored row of one connection secret. It is no evidence: the log has ``digest``.

    Attributes:
        id: What the client gives as the user's name.
        lease: Handle of the credential that the gateway will use.
        source: The address that may use it, as ``plain_address`` writes it.
        verifier: Checks the secret.
        expires_at: By the store's clock.
        strength: How the principal authenticated when it fetched the secret.
        acts_for: For whom it acted then.
        logins: How many it is good for.
        spent: How many there were.
        spent_at: When the last one was, by the store's clock.
    """

    id: str
    activation: str
    lease: str
    principal: str
    target: str
    role: str
    gateway: str
    source: str
    verifier: Verifier
    expires_at: datetime
    strength: str
    acts_for: tuple[str, ...]
    logins: int = 1
    spent: int = 0
    spent_at: datetime | None = None
    version: int = 0

    @property
    def is_spent(self) -> bool:
        """Whether no login is left."""
        return self.spent >= self.logins

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index(
            state=ConnectionState.SPENT if self.is_spent else ConnectionState.OFFERED,
            parent=self.activation,
            subject=self.gateway,
            due_at=self.expires_at + KEPT_FOR,
        )

    def stored(self, version: int) -> "Connection":
        return msgspec.structs.replace(self, version=version)

    def digest(self) -> str:
        """SHA-256 hex of all that never changes: who writes rows by hand cannot offer one."""
        return canonical.digest(msgspec.structs.replace(self, spent=0, spent_at=None, version=0))


def plain_address(text: str) -> str:
    """An IP address in its one spelling; IPv4 inside IPv6 is IPv4.

    Raises:
        RequestError: It is none.
    """
    try:
        # The zone of "fe80::1%eth0" is each machine's own word.
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError as error:
        raise RequestError(
            f"{text[:80]!r} is not an IP address",
            way_out="give the address that the gateway will see, for instance 192.0.2.7",
        ) from error
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)


def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether a plain address is in one of the networks; without networks every one is."""
    found = ipaddress.ip_address(address)
    return not networks or any(found in ipaddress.ip_network(network) for network in networks)


class Offered(msgspec.Struct, frozen=True):
    """Where and how to log in, once. Its ``repr`` hides the secret.

    Attributes:
        connection: Its id is the user's name.
        secret: The password.
        database: What the credential is for, in the target's words; empty when it has no such.
    """

    connection: Connection
    secret: str
    gateway: Gateway
    database: str

    def __repr__(self) -> str:
        return f"Offered(connection={self.connection.id!r}, secret=<hidden>)"
