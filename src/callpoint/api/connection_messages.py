"""Bodies of the routes about connections through gateways."""

from datetime import datetime

import msgspec

from callpoint.domain.connection import Offered


class ConnectionWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/activations/{id}/connections``.

    Attributes:
        opening: ``target:role``; empty when only one of the activation is behind a gateway.
        source: The IP address that the gateway will see; empty: the one that this server sees.
        logins: How many connections the client opens with it, at most ``MOST_LOGINS``.
    """

    opening: str = ""
    source: str = ""
    logins: int = 1


class ConnectionView(msgspec.Struct, frozen=True):
    """Where and how to log in, once. Its ``repr`` hides the secret.

    Attributes:
        connection: The user's name.
        secret: The password, for ``logins`` logins.
        dbname: Empty where the protocol has no databases.
        sslmode: What to demand of the gateway, in libpq's words.
        source: The one address that may use it.
    """

    connection: str
    secret: str
    gateway: str
    protocol: str
    host: str
    port: int
    dbname: str
    sslmode: str
    activation: str
    lease: str
    target: str
    role: str
    source: str
    logins: int
    expires_at: datetime

    def __repr__(self) -> str:
        return f"ConnectionView(connection={self.connection!r}, secret=<hidden>)"


def connection_view(made: Offered) -> ConnectionView:
    """As it crosses the wire."""
    gateway, kept = made.gateway, made.connection
    return ConnectionView(
        connection=kept.id,
        secret=made.secret,
        gateway=gateway.id,
        protocol=gateway.protocol,
        host=gateway.host,
        port=gateway.port,
        dbname=made.database,
        sslmode=gateway.sslmode,
        activation=kept.activation,
        lease=kept.lease,
        target=kept.target,
        role=kept.role,
        source=kept.source,
        logins=kept.logins,
        expires_at=kept.expires_at,
    )
