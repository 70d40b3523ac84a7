"""A server, every process below it, and whatever its sessions left running: ending all of it.

Run as a program, it is the watchdog of one server: it waits for a line on its standard input, and
if that ends without one, because the parent was killed, it ends the server and deletes its files.
It imports nothing but Python's own modules, so that it can run alone.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_PAUSE_SECONDS = 0.02
_WITHIN_SECONDS = 10.0


def end_sshd(server: int, port: int) -> bool:
    """Kill an sshd of 127.0.0.1, its connections, their sessions and what those left behind.

    Stopping the listener alone leaves every open session alive (OpenSSH means it so: it can be
    restarted through a session). What a session detached from itself is no child of the server any
    more; it is known by the port in ``SSH_CONNECTION``, as far as the system shows environments.

    Args:
        server: Its process id, not collected yet: a child of the caller, or a running process.
        port: Where it listens.

    Returns:
        Whether nothing of it is left.
    """
    # No connection comes up while the others are looked for.
    _signal(server, signal.SIGSTOP)
    deadline = time.monotonic() + _WITHIN_SECONDS
    while left := _descendants(server) | _sessions(port):
        if time.monotonic() > deadline:
            break
        # All are held before the first is killed: else one that outlives its child tells a client
        # of that child's death, and the connection ends as if the command had ended by itself.
        for how in (signal.SIGSTOP, signal.SIGKILL):
            for process in left:
                _signal(process, how)
        time.sleep(_PAUSE_SECONDS)  # noqa: TID251 -- real time passes for real processes
    _signal(server, signal.SIGKILL)
    return not left


def _signal(process: int, how: signal.Signals) -> None:
    # It ended by itself, which is wanted; or it may not be ended, which the caller then sees.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, how)


def _descendants(root: int) -> set[int]:
    """Everything below the process that still runs."""
    children: dict[int, list[int]] = {}
    for process, parent in _running():
        children.setdefault(parent, []).append(process)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        below = [p for p in children.get(waiting.pop(), ()) if p not in found]
        found.update(below)
        waiting.extend(below)
    return found


def _running() -> Iterator[tuple[int, int]]:
    """Processes and their parents; those that only wait to be collected are over."""
    if not (_PROC / "self" / "stat").exists():
        yield from _running_by_ps()
        return
    for folder in _PROC.glob("[0-9]*"):
        try:
            # The name, in parentheses, may hold anything, also parentheses and spaces.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it ended meanwhile
        if state not in "ZX":
            yield int(folder.name), int(parent)


def _running_by_ps() -> Iterator[tuple[int, int]]:
    told = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    for line in told.stdout.splitlines():
        process, parent, state = line.split()
        if not state.startswith("Z"):
            yield int(process), int(parent)


def _sessions(port: int) -> set[int]:
    """Processes whose environment says that they came through this server."""
    mark = re.compile(rb"(?:^|\0)SSH_CONNECTION=\S+ \d+ 127\.0\.0\.1 %d(?:\0|$)" % port)
    found = set()
    for folder in _PROC.glob("[0-9]*"):
        try:
            if mark.search((folder / "environ").read_bytes()):
                found.add(int(folder.name))
        except OSError:
            continue  # somebody else's, or it ended meanwhile
    return found - {os.getpid()}


def watch(server: int, port: int, folder: Path) -> None:
    """Outlive the parent that was killed, end its server, and delete its files."""
    if sys.stdin.readline():
        return  # the parent did so itself
    end_sshd(server, port)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
