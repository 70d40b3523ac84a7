"""Tombstones as files, one each: ``<id>.json``; those that were refused lie in ``refused/``."""

import errno
import os
import stat
from pathlib import Path

import msgspec

from callpoint.adapters.node.files.writing import failed, sync_folder, write_whole
from callpoint.domain.tombstone import Tombstone
from callpoint.domain.untrusted_json import read_json
from callpoint.ports.tombstones import Waiting

_SUFFIX = ".json"
_MOST = 1 << 20
"""Bytes that are read: an order of ``MAX_ORDER`` and its addresses take a small part of it."""


class FileShelf:
    """Implements ``ports.tombstones.TombstoneShelf``.

    Args:
        folder: Made (0700) with the first tombstone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._refused = folder / "refused"

    def put(self, tombstone: Tombstone) -> None:
        path = self._path(tombstone.id)
        try:
            if path.exists():
                return
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._folder.parent)
            write_whole(path, msgspec.json.format(msgspec.json.encode(tombstone)) + b"\n")
        except OSError as error:
            raise failed(path, "written", error) from error

    def waiting(self) -> tuple[Waiting, ...]:
        try:
            names = sorted(p.name for p in self._folder.iterdir() if p.suffix == _SUFFIX)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise failed(self._folder, "read", error) from error
        # A draft that a crash left has a leading dot; a merge may take a file away in between.
        found = [self._read(name) for name in names if not name.startswith(".")]
        return tuple(one for one in found if one is not None)

    def retire(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
            if self._folder.exists():
                sync_folder(self._folder)
        except OSError as error:
            raise failed(path, "removed", error) from error

    def set_aside(self, key: str) -> None:
        path = self._path(key)
        try:
            self._refused.mkdir(mode=0o700, exist_ok=True)
            path.replace(self._refused / path.name)
            sync_folder(self._folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise failed(path, "set aside", error) from error

    def aside(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(p.stem for p in self._refused.glob(f"*{_SUFFIX}")))
        except OSError as error:
            raise failed(self._refused, "read", error) from error

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"

    def _read(self, name: str) -> Waiting | None:
        path = self._folder / name
        key = name.removesuffix(_SUFFIX)
        try:
            parsed = read_json(_content(path), Tombstone)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failed(path, "read", error) from error
        except msgspec.DecodeError:
            return Waiting(key, None)
        # Under another name it is no file of ours: whoever wrote it is judged like a damaged one.
        return Waiting(key, parsed if parsed.id == key else None)


def _content(path: Path) -> bytes:
    """What is in a file of ours; empty for what is none. Raises OSError.

    Nothing is given while a tombstone waits, so whatever lies there must be judged and set aside:
    a pipe never answers, a link may lead to something without end, a folder is never readable.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link; a socket
            return b""
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return b""
    with os.fdopen(handle, "rb") as file:
        return file.read(_MOST)
