"""What sshd reads, written from the registry: the list of those let in, and of those revoked.

Let in is only whom the account's principals file names. That is a positive list: whoever has the
CA's key alone comes in nowhere. The revocation list and the certificate's own end stand behind it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from callpoint.host import files, registry, revocations
from callpoint.host.registry import LIVE, Entry, Registry
from callpoint.host.settings import HostSettings

_MODE = 0o644
_LIMIT = 1 << 24


@contextmanager
def opened(settings: HostSettings, *, taking: bool = False) -> Iterator[Registry]:
    """The registry, alone. At the end it is saved and sshd's files say the same.

    Args:
        settings: Of this host.
        taking: Something is taken away: then sshd is told even where nothing can be saved.

    Raises:
        files.BusyError, OSError, revocations.RevocationError: Not done, or not all of it.
    """
    with files.locked(settings.state):
        held = registry.load(settings.state)
        yield held
        try:
            # Saved first: what sshd is told must be known after a crash.
            held.save()
        except OSError:
            if taking:
                write(settings, held)
            raise
        write(settings, held)


def looked_at(settings: HostSettings) -> Registry:
    """The registry as it is now, to look only."""
    return registry.load(settings.state)


def write(settings: HostSettings, held: Registry) -> None:
    """Bring sshd's files in line; what is right already is left alone.

    The principals first: refusing there needs no other program. All are tried before one fails.
    """
    failed: list[Exception] = []
    now = time.time()
    for account in settings.accounts:
        try:
            _write_principals(settings, account, held.all(), now)
        except OSError as error:
            failed.append(error)
    try:
        revocations.install(settings, held.all(), held.revision)
    except (OSError, revocations.RevocationError) as error:
        failed.append(error)
    if failed:
        raise failed[0]


def principals(entries: Iterable[Entry], account: str, now: float) -> str:
    """The account's file. ``expiry-time`` is in the host's local time, as every sshd reads it."""
    return "".join(
        f'expiry-time="{time.strftime("%Y%m%d%H%M%S", time.localtime(entry.not_after))}" '
        f"{entry.name}\n"
        for entry in entries
        if entry.account == account and entry.state == LIVE and entry.not_after > now
    )


def _write_principals(
    settings: HostSettings, account: str, entries: Iterable[Entry], now: float
) -> None:
    path = settings.principals / account
    wanted = principals(entries, account, now).encode()
    there = files.read_regular(path, _LIMIT)
    if there == wanted:
        return
    try:
        files.replace(path, wanted, _MODE)
    except OSError:
        # No room for a shorter list: rather nobody comes in than somebody whose time is over.
        if there is not None and len(wanted) < len(there):
            path.unlink(missing_ok=True)
        raise
