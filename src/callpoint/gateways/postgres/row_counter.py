"""How many rows a client sends with COPY, whatever the pieces are that they come in."""

import struct

from callpoint.gateways.postgres.frames import HEADER

_HEADER_SIZE = 19
"""Of the binary format: signature (11), flags (4), length of the extension (4)."""


class RowCounter:
    """Counts rows of COPY: lines of text, tuples in binary format, whatever the pieces are.

    A line break within quotes counts as well, so never too few are counted.
    """

    def __init__(self, *, is_binary: bool) -> None:
        self._is_binary = is_binary
        self._rest = b""
        self._fields = 0
        self._skip = 0
        self._is_header = True
        self._is_over = False

    def count(self, frame: bytes) -> int:
        """Rows that begin (binary) or end (text) in a CopyData message."""
        if not self._is_binary:
            data = frame[HEADER:]
            return max(data.count(b"\n"), data.count(b"\r"))
        return self._tuples(self._rest + frame[HEADER:])

    def _tuples(self, data: bytes) -> int:
        at, size, rows = 0, len(data), 0
        while not self._is_over:
            if self._skip:
                step = min(self._skip, size - at)
                at += step
                self._skip -= step
                if self._skip:
                    break
            need = _HEADER_SIZE if self._is_header else 4 if self._fields else 2
            if size - at < need:
                break
            if self._is_header:
                (extension,) = struct.unpack_from("!I", data, at + need - 4)
                self._skip, self._is_header = extension, False
            elif self._fields:
                (length,) = struct.unpack_from("!i", data, at)
                self._skip = max(length, 0)
                self._fields -= 1
            else:
                (fields,) = struct.unpack_from("!h", data, at)
                self._is_over = fields < 0
                self._fields = max(fields, 0)
                rows += fields >= 0
            at += need
        self._rest = data[at:] if not self._is_over else b""
        return rows
