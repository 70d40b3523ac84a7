"""What the broker's forced command does: one request on stdin, one answer on stdout, and no more.

Whoever holds the broker's key can say only what ``wire`` has verbs for: about this installation's
handles, the owner's accounts and lifetimes. It can end access and look; to let somebody in it
would need the CA's key as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from callpoint.host import (
    accounts,
    admission,
    files,
    reaper,
    revocations,
    sessions,
    snapshot,
    wire,
)
from callpoint.host.registry import DISABLED, GONE, LIVE, Entry, Marks
from callpoint.host.settings import HostSettings
from callpoint.host.wire import WireError

_EFFECTIVE = (
    *("trustedusercakeys", "revokedkeys", "authorizedprincipalsfile", "exposeauthinfo"),
    *("authorizedprincipalscommand", "authorizedkeysfile", "authorizedkeyscommand"),
    *("passwordauthentication", "kbdinteractiveauthentication", "permituserenvironment"),
    *("loglevel", "permituserrc", "hostbasedauthentication", "gssapiauthentication"),
)
_SSHD_SECONDS = 5

Answer = dict[str, Any]


def serve(settings: HostSettings, source: BinaryIO, sink: BinaryIO) -> int:
    """Answer one request; the exit status says whether it was done."""
    try:
        raw = source.readline(wire.REQUEST_LIMIT + 1)
        asked = wire.read_request(raw, settings.installation, settings.accounts)
        said = wire.answer(time.time(), **_VERBS[asked["verb"]](settings, asked))
        done = True
    except WireError as error:
        said, done = wire.refusal(error.code, error.message), False
    except files.BusyError as error:
        said, done = wire.refusal("busy", str(error)), False
    except revocations.RevocationError as error:
        said, done = wire.refusal("krl", str(error)), False
    except OSError as error:
        said, done = wire.refusal("system", f"{error.strerror} ({error.filename})"[:200]), False
    sink.write(said)
    sink.flush()
    return 0 if done else 1


def _hello(settings: HostSettings, asked: Answer) -> Answer:  # noqa: ARG001 - one form for all
    """Who is here, and from which address the broker is seen."""
    return {
        "accounts": list(settings.accounts),
        "longest": settings.longest,
        "client": os.environ.get("SSH_CONNECTION", "").split(" ")[0],
    }


def _enrol(settings: HostSettings, asked: Answer) -> Answer:
    baseline = _taken(settings, asked["account"])
    now = time.time()
    if asked["serial"] != wire.serial_of(asked["handle"]):
        raise WireError("request", "the serial is not the handle's")
    entry = Entry(asked["handle"], asked["account"], asked["serial"], asked["not_after"], int(now))
    with admission.opened(settings) as held:
        held.enrol(entry, now, settings.longest)
    return {"baseline": baseline}


def _withdraw(settings: HostSettings, asked: Answer) -> Answer:
    with admission.opened(settings, taking=True) as held:
        held.move(asked["handle"], DISABLED)
    return {}


def _end(settings: HostSettings, asked: Answer) -> Answer:
    handle = asked["handle"]

    def note(marks: Marks) -> None:
        if any(marks):
            reaper.keep_marks(settings, handle, marks)

    return {"left": sessions.end(settings, _entry(settings, handle), note)}


def _remove(settings: HostSettings, asked: Answer) -> Answer:
    if sessions.count(settings, _entry(settings, asked["handle"])).sessions:
        raise WireError("sessions", "it has live sessions")
    with admission.opened(settings, taking=True) as held:
        held.move(asked["handle"], GONE)
        held.compact(time.time())
    return {}


def _verify(settings: HostSettings, asked: Answer) -> Answer:
    """Looks, and repairs nothing."""
    known = admission.looked_at(settings).find(asked["handle"])
    entry = _entry(settings, asked["handle"])
    admitted = (
        files.read_regular(settings.principals / name, 1 << 24) for name in settings.accounts
    )
    ends = [line.split()[-1:] for raw in admitted if raw for line in raw.splitlines()]
    return {
        "listed": known is not None and known.state != GONE,
        "admitted": [entry.name.encode()] in ends,
        "sessions": sessions.count(settings, entry).sessions,
        "krl_sound": revocations.is_sound(settings, settings.revocations),
        "revoked": revocations.names(settings, asked["certificate"]),
    }


def _list(settings: HostSettings, asked: Answer) -> Answer:  # noqa: ARG001 - one form for all
    return {"entries": [_shown(entry) for entry in admission.looked_at(settings).there()]}


def _shown(entry: Entry) -> Answer:
    return {
        "handle": entry.handle,
        "account": entry.account,
        "enabled": entry.state == LIVE,
        "not_after": entry.not_after,
    }


def _snapshot(settings: HostSettings, asked: Answer) -> Answer:
    return {"snapshot": _taken(settings, asked["account"])}


def _taken(settings: HostSettings, account: str) -> snapshot.Snapshot:
    live = (entry for entry in admission.looked_at(settings).there() if entry.state == LIVE)
    return snapshot.take(account, {entry.name for entry in live})


def _status(settings: HostSettings, asked: Answer) -> Answer:  # noqa: ARG001 - one form for all
    beats = reaper.heartbeats(settings)
    return {
        "runs": beats.runs,
        "longest_silence": beats.longest_silence,
        "overdue": reaper.due_entries(settings, time.time()),
        "krl_sound": revocations.is_sound(settings, settings.revocations),
        "ca": _ca(settings),
        "log": sessions.log_is_readable(settings),
        "state": str(settings.state),
        "sshd": {name: _effective(settings, name) for name in settings.accounts},
        "root": os.geteuid() == 0,
    }


def _ca(settings: HostSettings) -> list[str]:
    """Type and key of each line of the CA file, without comments."""
    raw = files.read_regular(settings.ca, 1 << 16) or b""
    rows = (line.split() for line in raw.decode(errors="replace").splitlines())
    return [" ".join(row[:2]) for row in rows if len(row) > 1 and not row[0].startswith("#")]


def _effective(settings: HostSettings, account: str) -> dict[str, str]:
    """What sshd itself says for a login to the account; empty when it gives none."""
    extra = ["-f", settings.sshd_config] if settings.sshd_config else []
    about = f"user={account},host=localhost,addr=127.0.0.1"
    try:
        said = subprocess.run(
            [settings.sshd, "-T", *extra, "-C", about],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SSHD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.partition(" ") for line in said.stdout.decode(errors="replace").splitlines())
    return {key: value[:300] for key, _, value in pairs if key in _EFFECTIVE}


def _accounts(settings: HostSettings, asked: Answer) -> Answer:  # noqa: ARG001 - one form for all
    there = admission.looked_at(settings).there()
    live = sessions.counts(settings, there)
    entries = [{**_shown(entry), "sessions": number} for entry, number in zip(there, live)]
    return {"accounts": accounts.all_accounts(), "entries": entries}


def _entry(settings: HostSettings, handle: str) -> Entry:
    """The handle's, or what is known of one without an entry: its name."""
    found = admission.looked_at(settings).find(handle)
    return found or Entry(handle, "", wire.serial_of(handle), 0, int(time.time()))


_VERBS: dict[str, Callable[[HostSettings, Answer], Answer]] = {
    "hello": _hello,
    "enrol": _enrol,
    "withdraw": _withdraw,
    "end": _end,
    "remove": _remove,
    "verify": _verify,
    "list": _list,
    "snapshot": _snapshot,
    "status": _status,
    "accounts": _accounts,
}


def main(settings: HostSettings) -> int:
    """Serve what sshd connected to this process."""
    return serve(settings, sys.stdin.buffer, sys.stdout.buffer)
