"""What the owner decided, in ``host.json``: whose installation, which accounts, for how long."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from callpoint.host.wire import is_installation

DEFAULT = "/etc/callpoint/host.json"
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_LONGEST = 7 * 86_400
_PORTS = 65_536


class SettingsError(Exception):
    """``host.json`` cannot be used; the message says what to write."""


class HostSettings(NamedTuple):
    """One installation's place on this host.

    Attributes:
        installation: The only one whose handles are accepted.
        accounts: The unix accounts that certificates may open; no other is ever touched.
        longest: The longest lifetime of a certificate, in seconds.
        state: The folder that this program alone writes to.
        ca: The file that TrustedUserCAKeys names.
        ports: Where sshd listens.
        log: ``journal``, or the file that sshd writes to.
        sshd: The server's program, asked for its effective configuration.
        sshd_config: Its configuration file; empty for its own default.
        keygen: ``ssh-keygen``, which writes and reads revocation lists as sshd does.
        revoked: A folder of the owner's own revoked keys (``*.pub``), kept in the list as well.
    """

    installation: str
    accounts: tuple[str, ...]
    longest: int
    state: Path
    ca: Path
    ports: tuple[int, ...] = (22,)
    log: str = "journal"
    sshd: str = "/usr/sbin/sshd"
    sshd_config: str = ""
    keygen: str = "/usr/bin/ssh-keygen"
    revoked: Path = Path("/etc/callpoint/revoked")

    @property
    def principals(self) -> Path:
        """What AuthorizedPrincipalsFile names, with ``%u`` after it: one file per account."""
        return self.state / "principals"

    @property
    def revocations(self) -> Path:
        """What RevokedKeys names."""
        return self.state / "revoked.krl"


def load(path: Path) -> HostSettings:
    """Read ``host.json``.

    Raises:
        SettingsError: It is missing, malformed, or can be written by somebody else.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise SettingsError(f"others may write to {path}: chmod go-w")
        given = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(given, dict):
        raise SettingsError(f"{path} holds no object")
    unknown = sorted(set(given) - set(HostSettings._fields))
    if unknown:
        raise SettingsError(f"{path} has unknown keys: {', '.join(unknown)}")
    try:
        return _checked(given)
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _checked(given: dict[str, Any]) -> HostSettings:
    accounts = tuple(given["accounts"])
    longest = given["longest"]
    ports = tuple(given.get("ports", (22,)))
    if not is_installation(given["installation"]):
        raise ValueError("installation is 6 of a-z and 0-9")
    if not accounts or not all(_ACCOUNT.fullmatch(name) for name in accounts):
        raise ValueError("accounts is a list of unix accounts")
    if not isinstance(longest, int) or not 0 < longest <= _LONGEST:
        raise ValueError(f"longest is a number of seconds, at most {_LONGEST}")
    if not ports or not all(isinstance(port, int) and 0 < port < _PORTS for port in ports):
        raise ValueError("ports is a list of TCP ports")

    def word(key: str) -> str:
        return str(given.get(key, HostSettings._field_defaults[key]))

    found = HostSettings(
        installation=given["installation"],
        accounts=accounts,
        longest=longest,
        state=Path(given["state"]),
        ca=Path(given["ca"]),
        ports=ports,
        log=word("log"),
        sshd=word("sshd"),
        sshd_config=word("sshd_config"),
        keygen=word("keygen"),
        revoked=Path(word("revoked")),
    )
    if not all(path.is_absolute() for path in (found.state, found.ca, found.revoked)):
        raise ValueError("state, ca and revoked are absolute paths")
    return found
