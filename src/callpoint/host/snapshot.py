"""What a use may leave behind on a host: names and digests, which the broker compares.

The list is bounded and known: keys that let in, files that shells and sshd run at login, timers,
accounts and rights, setuid files, and processes of the account that nothing attributes.
"""

from __future__ import annotations

import base64
import binascii
import grp
import hashlib
import json
import os
import pwd
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from callpoint.host import files, processes, sessions

Snapshot = dict[str, list[str]]

NOT_EXAMINED = "not examined"
_FILE_LIMIT = 1 << 20
_MOST_FILES = 2_000
_MOST_WALKED = 50_000
_PATH_LIMIT = 3_800
"""Bytes: with a name of at most 255 after it, still less than the kernel's PATH_MAX."""
_MOST_NAMES = 5_000
_NAME_LIMIT = 300
_KIND_LIMIT = 384 * 1024
"""Bytes of one kind as they are sent: ten kinds fit into one answer (``wire.ANSWER_LIMIT``)."""
_KEY_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")
_LOGIN_FILES = (
    *(".ssh/rc", ".ssh/environment", ".ssh/config"),
    *(".profile", ".bash_profile", ".bash_login", ".bashrc", ".bash_logout", ".bash_aliases"),
    *(".zshenv", ".zprofile", ".zshrc", ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc"),
    *(".login", ".logout", ".config/fish/config.fish", ".pam_environment", ".inputrc", ".vimrc"),
    *(".gitconfig", ".forward", ".netrc"),
)
_USER_FOLDERS = (
    *(".config/systemd/user", ".local/share/systemd/user", ".config/environment.d"),
    *(".config/autostart", ".config/fish/conf.d"),
)
_TIMERS = (
    *("/var/spool/cron/crontabs/{account}", "/var/spool/cron/{account}"),
    "/var/lib/systemd/linger/{account}",
)
_AT_JOBS = ("/var/spool/cron/atjobs", "/var/spool/at")
_SYSTEM = (
    *("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d", "/etc/ssh/ssh_config.d", "/etc/sudoers"),
    *("/etc/sudoers.d", "/etc/crontab", "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily"),
    *("/etc/systemd/system", "/etc/pam.d", "/etc/profile", "/etc/profile.d", "/etc/ld.so.preload"),
    *("/etc/environment", "/etc/rc.local"),
)
_OF_ROOT = (".ssh/authorized_keys", ".bashrc")
_SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - looked at, not written to


def take(account: str, enrolled: set[str]) -> Snapshot:
    """What is there now, by kind; names are at most 300 characters, kinds at most 5,000 names.

    An actor decides how much there is to tell: bounded, or the next one could not be let in.

    Args:
        account: The unix account.
        enrolled: Names of certificates whose processes will be ended with them.
    """
    try:
        user = pwd.getpwnam(account)
    except KeyError:
        return {NOT_EXAMINED: [f"{account} is no account of this host"]}
    found: dict[str, set[str]] = {}
    home = Path(user.pw_dir)
    for kind, name in _all(user, home, enrolled):
        found.setdefault(kind, set()).add(name[:_NAME_LIMIT])
    return {kind: _bounded(names) for kind, names in sorted(found.items())}


def _bounded(names: set[str]) -> list[str]:
    listed, left = [], _KIND_LIMIT
    for name in sorted(names)[:_MOST_NAMES]:
        left -= len(json.dumps(name)) + 1
        if left < 0:
            break
        listed.append(name)
    return [*listed, f"and {len(names) - len(listed)} more"] if len(names) > len(listed) else listed


def _all(user: pwd.struct_passwd, home: Path, enrolled: set[str]) -> Iterator[tuple[str, str]]:
    for name in _KEY_FILES:
        yield from _keys(user.pw_name, home / name)
    for name in _LOGIN_FILES:
        yield from _digest("login file", home / name)
    for name in _USER_FOLDERS:
        yield from _tree("user unit", home / name)
    for pattern in _TIMERS:
        yield from _digest("timer", Path(pattern.format(account=user.pw_name)))
    for name in _AT_JOBS:
        yield from _owned("timer", Path(name), user.pw_uid)
    for name in _SYSTEM:
        yield from _tree("system file", Path(name))
    for name in _OF_ROOT:
        yield from _tree("system file", Path(pwd.getpwuid(0).pw_dir) / name)
    yield from _accounts()
    yield from _privileged_files(user, home)
    yield from loose_processes(user, enrolled)


def _keys(account: str, path: Path) -> Iterator[tuple[str, str]]:
    """Each line on its own, so that one more among many shows, with its options' digest."""
    raw = files.read_regular(path, _FILE_LIMIT)
    if raw is None:
        if os.path.lexists(path):
            yield NOT_EXAMINED, str(path)
        return
    for line in raw.decode(errors="replace").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            yield "authorized key", f"{account}: {_fingerprint(text)} line {_hash(text.encode())}"


def _fingerprint(line: str) -> str:
    for word in line.split():
        try:
            blob = base64.b64decode(word, validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(blob) > 32:  # noqa: PLR2004 - no key is shorter
            digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
            return f"SHA256:{digest}"
    return "no key"


def _digest(kind: str, path: Path) -> Iterator[tuple[str, str]]:
    if not os.path.lexists(path):
        return
    raw = files.read_regular(path, _FILE_LIMIT)
    if raw is None and os.path.isdir(path):  # noqa: PTH112 - false, too, where we may not look
        return
    if raw is None:
        yield NOT_EXAMINED, str(path)
    else:
        yield kind, f"{path} {_hash(raw)}"


def _tree(kind: str, root: Path) -> Iterator[tuple[str, str]]:
    if not os.path.isdir(root) or os.path.islink(root):  # noqa: PTH112, PTH114 - likewise
        yield from _digest(kind, root)
        return
    for number, path in enumerate(_walk(root)):
        if number >= _MOST_FILES:
            yield NOT_EXAMINED, f"{root}: more than {_MOST_FILES} files"
            return
        yield from _digest(kind, path)


def _walk(root: Path) -> Iterator[Path]:
    for folder, names in _folders(root):
        yield from (Path(folder) / name for name in sorted(names))


def _folders(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder with what is in it that is no folder; links are not followed.

    Not ``os.walk``, which calls itself for each level before Python 3.12: a thousand folders, one
    in the other, would end this program.
    """
    todo = [str(root)]
    while todo:
        folder = todo.pop()
        names = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        names.append(entry.name)
        except OSError:
            continue
        yield folder, names


def _too_deep(folder: str) -> bool:
    """Whether the kernel takes no path of what may be below it."""
    return len(os.fsencode(folder)) > _PATH_LIMIT


def _owned(kind: str, folder: Path, uid: int) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*")) if os.path.isdir(folder) else ():  # noqa: PTH112 - likewise
        try:
            if path.lstat().st_uid == uid:
                yield from _digest(kind, path)
        except OSError:
            continue


def _accounts() -> Iterator[tuple[str, str]]:
    for entry in pwd.getpwall():
        yield "unix account", f"{entry.pw_name} uid {entry.pw_uid} {entry.pw_dir} {entry.pw_shell}"
    for group in grp.getgrall():
        for member in group.gr_mem:
            yield "group member", f"{group.gr_name}: {member}"


def _privileged_files(user: pwd.struct_passwd, home: Path) -> Iterator[tuple[str, str]]:
    """Setuid and setgid files where the account may write: a door back to its rights."""
    left = _MOST_WALKED
    roots = [home, *map(Path, _SHARED_FOLDERS)]
    for root in roots if home != Path("/") else roots[1:]:
        for folder, names in _folders(root):
            left -= len(names) + 1
            if _too_deep(folder):
                yield NOT_EXAMINED, f"{root}: folders nested too deep"
                continue
            if left < 0:
                yield (
                    NOT_EXAMINED,
                    f"{root}: more than {_MOST_WALKED} files in {user.pw_name}'s places",
                )
                return
            for name in names:
                yield from _privileged(Path(folder) / name)


def _privileged(path: Path) -> Iterator[tuple[str, str]]:
    try:
        seen = path.lstat()
    except OSError:
        return
    if stat.S_ISREG(seen.st_mode) and seen.st_mode & (stat.S_ISUID | stat.S_ISGID):
        yield "setuid file", f"{path} uid {seen.st_uid} mode {stat.S_IMODE(seen.st_mode):o}"


def loose_processes(user: pwd.struct_passwd, enrolled: set[str]) -> Iterator[tuple[str, str]]:
    """Of the account, and of no session: what cleaned or forged its environment is seen here.

    Not for root, whose processes are the whole system's.
    """
    if user.pw_uid == 0:
        return
    table = processes.table()
    carried = sessions.names_of(table)
    own = sessions.spared(table)
    for process in table.values():
        if process.uid != user.pw_uid or process.pid in own:
            continue
        served = any(_serves(p) for p in (process, *processes.above(process.pid, table)))
        if not served and not carried.get(process.pid, set()) & enrolled:
            began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(processes.started_at(process)))
            yield "process", f"{user.pw_name}: {process.name} pid {process.pid} since {began}"


def _serves(process: processes.Process) -> bool:
    """A connection of the true sshd: of that name are also programs that an actor copied."""
    is_servers = process.is_sshd and process.uid == os.geteuid()
    return is_servers and not process.is_listener


def _hash(raw: bytes) -> str:
    return "sha256:" + hashlib.sha256(raw).hexdigest()[:24]
