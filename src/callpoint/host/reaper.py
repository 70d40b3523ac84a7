"""What the owner's timer runs: it ends what is past its time on the day that Callpoint is dead.

Each run leaves a heartbeat. The broker can read heartbeats and not make them, so what it tells
approvers of the longest silence is what this host really did.
"""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from callpoint.host import admission, files, processes, registry, sessions
from callpoint.host.registry import DISABLED, LIVE, Entry, Marks
from callpoint.host.settings import HostSettings

WINDOW = 3_600
_FILE = "reaper.json"
_LIMIT = 1 << 20
_MOST_RUNS = 1_000


class Heartbeats(NamedTuple):
    """What the runs of the last hour show.

    Attributes:
        runs: How many.
        longest_silence: Seconds between two of them, or since the last; None without any.
    """

    runs: int
    longest_silence: float | None


def reap(settings: HostSettings) -> tuple[int, int]:
    """One run. Returns how many certificates it ended, and sessions that did not end.

    Sessions that live within their time are looked at, so that what they carry is known later.
    """
    now = time.time()
    due: list[Entry] = []
    with admission.opened(settings, taking=True) as held:
        there = held.there()
        for entry, found in zip(there, sessions.all_of(settings, there)):
            if entry.state == LIVE and entry.not_after > now:
                held.mark(entry.handle, found.marks, processes.boot())
            else:
                held.move(entry.handle, DISABLED)
                due.append(entry)
        held.compact(now)
    # Without the lock: the broker can disable somebody else meanwhile.
    left = sum(sessions.end(settings, entry, _forgotten) for entry in due)
    _beat(settings, now)
    return len(due), left


def _forgotten(marks: Marks) -> None:
    """Whose time is over: nobody asks for what it carried."""


def keep_marks(settings: HostSettings, handle: str, marks: Marks) -> None:
    """What processes of a certificate carry, before the first of them is gone."""
    with admission.opened(settings, taking=True) as held:
        held.mark(handle, marks, processes.boot())


def heartbeats(settings: HostSettings) -> Heartbeats:
    """As the file tells now."""
    now = time.time()
    runs = [run for run in _runs(settings) if now - WINDOW <= run <= now]
    if not runs:
        return Heartbeats(0, None)
    gaps = [after - before for before, after in zip(runs, [*runs[1:], now])]
    return Heartbeats(len(runs), max(gaps))


def _beat(settings: HostSettings, now: float) -> None:
    runs = [run for run in _runs(settings) if run > now - WINDOW][-_MOST_RUNS:]
    content = json.dumps({"runs": [*runs, now]}).encode()
    files.replace(settings.state / _FILE, content, 0o644)


def _runs(settings: HostSettings) -> list[float]:
    raw = files.read_regular(settings.state / _FILE, _LIMIT)
    try:
        return sorted(float(run) for run in json.loads(raw or b"{}").get("runs", ()))
    except (ValueError, TypeError, AttributeError):
        return []


def due_entries(settings: HostSettings, now: float) -> int:
    """How many are past their time and still there."""
    held = registry.load(settings.state)
    return sum(entry.not_after <= now for entry in held.there())
