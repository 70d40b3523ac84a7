"""The last checkpoint, kept outside the database, so that a rolled-back database is noticed.

It is replaced in two steps around the commit: ``prepare`` sees that it can be kept, ``publish``
writes it once the database has it. A death in between leaves the older one, which the database
extends; the other order would make every such death look like a rollback. It is written in place,
over the older half (``audit/kept_file.py``), which has its room on the disk already. A file that is
missing, damaged or of an earlier version is made anew beside it, and renamed.
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from callpoint.adapters.stores.sql.guard import halted
from callpoint.audit.kept_file import (
    HALF,
    KEPT_SIZE,
    KeptFileError,
    first_file,
    format_half,
    newest_note,
    parse_kept,
)
from callpoint.domain.errors import LogUnavailableError


@dataclass(frozen=True, slots=True)
class _Half:
    """The open file, and what is to stand where in it."""

    handle: int
    data: bytes
    place: int


class CheckpointFile:
    """One file, with one writer at a time.

    Between `prepare` and `publish` or `discard` it holds the file open, or has a draft beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draft = path.with_name(f".{path.name}.new")
        self._half: _Half | None = None
        # After a flush that failed nobody knows what of the file is on the disk, whatever is read.
        self._is_sound = True

    def read(self) -> bytes | None:
        """The checkpoint's note, None when there is no such file.

        Raises:
            LogUnavailableError: It cannot be read, or is damaged.
        """
        try:
            return newest_note(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("read", error) from error
        except KeptFileError as error:
            raise halted(f"the checkpoint file {self.path} cannot be believed: {error}") from error

    def prepare(self, note: str) -> None:
        """Make ready to keep the next checkpoint. Raises LogUnavailableError."""
        self._close()
        signed = note.encode()
        try:
            self._half = _open_older_half(self.path, signed) if self._is_sound else None
            if self._half is None:
                self._write_draft(first_file(signed))
        except OSError as error:
            raise self._failed("written", error) from error
        except KeptFileError as error:
            raise LogUnavailableError(f"the checkpoint cannot be kept: {error}") from error

    def publish(self) -> None:
        """Keep what was prepared, down to the disk. Raises LogUnavailableError."""
        self._is_sound = False
        try:
            if self._half is None:
                self._draft.replace(self.path)
                self._sync_folder()
            else:
                _write_through(self._half)
        except OSError as error:
            raise self._failed("replaced", error) from error
        finally:
            self._close()
        self._is_sound = True

    def discard(self) -> None:
        """Forget what was prepared: a signature over a tree that never was helps nobody."""
        self._close()
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)

    def set_aside(self, suffix: str) -> None:
        """Keep the checkpoint's note beside it, as evidence. Raises LogUnavailableError."""
        note = self.read()
        if note is None:
            return
        try:
            self.path.with_name(f"{self.path.name}.{suffix}").write_bytes(note)
            self._sync_folder()
        except OSError as error:
            raise self._failed("copied", error) from error

    def _write_draft(self, data: bytes) -> None:
        # Bytes and no hole: what is written in place later must find its room.
        handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _close(self) -> None:
        if self._half is not None:
            os.close(self._half.handle)
            self._half = None

    def _sync_folder(self) -> None:
        handle = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _failed(self, what: str, error: OSError) -> LogUnavailableError:
        return LogUnavailableError(
            f"the checkpoint file {self.path} cannot be {what}: {error.strerror}",
            way_out="check its folder's owner and the free space",
        )


def _open_older_half(path: Path, note: bytes) -> _Half | None:
    """The half to write over; None when the file has to be made anew.

    Read each time: somebody may have put another file there meanwhile.
    """
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        kept = parse_kept(os.pread(handle, KEPT_SIZE + 1, 0))
        return _Half(handle, format_half(note, kept.number + 1), HALF * (1 - kept.half))
    except KeptFileError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise


def _write_through(half: _Half) -> None:
    if os.pwrite(half.handle, half.data, half.place) != len(half.data):
        raise OSError(errno.ENOSPC, "only a part of it was written")
    # The file keeps its length, so that nothing but its times is left unflushed.
    os.fdatasync(half.handle)
