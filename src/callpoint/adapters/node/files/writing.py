"""Bringing a small file to the disk, whole or not at all, readable by its owner alone."""

import contextlib
import os
import tempfile
from pathlib import Path

from callpoint.domain.errors import StoreUnavailableError


def write_whole(path: Path, body: bytes) -> None:
    """Write it beside its place and move it there; 0600. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def failed(path: Path, what: str, error: OSError) -> StoreUnavailableError:
    """The error for a file of the home folder."""
    return StoreUnavailableError(
        f"{path} cannot be {what}: {error.strerror}",
        way_out="check the folder's owner and the free space; what takes away goes on meanwhile",
    )
