"""What an SSH target's configuration says, checked once.

Everything that ends up in sshd's configuration or in a forced command is held to a narrow form
here, so that neither can be bent by a configuration line.
"""

import re
from datetime import timedelta
from ipaddress import ip_network

import msgspec

from callpoint.adapters.targets.ssh.keys import read_private, read_public
from callpoint.domain.errors import ConfigError
from callpoint.domain.ids import is_installation
from callpoint.host.wire import PREFIX

PERMITS = ("pty", "port-forwarding")
LONGEST = timedelta(hours=8)
"""No certificate is admitted for longer, whatever Callpoint asks: a constant of the owner's."""

_ACCOUNT = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_COMMAND = re.compile(r"/[A-Za-z0-9_./:=@,+ -]{0,199}")
_PROGRAM = re.compile(r"/[A-Za-z0-9_./-]{1,199}")
_PORTS = 65_536
_MOST_HOST_KEYS = 10


class SshRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target role.

    Attributes:
        account: The unix account that it opens.
        command: The one command that it may run, with fixed arguments; empty for a shell.
        permit: What the certificate permits besides: words of ``PERMITS``.
    """

    account: str
    command: str = ""
    permit: tuple[str, ...] = ()


class SshSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target.

    Attributes:
        name: The target's configured name.
        installation: The installation's id; every account's name begins with ``cp-`` and it.
        host: Where the broker connects to.
        host_keys: Public keys of the host, ``ssh-ed25519 AAAA…``: pinned, never learnt.
        ca_key: The CA's private key, OpenSSH or PEM text.
        broker_key: The broker's private key, likewise.
        roles: By name.
        port: Where sshd listens.
        broker: The unix account that the broker logs in to.
        broker_sources: Networks that the broker connects from; empty for any.
        advertise_host: What the actor connects to; empty for ``host``. Likewise the port (0).
        program: The host side's program on the host.
    """

    name: str
    installation: str
    host: str
    host_keys: tuple[str, ...]
    ca_key: str
    broker_key: str
    roles: dict[str, SshRole]
    port: int = 22
    broker: str = "callpoint"
    broker_sources: tuple[str, ...] = ()
    advertise_host: str = ""
    advertise_port: int = 0
    program: str = "/usr/local/sbin/callpoint-host"

    def __post_init__(self) -> None:
        self._must(is_installation(self.installation), "installation", "6 of a-z0-9")
        self._must(bool(_HOST.fullmatch(self.host)), "host", "a host name or an address")
        self._must(0 < self.port < _PORTS, "port", "1 to 65535")
        self._must(
            0 < len(self.host_keys) <= _MOST_HOST_KEYS and all(map(read_public, self.host_keys)),
            "host_key",
            'the host\'s public keys, "ssh-ed25519 AAAA…", as /etc/ssh/*.pub has them',
        )
        self._must(read_private(self.ca_key) is not None, "ca_key", "an unencrypted private key")
        self._must(
            read_private(self.broker_key) is not None, "broker_key", "an unencrypted private key"
        )
        self._must(bool(_ACCOUNT.fullmatch(self.broker)), "broker", "a unix account")
        self._must(bool(_PROGRAM.fullmatch(self.program)), "program", "an absolute path")
        self._must(
            all(map(_is_network, self.broker_sources)), "broker_sources", "networks as 10.0.0.0/8"
        )
        self._must(bool(self.roles), "roles", "at least one role with its account")
        for name, role in self.roles.items():
            self._check_role(f"roles.{name}", role)

    def _check_role(self, key: str, role: SshRole) -> None:
        self._must(bool(_ACCOUNT.fullmatch(role.account)), f"{key}.account", "a unix account")
        self._must(
            not role.command or bool(_COMMAND.fullmatch(role.command)),
            f"{key}.command",
            "an absolute path and plain arguments: letters, digits, _ . / : = @ , + -",
        )
        self._must(set(role.permit) <= set(PERMITS), f"{key}.permit", " or ".join(PERMITS))

    def __repr__(self) -> str:
        # It holds two private keys (I14).
        return f"SshSettings(name={self.name!r}, host={self.host!r}, port={self.port})"

    @property
    def account_prefix(self) -> str:
        """What every account's name of this installation begins with."""
        return PREFIX + self.installation

    @property
    def accounts(self) -> tuple[str, ...]:
        """The unix accounts that roles open, sorted."""
        return tuple(sorted({role.account for role in self.roles.values()}))

    @property
    def advertised(self) -> tuple[str, int]:
        """Host and port that the actor connects to."""
        return self.advertise_host or self.host, self.advertise_port or self.port

    def _must(self, holds: bool, key: str, way_out: str) -> None:  # noqa: FBT001 - an assertion
        if not holds:
            raise ConfigError(
                f"{key} is not valid for an SSH target",
                key=f"targets.{self.name}.{key}",
                way_out=f"write {way_out}",
            )


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
