"""Everything that one certificate opened on this host, and the end of it.

Found are: processes that carry the certificate (SSH_USER_AUTH) or its mark (``wrapper``), the sshd
connections above them, connections that the log names, all that descends from these, and what
shares their POSIX session, audit session or systemd scope. A detached child (``setsid nohup``)
keeps the environment, so it is found after its connection is gone.

A connection that neither a process nor the log attributes counts as this certificate's when it is
younger: better that a stranger's tunnel on a break-glass account ends than that an actor's lives.

What escapes: a process that cleaned its environment and left its parents, where neither audit
sessions nor systemd's scopes exist. ``snapshot`` reports it.
"""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from callpoint.host import connections, processes
from callpoint.host.connections import Connection
from callpoint.host.processes import Process, Table, above, with_children
from callpoint.host.registry import Entry, Marks
from callpoint.host.settings import HostSettings

END_SECONDS = 6.0
_GRACE_SECONDS = 0.4
_PAUSE_SECONDS = 0.02
_CLOCK_SLACK = 2.0
_LOG_LOOKED_AT = 600.0

Log = Callable[[float], "connections.Logins | None"]


class Found(NamedTuple):
    """What belongs to one certificate now.

    Attributes:
        processes: By pid; sshd's own for it included.
        sessions: Connections, and groups of processes that outlived theirs.
        marks: What they carry.
    """

    processes: dict[int, Process]
    sessions: int
    marks: Marks


def names_of(table: Table) -> dict[int, set[str]]:
    """Key ids that processes carry, by pid; the empty one stands for a key without certificate."""
    read: dict[str, str | None] = {}
    found: dict[int, set[str]] = {}
    for process in table.values():
        if process.auth and process.auth not in read:
            read[process.auth] = connections.key_id_in(process.auth)
        carried = {process.mark or None, read.get(process.auth)} - {None}
        if carried:
            found[process.pid] = {name for name in carried if name is not None}
    return found


def of(settings: HostSettings, entry: Entry, table: Table, log: Log) -> Found:
    """What belongs to the entry's certificate.

    Args:
        settings: Of this host.
        entry: An account that is empty stands for every open one.
        table: The processes now.
        log: Who logged in since a moment.
    """
    names = names_of(table)
    safe = spared(table)
    marks = entry.marks if entry.boot == processes.boot() else Marks()
    uids = {0, _uid_of(entry.account)}
    there = connections.find(settings, table, names)
    candidates = [c for c in there if not entry.account or c.account == entry.account]
    logins = log(entry.made - _CLOCK_SLACK) if candidates else None
    mine = [c for c in candidates if _is_mine(c, entry, logins)]
    seeds = {pid for pid, carried in names.items() if entry.name in carried}
    seeds |= {pid for c in mine for pid in c.pids}
    seeds |= {p.pid for p in table.values() if p.auth in marks.files and p.uid in uids}
    found = _closure(seeds - safe, there, table, marks, safe)
    loose = {table[pid].session for pid in found if not any(pid in c.pids for c in there)}
    lost = [c for c in there if c.top.pid in found]
    return Found(
        processes={pid: table[pid] for pid in found},
        sessions=len(lost) + len(loose),
        marks=_owned(_marks(found, table, safe), _uid_of(entry.account)),
    )


def _uid_of(account: str) -> int | None:
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return None


def _owned(marks: Marks, uid: int | None) -> Marks:
    """Without files of other accounts: who names somebody else's must not end that one later."""

    def is_own(path: str) -> bool:
        try:
            return connections.is_auth_file(path) and os.lstat(path).st_uid == uid
        except FileNotFoundError:
            return True  # sshd deletes it with the connection
        except OSError:
            return False

    return marks._replace(files=tuple(filter(is_own, marks.files)))


def _is_mine(connection: Connection, entry: Entry, logins: connections.Logins | None) -> bool:
    logged = logins.get(connection.peer) if logins and connection.peer else None
    if logged is not None:
        # The log is sshd's own word; what processes carry, an actor can forge.
        return entry.name in logged
    if connection.certificates or connection.others:
        return entry.name in connection.certificates
    younger = processes.started_at(connection.top) >= entry.made - _CLOCK_SLACK
    return bool(entry.account) and younger


def spared(table: Table) -> set[int]:
    """Never ended: this program and what it runs under, and sshd's listeners."""
    own = {os.getpid(), 1, *(process.pid for process in above(os.getpid(), table))}
    return own | {process.pid for process in table.values() if process.is_listener}


def _closure(
    seeds: set[int],
    there: Iterable[Connection],
    table: Table,
    marks: Marks,
    safe: set[int],
) -> set[int]:
    """All that hangs together with the seeds."""
    shared = _marks(safe, table, set())
    not_ours = {table[pid].session for pid in safe if pid in table}
    audits = set(marks.audits) - set(shared.audits)
    scopes = set(marks.scopes) - set(shared.scopes)
    found: set[int] = set(seeds)
    while True:
        before = len(found)
        found |= {pid for c in there if c.pids & found for pid in c.pids}
        found = with_children(found, table) - safe
        seen = _marks(found, table, safe)
        audits |= set(seen.audits)
        scopes |= set(seen.scopes)
        sessions = {table[pid].session for pid in found} - not_ours - {0}
        found |= {
            process.pid
            for process in table.values()
            if process.session in sessions or process.audit in audits or process.scope in scopes
        } - safe
        if len(found) == before:
            return found


def _marks(pids: Iterable[int], table: Table, safe: set[int]) -> Marks:
    """What they carry and those that are safe do not."""
    mine = [table[pid] for pid in pids if pid in table]
    others = [table[pid] for pid in safe if pid in table]

    def only(read: Callable[[Process], str]) -> tuple[str, ...]:
        return tuple(sorted({*map(read, mine)} - {*map(read, others)} - {""}))

    return Marks(only(lambda p: p.auth), only(lambda p: p.audit), only(lambda p: p.scope))


def end(settings: HostSettings, entry: Entry, note: Callable[[Marks], None]) -> int:
    """End all of it; returns how many sessions are left when the time is over.

    First politely, so that work in progress can clean up; then frozen, so that nothing forks away
    between looking and killing, and killed. ``note`` is told what they carried.
    """

    def log(since: float) -> connections.Logins | None:
        return connections.logins(settings, since)

    started = time.monotonic()
    found = of(settings, entry, processes.table(), log)
    note(found.marks)
    for process in found.processes.values():
        processes.send(process, signal.SIGTERM)
        processes.send(process, signal.SIGCONT)
    while found.processes and time.monotonic() < started + _GRACE_SECONDS:
        time.sleep(_PAUSE_SECONDS)
        found = of(settings, entry, processes.table(), log)
    while found.processes and time.monotonic() < started + END_SECONDS:
        for process in found.processes.values():
            processes.send(process, signal.SIGSTOP)
        found = of(settings, entry, processes.table(), log)
        note(found.marks)
        for process in found.processes.values():
            processes.send(process, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
        found = of(settings, entry, processes.table(), log)
    return found.sessions


def count(settings: HostSettings, entry: Entry) -> Found:
    """Look only."""
    return of(settings, entry, processes.table(), lambda since: connections.logins(settings, since))


def counts(settings: HostSettings, entries: Sequence[Entry]) -> list[int]:
    """How many sessions each has, of one moment."""
    return [found.sessions for found in all_of(settings, entries)]


def all_of(settings: HostSettings, entries: Sequence[Entry]) -> list[Found]:
    """What belongs to each, with one look at processes and log."""
    if not entries:
        return []
    table = processes.table()
    logins = connections.logins(settings, min(entry.made for entry in entries) - _CLOCK_SLACK)
    return [of(settings, entry, table, lambda _: logins) for entry in entries]


def log_is_readable(settings: HostSettings) -> bool:
    """Whether bare connections can be told apart.

    Who asks has logged in with a key just before, so a log that shows no login at all is not the
    one that sshd writes: an empty journal reads as well as a full one.
    """
    return bool(connections.logins(settings, time.time() - _LOG_LOOKED_AT))
