"""The journal as one file: a first line that names it, then an entry a line, each chained.

How far it was told is said by another line like the first one; the furthest counts. The file is
written anew when more of it was told than waits.

A line that was torn by a death never took effect, because ``append`` had not returned; what follows
a torn line begins a line of its own. One process holds the file (``flock``): a second one would
write the same places.
"""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import msgspec

from callpoint.domain.errors import ConfigError, UnavailableError
from callpoint.domain.offline_journal import BEGINNING, Chained, JournalEntry, chained
from callpoint.domain.untrusted_json import read_json
from callpoint.ports.clock import Random

MOST_BYTES = 16 << 20
"""A journal does not grow beyond it: then nothing more is done without the authority."""

_MOST_PLACES = 1 << 53
"""No journal has so many: a line with a later place is none of ours, and is not read."""

_NAME_LENGTH = 20


class _Beginning(msgspec.Struct, frozen=True):
    """The first line, and each mark: the journal's name, and what was told already."""

    journal: str
    seq: int
    head: str


class FileJournal:
    """Implements ``ports.journals.OfflineJournal``.

    Args:
        path: The file; made, with its folder, when it is not there.
        random: For the name of a new one.

    Raises:
        ConfigError: It cannot be used, or another process has it.
    """

    def __init__(self, path: Path, random: Random) -> None:
        self._path = path
        self._lock = Lock()
        self._is_placed = False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._holds = _held(path.with_name(f"{path.name}.lock"))
            raw = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise ConfigError(
                f"the gateway's journal cannot be used: {error.strerror}",
                file=str(path),
                way_out="let one gateway process own the file, in a folder that it can write to",
            ) from error
        # And how many entries of the file were told: it is written anew when they are many.
        first, self._waiting, self._told = _read(raw)
        try:
            if first is None:
                if raw:  # damaged by hand: it is evidence all the same
                    path.replace(path.with_name(f"{path.name}.{random.ident(8)}.damaged"))
                first = _Beginning(random.ident(_NAME_LENGTH), 0, BEGINNING)
                os.close(self._begin(first))
            self._begun = first
            self._file = _open(path)
            self._place()
        except OSError as error:
            os.close(self._holds)
            raise ConfigError(
                f"the gateway's journal cannot be written: {error.strerror}", file=str(path)
            ) from error
        self._is_torn = bool(raw) and not raw.endswith(b"\n")

    @property
    def name(self) -> str:
        return self._begun.journal

    def append(self, entries: Sequence[JournalEntry]) -> None:
        with self._lock:
            made: list[Chained] = []
            seq, head = self._end()
            if seq + len(entries) > _MOST_PLACES:  # by hand: what stood there would not be read
                raise UnavailableError(
                    f"the gateway's journal has no place after {seq}",
                    way_out=f"look at who changed {self._path}, and put it aside",
                )
            for entry in entries:
                made.append(chained(seq + 1, head, entry))
                seq, head = made[-1].seq, made[-1].hash
            body = b"".join(msgspec.json.encode(one) + b"\n" for one in made)
            self._write(body)
            self._waiting.extend(made)

    def waiting(self) -> tuple[Chained, ...]:
        with self._lock:
            return tuple(self._waiting)

    def forget(self, seq: int) -> None:
        with self._lock:
            told = [one for one in self._waiting if one.seq <= seq]
            if not told:
                return
            newest = max(told, key=lambda one: one.seq)
            first = _Beginning(self.name, newest.seq, newest.hash)
            # By their places: in a file that was changed by hand they may stand in another order.
            left = [one for one in self._waiting if one.seq > seq]
            try:
                # Written anew when most of it was told, and not for each of a thousand parts.
                if len(left) > self._told + len(told):
                    self._mark(first)
                    self._begun, self._waiting = first, left
                    self._told += len(told)
                else:
                    self._rewrite(first, left)
            except OSError as error:
                raise self._unavailable(error) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            os.close(self._file)
            os.close(self._holds)

    def _end(self) -> tuple[int, str]:
        if self._waiting:
            return self._waiting[-1].seq, self._waiting[-1].hash
        return self._begun.seq, self._begun.head

    def _mark(self, first: _Beginning) -> None:
        """A line that tells how far it was told, in the place of the first one. Raises OSError."""
        self._place()
        line = msgspec.json.encode(first) + b"\n"
        self._append(b"\n" + line if self._is_torn else line, os.fstat(self._file).st_size)

    def _rewrite(self, first: _Beginning, left: list[Chained]) -> None:
        """Without what was told. Raises OSError."""
        fresh = self._begin(first, left)
        os.close(self._file)
        self._file, self._begun, self._waiting = fresh, first, left
        self._is_torn, self._told = False, 0
        self._place()

    def _write(self, body: bytes) -> None:
        """All of it on the disk, or nothing that is read back. Raises UnavailableError."""
        try:
            self._place()
            if self._told and self._is_full(body):
                self._rewrite(self._begun, self._waiting)
            if self._is_full(body):
                raise UnavailableError(
                    f"the gateway's journal has {MOST_BYTES >> 20} MiB that nobody took yet",
                    way_out="nothing more is let through until the authority answers",
                )
            size = os.fstat(self._file).st_size
            self._append(b"\n" + body if self._is_torn else body, size)
        except OSError as error:
            raise self._unavailable(error) from error

    def _is_full(self, body: bytes) -> bool:
        return os.fstat(self._file).st_size + len(body) > MOST_BYTES

    def _append(self, body: bytes, size: int) -> None:
        try:
            left = memoryview(body)
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
            self._is_torn = False
        except OSError:
            # Part of it may be there: it must not be read as something that was let through.
            self._is_torn = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)
                os.fsync(self._file)
                self._is_torn = False
            raise

    def _begin(self, first: _Beginning, left: Sequence[Chained] = ()) -> int:
        """Put a new file in the place of the old one; returns it, open to append to.

        Nothing can fail between the two, for what is appended to a replaced file is lost. Raises
        OSError while the old one stands.
        """
        body = b"".join(msgspec.json.encode(one) + b"\n" for one in (first, *left))
        beside = self._path.with_name(f".{self._path.name}.new")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        handle = os.open(beside, flags, 0o600)
        try:
            rest = memoryview(body)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
            beside.replace(self._path)
        except BaseException:
            os.close(handle)
            raise
        self._is_placed = False
        return handle

    def _place(self) -> None:
        """Until the folder is on the disk, a power cut brings the old file back. Raises OSError."""
        if self._is_placed:
            return
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._is_placed = True

    def _unavailable(self, error: OSError) -> UnavailableError:
        return UnavailableError(
            f"what is decided here cannot be put on record: {error.strerror}",
            way_out=f"look at the disk of {self._path} on the gateway",
        )


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)


def _held(path: Path) -> int:
    """A lock that ends with the process. Raises OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _read(raw: bytes) -> tuple[_Beginning | None, list[Chained], int]:
    """What parses and was not told yet, and how many lines were; nothing without a first line."""
    lines = raw.splitlines()
    first = _beginning(lines[0]) if lines else None
    if first is None:
        return None, [], 0
    found: list[Chained] = []
    for line in lines[1:]:
        try:
            found.append(read_json(line, Chained))
        except msgspec.DecodeError:
            mark = _beginning(line)
            if mark is not None and mark.journal == first.journal and mark.seq > first.seq:
                first = mark
    waiting = [one for one in found if first.seq < one.seq <= _MOST_PLACES]
    return first, waiting, len(found) - len(waiting)


def _beginning(line: bytes) -> _Beginning | None:
    with contextlib.suppress(msgspec.DecodeError):
        found = read_json(line, _Beginning)
        if 0 <= found.seq <= _MOST_PLACES:
            return found
    return None
