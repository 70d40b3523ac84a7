"""Files that sshd reads: replaced as a whole or not at all, and one writer at a time."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

LOCK_SECONDS = 8
"""Less than the broker waits for an answer."""


class BusyError(Exception):
    """Another call works on the state for too long."""


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write beside it, sync, rename, sync the folder: after a crash it is the old or the new one.

    Raises:
        OSError: The disk is full or failing; the old file is untouched.
    """
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in the folder; the system lets go when the process dies.

    Raises:
        BusyError: Somebody else does not let go in time.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LOCK_SECONDS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        signal.alarm(0)
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        os.close(descriptor)


def _too_long(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler
    raise BusyError("another call to the host side does not end")


def read_regular(path: Path, most: int) -> bytes | None:
    """A file of somebody who must not be trusted: no device, no pipe, no more than ``most`` bytes.

    Links are followed, as sshd and shells follow them. None: it cannot be read within bounds.
    """
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):  # gone, or no path: a NUL in it
        return None
    try:
        # Looked at before it is opened: to open a device acts (a watchdog reboots the machine, a
        # tape rewinds), and whoever waits at a pipe would go on.
        if not stat.S_ISREG(os.fstat(place).st_mode):
            return None
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(f"/proc/self/fd/{place}", flags), "rb") as file:
            content = file.read(most + 1)
    except OSError:
        return None
    finally:
        os.close(place)
    return content if len(content) <= most else None
