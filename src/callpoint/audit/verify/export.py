"""Reading an exported log from files: JSON lines ``{"index": n, "leaf": base64}``, streamed."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from callpoint.audit.verify.report import Code, Findings

_MAX_LINE = 100_000  # the longest leaf in base64, with the rest of its line
_SUFFIX = "*.jsonl"


class ExportLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of an export."""

    index: int
    leaf: bytes


def read_export(path: Path, findings: Findings) -> Iterator[bytes]:
    """The leaves of an export, one at a time.

    A line that cannot be read gives an empty leaf, which is no entry, and a finding; a line that
    stands at another place than it says gives a finding.

    Args:
        path: A file, or a folder whose ``*.jsonl`` files are read in the order of their names.
        findings: Where failures go.

    Raises:
        OSError: A file cannot be read, or the folder has none.
    """
    files = sorted(path.glob(_SUFFIX)) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path} holds no {_SUFFIX} file")
    place = expected = 0
    for file in files:
        for line in _lines(file):
            leaf, expected = _read_line(line, place, expected, findings)
            yield leaf
            place += 1


def read_leaf(path: Path) -> bytes:
    """One entry's leaf, alone in a file; an editor's newline at its end is no part of it.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(_MAX_LINE).removesuffix(b"\n")


def _lines(file: Path) -> Iterator[bytes]:
    """The lines of a file; what is longer than any entry comes in pieces, none of them readable."""
    with file.open("rb") as stream:
        while line := stream.readline(_MAX_LINE):
            yield line


def _read_line(line: bytes, place: int, expected: int, findings: Findings) -> tuple[bytes, int]:
    """The leaf of a line and the index that the next line should have."""
    try:
        read = msgspec.json.decode(line, type=ExportLine)
    except (ValueError, RecursionError) as error:
        findings.add(Code.ENTRY_MALFORMED, f"line {place + 1} cannot be read: {error}", place)
        return b"", expected + 1
    if read.index > expected:
        message = f"line {place + 1} says index {read.index} where {expected} was to come"
        findings.add(Code.ENTRY_REMOVED, message, expected)
    elif read.index < expected:
        message = f"line {place + 1} says index {read.index}, which has passed"
        findings.add(Code.ENTRY_REORDERED, message, read.index)
        return read.leaf, expected
    return read.leaf, read.index + 1
