"""One process per database file: a second writer would number the same entries."""

import fcntl
import os
from pathlib import Path

from callpoint.domain.errors import StoreUnavailableError


class ProcessLock:
    """Holds ``<database>.lock`` from construction to ``release``; a dead process lets go of it.

    Raises:
        StoreUnavailableError: Another process holds it, or it cannot be made.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(f"{database.name}.lock")
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreUnavailableError(
                f"{path} cannot be made: {error.strerror}", way_out="check the folder's owner"
            ) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise StoreUnavailableError(
                f"another Callpoint has {database} open",
                way_out="stop it first, or use PostgreSQL to run several",
            ) from error

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._handle)
