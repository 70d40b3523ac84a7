"""How a gateway for PostgreSQL listens, and what a connection may cost."""

from datetime import timedelta

import msgspec

from callpoint.domain.errors import ConfigError
from callpoint.ports.authority import LOSS

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one connection, or all together, may cost.

    Attributes:
        connections: At a time, those that have not logged in yet included.
        login: From the first byte to the target's first word; slower clients are let go.
        stall: So long a client may leave the gateway's output unread.
        frame: Bytes of one message of a client (Bind and CopyData; texts have 64 KiB anyway).
        text_frame: Bytes of one Query or Parse message that are read, to be refused politely.
        backlog: Messages of one client that wait for the target's answer.
        portals: Bound and not yet finished, of one client.
        stale: At most so old facts about the target's catalogue are used outside transactions.
    """

    connections: int = 500
    login: timedelta = timedelta(seconds=10)
    stall: timedelta = timedelta(seconds=60)
    frame: int = 4 * 1024 * 1024
    text_frame: int = 256 * 1024
    backlog: int = 1_024
    portals: int = 256
    stale: timedelta = timedelta(seconds=5)


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One listener.

    Attributes:
        name: The gateway's configured name.
        host: Address to listen on.
        port: TCP port; 0 takes a free one (tests).
        certificate: PEM file, with its chain.
        key: PEM file.
        target_roots: PEM file of the authorities that vouch for targets; empty: the system's.
        search_path: Schemas that every session is pinned to.
        allow_plaintext: Clients need no TLS although others can reach the listener.
        lost_after: Without an answer of the authority for so long every session is cut.
        limits: What connections may cost.
    """

    name: str
    host: str = "127.0.0.1"
    port: int = 5433
    certificate: str = ""
    key: str = ""
    target_roots: str = ""
    search_path: tuple[str, ...] = ("public",)
    allow_plaintext: bool = False
    lost_after: timedelta = LOSS
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ConfigError("a certificate needs its key, and a key its certificate")
        if not self.certificate and not self.plaintext_is_fine:
            raise ConfigError(
                f"the gateway {self.name} listens on {self.host} and has no certificate",
                way_out="give it certificate and key, or let it listen on 127.0.0.1",
            )

    @property
    def plaintext_is_fine(self) -> bool:
        """Whether a client may stay without TLS."""
        return self.allow_plaintext or self.host in _LOOPBACK
