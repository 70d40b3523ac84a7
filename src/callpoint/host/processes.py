"""The processes of this host, as ``/proc`` tells: read once, then reasoned about.

Nothing here trusts a name that a process gives itself, except where the worst that it leads to is
that this process is ended.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MARK = "CALLPOINT_SESSION"
"""Set by ``wrapper`` to the name of the certificate; inherited by all that it starts."""

_PROC = Path("/proc")
_ENVIRON_LIMIT = 2 * 1024 * 1024
_NO_AUDIT = {"4294967295", "0", ""}
_SCOPE = re.compile(
    # From the root on: below its own manager a user makes control groups of any name.
    r":/user\.slice/user-[0-9]+\.slice/(session-[A-Za-z0-9_.-]+\.scope)(?:/|$)",
    re.MULTILINE,
)
_DEAD = "ZX"
_SERVES = re.compile(r"sshd(?:-session)?: ([^\s@\[]+)(?:@\S+)?")


class Process(NamedTuple):
    """One process, of one moment.

    Attributes:
        start: When it started, in clock ticks since boot: with the pid, its identity.
        session: POSIX session id, which ``setsid`` changes.
        name: The kernel's name for its program, at most 15 characters.
        title: What it shows as its command line.
        auth: SSH_USER_AUTH in the environment that it was started with.
        mark: CALLPOINT_SESSION there.
        audit: Audit session, which nothing changes after login; empty where there is none.
        scope: systemd's scope of its login session.
    """

    pid: int
    parent: int
    start: int
    uid: int
    session: int
    name: str
    title: str
    auth: str = ""
    mark: str = ""
    audit: str = ""
    scope: str = ""

    @property
    def is_sshd(self) -> bool:
        """Of an OpenSSH server: ``sshd``, and from 9.8 ``sshd-session`` and ``sshd-auth``."""
        return self.name.startswith("sshd")

    @property
    def is_listener(self) -> bool:
        """The server itself, from which all connections come; an actor cannot show such a one."""
        return self.is_sshd and self.uid == os.geteuid() and "[listener]" in self.title

    @property
    def logged_in(self) -> str:
        """The account whose connection this sshd process serves; empty before login.

        Its monitor, ``[priv]``, shows the account that is only asked for, too.
        """
        shown = _SERVES.fullmatch(self.title.strip()) if self.is_sshd else None
        return shown[1] if shown else ""

    @property
    def is_monitor(self) -> bool:
        """Root's half of one connection, before login and after."""
        return self.is_sshd and self.title.rstrip().endswith("[priv]")


Table = Mapping[int, Process]


def table() -> Table:
    """Every process that is alive."""
    names = os.listdir(_PROC)  # noqa: PTH208 - names only, at each look
    found = (read(int(name)) for name in names if name.isdecimal())
    return {process.pid: process for process in found if process is not None}


def read(pid: int) -> Process | None:
    """One process; None when it is gone or only waits to be collected."""
    folder = _PROC / str(pid)
    try:
        stat = (folder / "stat").read_text(errors="replace")
        uid = _uid(folder)
        title = (folder / "cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    if not fields or fields[0] in _DEAD:
        return None
    auth, mark = _environment(folder)
    audit = _text(folder / "sessionid").strip()
    scope = _SCOPE.search(_text(folder / "cgroup"))
    return Process(
        pid=pid,
        parent=int(fields[1]),
        start=int(fields[19]),
        uid=uid,
        session=int(fields[3]),
        name=name,
        title=title.replace(b"\0", b" ").decode(errors="replace").strip(),
        auth=auth,
        mark=mark,
        audit="" if audit in _NO_AUDIT else audit,
        scope=scope[1] if scope else "",
    )


def _uid(folder: Path) -> int:
    """The real user id: the folder's owner is root for a process that cannot be dumped."""
    for line in (folder / "status").read_text(errors="replace").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[1])
    raise ValueError("a process without a user id")


def _environment(folder: Path) -> tuple[str, str]:
    try:
        with (folder / "environ").open("rb") as file:
            raw = file.read(_ENVIRON_LIMIT)
    except OSError:
        return "", ""
    given = dict(item.split(b"=", 1) for item in raw.split(b"\0") if b"=" in item)
    return tuple(  # type: ignore[return-value]  # of exactly two
        given.get(key, b"").decode(errors="replace")[:300]
        for key in (b"SSH_USER_AUTH", MARK.encode())
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def above(pid: int, table: Table) -> list[Process]:
    """Parents, nearest first."""
    found: list[Process] = []
    process = table.get(pid)
    while process is not None and process.parent in table and len(found) < len(table):
        process = table[process.parent]
        found.append(process)
    return found


def with_children(pids: Iterable[int], table: Table) -> set[int]:
    """These and all below them."""
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    todo = [pid for pid in pids if pid in table]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo.extend(children.get(pid, ()))
    return found


def send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process, not a later one that got its number; gone is fine."""
    try:
        handle = os.pidfd_open(process.pid)
    except (OSError, AttributeError):  # gone, or a kernel before 5.3
        _send_by_number(process, number)
        return
    try:
        now = read(process.pid)
        if now is not None and now.start == process.start:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _send_by_number(process: Process, number: signal.Signals) -> None:
    now = read(process.pid)
    if now is not None and now.start == process.start:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def boot() -> str:
    """This boot's id."""
    return _text(_PROC / "sys/kernel/random/boot_id").strip()


def started_at(process: Process) -> float:
    """Epoch seconds, to a hundredth or so."""
    for line in _text(_PROC / "stat").splitlines():
        if line.startswith("btime "):
            return int(line.split()[1]) + process.start / os.sysconf("SC_CLK_TCK")
    return 0.0
