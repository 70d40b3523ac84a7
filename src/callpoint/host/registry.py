"""Who was let in here: one entry for each certificate, on disk before sshd is told.

Entries are the truth; what sshd reads (``admission``) is written from them. A registry that cannot
be read is put aside and counts as empty: then nobody is admitted, and everybody can still be ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from callpoint.host import files
from callpoint.host.wire import WireError, name_of

LIVE, DISABLED, GONE = "live", "disabled", "gone"
KEPT_AFTER_END = 86_400
"""Seconds. sshd itself refuses an expired certificate, unless somebody sets the clock back."""
_MOST_LIVE = 2_000
_FILE = "registry.json"
_FILE_LIMIT = 64 * 1024 * 1024


class Marks(NamedTuple):
    """What processes of a certificate were seen to carry: kept, as the first of it vanishes.

    Attributes:
        files: Values of SSH_USER_AUTH. sshd deletes the file when the connection ends.
        audits: Audit session ids (``/proc/PID/sessionid``), which a process cannot change.
        scopes: systemd's ``session-N.scope``, which a process leaves only with help.
    """

    files: tuple[str, ...] = ()
    audits: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()

    def with_more(self, other: Marks) -> Marks:
        """Both together, bounded."""
        return Marks(*(tuple(sorted({*a, *b}))[:_MOST_MARKS] for a, b in zip(self, other)))


_MOST_MARKS = 200


class Entry(NamedTuple):
    """One certificate's right to come in.

    Attributes:
        account: The unix account.
        not_after: Epoch seconds, as in the certificate.
        made: When it was enrolled.
        state: ``live``, ``disabled``, or ``gone``: revoked, remembered until it has expired.
        boot: The boot in which the marks were seen.
    """

    handle: str
    account: str
    serial: int
    not_after: int
    made: int
    state: str = LIVE
    boot: str = ""
    marks: Marks = Marks()

    @property
    def name(self) -> str:
        """Principal and key id."""
        return name_of(self.handle)


class Registry:
    """All entries, in memory; ``save`` makes them durable."""

    def __init__(self, folder: Path, entries: Iterable[Entry], revision: int) -> None:
        self._folder = folder
        self._entries = {entry.handle: entry for entry in entries}
        self._saved = dict(self._entries)
        self.revision = revision

    def find(self, handle: str) -> Entry | None:
        """The entry, gone or not."""
        return self._entries.get(handle)

    def all(self) -> tuple[Entry, ...]:
        """Every entry, by handle."""
        return tuple(entry for _, entry in sorted(self._entries.items()))

    def there(self) -> tuple[Entry, ...]:
        """Those that are in the catalogue: not removed."""
        return tuple(entry for entry in self.all() if entry.state != GONE)

    def enrol(self, entry: Entry, now: float, longest: int) -> None:
        """Add one.

        Raises:
            WireError: Its time is over or too long, or the handle was used before.
        """
        if not now < entry.not_after <= now + longest:
            raise WireError("lifetime", f"the end is past, or more than {longest} s ahead")
        if entry.handle in self._entries:
            raise WireError("exists", "the handle is enrolled already, or was")
        if len(self.there()) >= _MOST_LIVE:
            raise WireError("full", f"{_MOST_LIVE} certificates are enrolled")
        self._entries[entry.handle] = entry

    def move(self, handle: str, state: str) -> None:
        """Further towards its end, never back; nothing when it is unknown."""
        entry = self._entries.get(handle)
        if entry is not None and _ORDER.index(state) > _ORDER.index(entry.state):
            self._entries[handle] = entry._replace(state=state)

    def mark(self, handle: str, marks: Marks, boot: str) -> None:
        """Keep what its processes carry; marks of an earlier boot mean nothing."""
        entry = self._entries.get(handle)
        if entry is not None and any(marks):
            known = entry.marks if entry.boot == boot else Marks()
            self._entries[handle] = entry._replace(marks=known.with_more(marks), boot=boot)

    def compact(self, now: float) -> None:
        """Forget what is removed and long expired."""
        self._entries = {
            handle: entry
            for handle, entry in self._entries.items()
            if entry.state != GONE or entry.not_after + KEPT_AFTER_END > now
        }

    def save(self) -> None:
        """Write, if something changed.

        Raises:
            OSError: It is not durable, so nothing may be built on it.
        """
        if self._entries == self._saved:
            return
        self.revision += 1
        rows = [{**entry._asdict(), "marks": entry.marks._asdict()} for entry in self.all()]
        body = {"version": 1, "revision": self.revision, "entries": rows}
        files.replace(self._folder / _FILE, json.dumps(body).encode() + b"\n", 0o600)
        self._saved = dict(self._entries)


_ORDER = (LIVE, DISABLED, GONE)


def load(folder: Path) -> Registry:
    """Read it; a missing one is empty, a broken one is put aside and counts as empty."""
    path = folder / _FILE
    if not path.exists():
        return Registry(folder, (), 0)
    try:
        raw = files.read_regular(path, _FILE_LIMIT)
        body = json.loads(raw or b"")
        return Registry(folder, map(_entry, body["entries"]), int(body["revision"]))
    except (ValueError, KeyError, TypeError):
        path.replace(path.with_suffix(".broken"))
        return Registry(folder, (), 0)


def _entry(row: dict[str, Any]) -> Entry:
    marks = Marks(**{key: tuple(map(str, value)) for key, value in row.pop("marks").items()})
    entry = Entry(marks=marks, **row)
    if entry.state not in _ORDER or not all(
        isinstance(number, int) for number in (entry.serial, entry.not_after, entry.made)
    ):
        raise ValueError("an entry has another form")
    return entry
