"""One session, from its forced command to its end: ``session NAME UNTIL [COMMAND]``.

sshd runs it as the account, for every command and shell that a certificate opens. It marks the
session's processes by the certificate's name, starts the role's command, or the actor's, or a login
shell, and ends all of it at the certificate's end, with nobody's help.

An actor with a shell has the same rights as this program and can end it; what it guards against is
a session that is forgotten, not one that hides. For that there are ``reaper`` and the broker.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from callpoint.host import processes
from callpoint.host.processes import MARK

_GRACE_SECONDS = 2.0
_PAUSE_SECONDS = 0.05
_SIGNALLED = 128
_NOT_RUN = 126
_OVER = 124
"""Exit status when the time was over, as of ``timeout``."""


def run(name: str, until: float, command: Sequence[str]) -> int:
    """Run the session; returns its exit status.

    Args:
        name: The certificate's name, for the mark.
        until: Epoch seconds.
        command: The role's own; empty for what the actor asked for.
    """
    remaining = until - time.time()
    if remaining <= 0:
        sys.stderr.write("callpoint: the time of this access is over\n")
        return _OVER
    os.environ[MARK] = name
    # The kernel's timer, armed before anything of the actor's runs.
    signal.signal(signal.SIGALRM, _over)
    signal.setitimer(signal.ITIMER_REAL, remaining)
    # Ctrl-C is for what runs in the foreground, not for this program.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    try:
        child = subprocess.Popen(
            _words(command),
            executable=_program(command),
            preexec_fn=_defaults,  # noqa: PLW1509 - there is one thread
        )
        status = child.wait()
    except OSError as error:
        sys.stderr.write(f"callpoint: {_program(command)} cannot be run: {error.strerror}\n")
        return _NOT_RUN
    except _OverError:
        _end_marked(name)
        sys.stderr.write("\ncallpoint: the time of this access is over\n")
        return _OVER
    return status if status >= 0 else _SIGNALLED - status


class _OverError(Exception):
    pass


def _over(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - a signal handler
    raise _OverError


def _defaults() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)


def _shell() -> str:
    return pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"


def _program(command: Sequence[str]) -> str:
    return command[0] if command else _shell()


def _words(command: Sequence[str]) -> list[str]:
    """The role's command as it is; else the actor's through the shell; else a login shell."""
    if command:
        return list(command)
    shell = _shell()
    asked = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    base = shell.rpartition("/")[2]
    return [base, "-c", asked] if asked else [f"-{base}"]


def _end_marked(name: str) -> None:
    """Everything of this account that carries the mark, but this program: politely, then not."""
    started = time.monotonic()
    while True:
        mine = [
            process
            for process in processes.table().values()
            if process.mark == name and process.pid != os.getpid()
        ]
        if not mine:
            return
        polite = time.monotonic() < started + _GRACE_SECONDS
        for process in mine:
            processes.send(process, signal.SIGTERM if polite else signal.SIGKILL)
            processes.send(process, signal.SIGCONT)
        if not polite and time.monotonic() > started + 2 * _GRACE_SECONDS:
            return
        time.sleep(_PAUSE_SECONDS)
