"""The last checkpoint, kept outside the database, so that a rolled-back database is noticed.

It is replaced in two steps around the commit: ``prepare`` brings the new one to the disk beside
the old, ``publish`` puts it in its place. A death in between leaves the older one, which the
database extends; the other order would make every such death look like a rollback.
"""

import os
from contextlib import suppress
from pathlib import Path

from callpoint.domain.errors import LogUnavailableError


class CheckpointFile:
    """One file, with one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draft = path.with_name(f".{path.name}.new")

    def read(self) -> bytes | None:
        """The checkpoint's note, None when there is no such file.

        Raises:
            LogUnavailableError: It cannot be read.
        """
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("read", error) from error

    def prepare(self, note: str) -> None:
        """Bring the next checkpoint to the disk. Raises LogUnavailableError."""
        try:
            handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            with os.fdopen(handle, "wb") as file:
                file.write(note.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._failed("written", error) from error

    def publish(self) -> None:
        """Put what was prepared in its place. Raises LogUnavailableError."""
        try:
            self._draft.replace(self.path)
            self._sync_folder()
        except OSError as error:
            raise self._failed("replaced", error) from error

    def discard(self) -> None:
        """Forget what was prepared: a signature over a tree that never was helps nobody."""
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)

    def set_aside(self, suffix: str) -> None:
        """Keep a copy of the checkpoint beside it, as evidence. Raises LogUnavailableError."""
        try:
            self.path.with_name(f"{self.path.name}.{suffix}").write_bytes(self.path.read_bytes())
            self._sync_folder()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed("copied", error) from error

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
