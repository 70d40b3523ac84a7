"""The picture of live leases as one file of JSON lines, ``known-leases.jsonl``.

Adding is an append that reaches the kernel, not the disk: it is on the way of every issue, and what
it is for is a restart of the process. The next ``replace`` brings all of it to the disk.
"""

import os
from pathlib import Path

import msgspec

from callpoint.adapters.node.files.writing import failed, write_whole
from callpoint.domain.known import KnownLease
from callpoint.domain.untrusted_json import read_json


class FilePicture:
    """Implements ``ports.tombstones.PictureFile``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[KnownLease, ...]:
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return ()  # the first start, or a failing disk: the targets are asked all the same
        found = [_parse(line) for line in lines]
        return tuple(lease for lease in found if lease is not None)

    def add(self, leases: tuple[KnownLease, ...]) -> None:
        # It begins with a line's end, so that a torn line before it spoils nothing.
        body = b"".join(b"\n" + msgspec.json.encode(lease) + b"\n" for lease in leases)
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(body)
        except OSError as error:
            raise failed(self._path, "written", error) from error

    def replace(self, leases: tuple[KnownLease, ...]) -> None:
        body = b"".join(msgspec.json.encode(lease) + b"\n" for lease in leases)
        try:
            write_whole(self._path, body)
        except OSError as error:
            raise failed(self._path, "written", error) from error


def _parse(line: bytes) -> KnownLease | None:
    try:
        return read_json(line, KnownLease)
    except msgspec.DecodeError:
        return None
