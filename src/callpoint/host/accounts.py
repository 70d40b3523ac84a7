"""The unix accounts that can begin a session here, or could become root: for the inventory."""

from __future__ import annotations

import grp
import os
import pwd
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from callpoint.host import files

_NO_SHELL = frozenset({"nologin", "false", "sync", "shutdown", "halt"})
_ADMIN_GROUPS = frozenset({"sudo", "wheel", "admin", "root", "adm", "docker", "lxd", "disk"})
_LASTLOG = Path("/var/log/lastlog")
_LASTLOG_ENTRY = 4 + 32 + 256
_SHADOW_FIELDS = 3
_DAY = 86_400
_KEYS_LIMIT = 1 << 20
_MOST = 5_000


def all_accounts() -> list[dict[str, Any]]:
    """One object for each, with the fields of ``_account``.

    Moments are epoch seconds; null means that this host does not keep them.
    """
    shadow = _shadow()
    powers = _powers()
    found = []
    for entry in pwd.getpwall():
        can = Path(entry.pw_shell or "/bin/sh").name not in _NO_SHELL
        its = sorted({*powers.get(entry.pw_name, ()), *(["uid 0"] if entry.pw_uid == 0 else [])})
        if can or its:
            found.append(_account(entry, can_log_in=can, powers=its, shadow=shadow))
    return found[:_MOST]


def _account(
    entry: pwd.struct_passwd,
    *,
    can_log_in: bool,
    powers: list[str],
    shadow: dict[str, tuple[str, int | None]] | None,
) -> dict[str, Any]:
    keys, changed = _keys(Path(entry.pw_dir))
    hashed, since = (shadow or {}).get(entry.pw_name, ("", None))
    return {
        "name": entry.pw_name,
        "uid": entry.pw_uid,
        "shell": can_log_in,
        "powers": powers,
        "keys": keys,
        "keys_changed": changed,
        "password": None if shadow is None else bool(hashed) and hashed[0] not in "!*",
        "password_changed": since,
        "last_login": _last_login(entry.pw_uid),
    }


def _keys(home: Path) -> tuple[int, int | None]:
    """How many keys let in to it, and when their files changed last."""
    count, changed = 0, None
    for name in ("authorized_keys", "authorized_keys2"):
        path = home / ".ssh" / name
        raw = files.read_regular(path, _KEYS_LIMIT)
        if raw is not None:
            lines = (line.strip() for line in raw.splitlines())
            count += sum(bool(line) and not line.startswith(b"#") for line in lines)
            changed = max(changed or 0, int(path.stat().st_mtime))
    return count, changed


def _shadow() -> dict[str, tuple[str, int | None]] | None:
    """Hash and day of the last change; None when it may not be read. No hash leaves this module."""
    try:
        lines = Path("/etc/shadow").read_text(errors="replace").splitlines()
    except OSError:
        return None
    fields = (line.split(":") for line in lines)
    return {
        row[0]: (row[1], int(row[2]) * _DAY if row[2].isdecimal() else None)
        for row in fields
        if len(row) >= _SHADOW_FIELDS
    }


def _powers() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for group in grp.getgrall():
        if group.gr_name in _ADMIN_GROUPS:
            for name in _members(group):
                found.setdefault(name, set()).add(f"group {group.gr_name}")
    for name, line in _sudo_lines():
        found.setdefault(name, set()).add(f"sudo: {line}"[:100])
    return found


def _members(group: grp.struct_group) -> Iterator[str]:
    yield from group.gr_mem
    yield from (entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == group.gr_gid)


def _sudo_lines() -> Iterator[tuple[str, str]]:
    """Lines of sudoers that begin with an account; groups are told by ``_ADMIN_GROUPS``."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    folder = Path("/etc/sudoers.d")
    for path in [Path("/etc/sudoers"), *(sorted(folder.glob("*")) if folder.is_dir() else ())]:
        raw = files.read_regular(path, _KEYS_LIMIT) or b""
        for line in raw.decode(errors="replace").splitlines():
            name, _, rest = line.strip().partition(" ")
            if name in known and "=" in rest:
                yield name, rest.partition("=")[2].strip()


def _last_login(uid: int) -> int | None:
    """From ``lastlog``, where the distribution still keeps it; 0: it has no login at a terminal."""
    try:
        descriptor = os.open(_LASTLOG, os.O_RDONLY)
    except OSError:
        return None
    try:
        raw = os.pread(descriptor, 4, uid * _LASTLOG_ENTRY)
    finally:
        os.close(descriptor)
    return int(struct.unpack("=I", raw)[0]) if len(raw) == 4 else 0  # noqa: PLR2004 - its size
