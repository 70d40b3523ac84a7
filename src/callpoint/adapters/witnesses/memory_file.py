"""What a witness remembers outside the database: one file beside its key.

The file is made together with the key and is never made anew: a key without its memory signs
nothing, because it could sign a fork of what it signed before.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from callpoint.domain.errors import UnavailableError
from callpoint.ports.witnesses import Remembered

_LOST = (
    "put the newest copy back; if there is none, this witness cannot go on: remove its key, make"
    " another with `callpoint key witness`, and give it to those whose logs it cosigns"
)


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: whose memory it is, and the largest tree by origin."""

    key: str
    logs: dict[str, Remembered] = {}


class MemoryFile:
    """Implements ``ports.witnesses.WitnessMemory``. One process writes it at a time.

    Args:
        path: The file.
        key: The witness's public key: another witness's memory is none of ours.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    @classmethod
    def begin(cls, path: Path, key: str) -> None:
        """Make the memory of a new key. Raises UnavailableError."""
        _write(path, _Book(key))

    def latest(self, origin: str) -> Remembered | None:
        return self._read().logs.get(origin)

    def remember(self, origin: str, tree: Remembered) -> None:
        book = self._read()
        known = book.logs.get(origin)
        if known is None or known.size < tree.size:
            _write(self._path, _Book(book.key, {**book.logs, origin: tree}))

    def is_empty(self) -> bool:
        """Whether it has never cosigned anything. Raises UnavailableError."""
        return not self._read().logs

    def _read(self) -> _Book:
        try:
            book = msgspec.json.decode(self._path.read_bytes(), type=_Book)
        except FileNotFoundError as error:
            raise UnavailableError(
                f"the witness's memory {self._path} is lost", way_out=_LOST
            ) from error
        except (OSError, msgspec.DecodeError) as error:
            raise UnavailableError(
                f"the witness's memory {self._path} cannot be read: {error}", way_out=_LOST
            ) from error
        if book.key != self._key:
            raise UnavailableError(
                f"the witness's memory {self._path} is that of another key", way_out=_LOST
            )
        return book


def _write(path: Path, book: _Book) -> None:
    """Whole or not at all, and down to the disk before it returns."""
    body = msgspec.json.format(msgspec.json.encode(book, order="deterministic")) + b"\n"
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UnavailableError(
            f"the witness's memory {path} cannot be written: {error.strerror}",
            way_out="check the folder's owner and the free space; nothing is cosigned meanwhile",
        ) from error
