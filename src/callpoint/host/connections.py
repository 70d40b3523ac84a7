"""Connections that sshd serves now, and whose they are.

A connection that runs a command has processes that carry SSH_USER_AUTH, a file with the very
certificate. A bare one (``ssh -N``, or the master of shared connections between two uses) has none:
sshd's log names the key id together with the client's address and port, which the connection's
socket has too.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from callpoint.host import files
from callpoint.host.processes import Process, Table, above, with_children
from callpoint.host.settings import HostSettings

_AUTH_FILE = re.compile(r"/tmp/sshauth\.[A-Za-z0-9]{6,64}")  # noqa: S108 - sshd's own place
_AUTH_LIMIT = 65_536
_AUTH_WORDS = 3  # method, key type, key
_LOG_LIMIT = 8 * 1024 * 1024
_LOG_SECONDS = 5
_ACCEPTED = re.compile(
    # Only where a message begins: sshd logs the names that strangers ask for, spaces included.
    r"(?:(?:[A-Z][a-z]{2} +\d+ [\d:]+|\d{4}-\S+) (?!sshd\[)\S+ sshd(?:-session)?\[\d+\]: )?"
    r"Accepted publickey for (\S+) from (\S+) port (\d+) ssh2(?:: (.*))?",
    re.ASCII,
)
_KEY_ID = re.compile(r"-CERT \S+ ID (\S+) \(serial \d+\)", re.ASCII)
_ESTABLISHED = "01"
_ADDRESS_V4 = 8

Peer = tuple[str, int]
"""Client's address and port."""

Logins = Mapping[Peer, AbstractSet[str]]
"""The key ids that sshd let in from there."""


class Connection(NamedTuple):
    """One authenticated connection.

    Attributes:
        top: The sshd process that ends it with all that it serves.
        account: The unix account.
        pids: All processes of it that still hang on it.
        certificates: Key ids that they carry; more than one when somebody forges.
        others: They carry a key that is no certificate, so it is somebody else's.
        peer: None when the socket cannot be read.
    """

    top: Process
    account: str
    pids: frozenset[int]
    certificates: frozenset[str]
    others: bool
    peer: Peer | None


def is_auth_file(path: str) -> bool:
    """Whether sshd makes its SSH_USER_AUTH files there (session.c, a constant of OpenSSH)."""
    return _AUTH_FILE.fullmatch(path) is not None


def key_id_in(path: str) -> str | None:
    """The key id of the certificate in an SSH_USER_AUTH file.

    Empty: it was another key. None: the file is gone, holds something else, or is none of sshd's:
    the path is any process's to choose, and this program has rights that the process has not.
    """
    raw = files.read_regular(Path(path), _AUTH_LIMIT) if is_auth_file(path) else None
    words = (raw or b"").decode("ascii", errors="replace").split()
    if len(words) < _AUTH_WORDS or words[0] != "publickey":
        return None
    return key_id(words[2]) if "-cert-v01@openssh.com" in words[1] else ""


def key_id(blob: str) -> str | None:
    """The key id of an Ed25519 certificate, base64 (PROTOCOL.certkeys); None for anything else."""
    try:
        rest = base64.b64decode(blob, validate=True)
        for _ in range(3):  # type, nonce, public key
            _, rest = _string(rest)
        rest = rest[12:]  # serial, kind
        return _string(rest)[0].decode("ascii")
    except (binascii.Error, ValueError, struct.error):
        return None


def _string(raw: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack_from(">I", raw)
    if length > len(raw) - 4:
        raise ValueError("cut short")
    return raw[4 : 4 + length], raw[4 + length :]


def find(settings: HostSettings, table: Table, names: Mapping[int, set[str]]) -> list[Connection]:
    """Connections of the open accounts.

    Args:
        settings: Of this host.
        table: The processes.
        names: Key ids by pid, of processes that carry some; empty for another key.
    """
    tops = {_top(process, table).pid for process in table.values() if process.logged_in}
    established = _established()
    found = []
    for top in (table[pid] for pid in sorted(tops)):
        pids = frozenset(with_children([top.pid], table))
        account = next((table[p].logged_in for p in sorted(pids) if table[p].logged_in), "")
        held = {inode for pid in pids if table[pid].is_sshd for inode in _sockets(pid)}
        ends = [established[inode] for inode in sorted(held & established.keys())]
        if account not in settings.accounts or _elsewhere(settings, ends) or _is_roots(top):
            continue
        carried = {name for pid in pids for name in names.get(pid, ())}
        found.append(
            Connection(
                top=top,
                account=account,
                pids=pids,
                certificates=frozenset(name for name in carried if name),
                others="" in carried,
                peer=next((peer for _, peer in ends), None),
            )
        )
    return found


def _top(process: Process, table: Table) -> Process:
    """The uppermost sshd that serves an account.

    The listener serves none, so it is never taken for a connection, whatever it shows.
    """
    top = process
    for parent in above(process.pid, table):
        if parent.is_listener or not (parent.logged_in or parent.is_monitor):
            break
        top = parent
    return top


def _elsewhere(settings: HostSettings, ends: list[tuple[int, Peer]]) -> bool:
    """Another sshd's, on another port."""
    return bool(ends) and all(port not in settings.ports for port, _ in ends)


def _is_roots(top: Process) -> bool:
    """The system's sshd, seen by an ordinary user's host side: it tells no port, and is not ours.

    That user's own sshd can be looked into. Root looks into everything, so nothing is left out.
    """
    return os.geteuid() != 0 and not os.access(f"/proc/{top.pid}/fd", os.R_OK)


def _sockets(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names only, thousands of times
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")  # noqa: PTH115 - likewise
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _established() -> dict[str, tuple[int, Peer]]:
    """Inode to local port and peer, of TCP connections."""
    found = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(path).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _ESTABLISHED:
                port = int(fields[1].rpartition(":")[2], 16)
                address, _, remote = fields[2].rpartition(":")
                found[fields[9]] = (port, (_address(address), int(remote, 16)))
    return found


def _address(text: str) -> str:
    """The kernel's hexadecimal words (in the machine's byte order) as sshd writes an address."""
    import ipaddress  # noqa: PLC0415 - only here, and it takes a session's start 5 ms

    words = [int(text[n : n + 8], 16) for n in range(0, len(text), 8)]
    raw = b"".join(struct.pack("=I", word) for word in words)
    if len(text) == _ADDRESS_V4:
        return str(ipaddress.IPv4Address(raw))
    address = ipaddress.IPv6Address(raw)
    return str(address.ipv4_mapped or address)


def logins(settings: HostSettings, since: float) -> Logins | None:
    """From sshd's log: who logged in from where. Empty for a key that is no certificate.

    None: the log cannot be read, so nothing is known of bare connections. All logins from one port
    count: in a log that others may write to, a later line must not hide a true one.
    """
    lines = _journal(since) if settings.log == "journal" else _file(Path(settings.log))
    if lines is None:
        return None
    found: dict[Peer, set[str]] = {}
    for line in lines:
        login = _ACCEPTED.match(line)
        if login is not None:
            named = _KEY_ID.search(login[4] or "")
            peer = login[2], int(login[3])
            found.setdefault(peer, set()).add(named[1] if named else "")
    return found


def _journal(since: float) -> list[str] | None:
    """Logins only, as they come: failed ones, which strangers make at will, push none out."""
    command = ["journalctl", "-q", "-o", "cat", f"--since=@{int(since)}", "_UID=0"]
    command += ["SYSLOG_IDENTIFIER=sshd", "SYSLOG_IDENTIFIER=sshd-session"]
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
        ) as journal:
            patience = threading.Timer(_LOG_SECONDS, journal.kill)
            patience.start()
            try:
                found = [line for line in journal.stdout or () if _ACCEPTED.match(line)]
            finally:
                patience.cancel()
    except OSError:
        return None
    return found if journal.returncode == 0 else None


def _file(path: Path) -> list[str] | None:
    """The newest part; what is older than that is told apart by its processes, or not at all."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LOG_LIMIT))
            return file.read(_LOG_LIMIT).decode(errors="replace").splitlines()
    except OSError:
        return None
