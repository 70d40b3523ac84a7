"""The bytes of the checkpoint file: two halves that are written in turns, each with one note.

A half that was cut while it was written leaves the other, so the file is replaced in place and no
file has to be made, renamed and brought to its folder for each commit
(``docs/adr/0026-the-checkpoint-file-has-two-halves.md``). It is text: each half is a line with its
number and digest, a signed note, and newlines up to 4096 bytes. A file that holds nothing but a
note is read too: earlier versions wrote those, and people keep them. Nothing here reads or writes.
"""

import hashlib
import re
from dataclasses import dataclass

from callpoint.audit.note import MalformedNoteError

HALF = 4096
"""Bytes of a half: a page, so that no write of one half touches what the other lies in."""

KEPT_SIZE = 2 * HALF
"""Bytes of the file, from its beginning on: what is written in place needs no new room."""

_NAME = "callpoint-kept/1"
_LAST = 10**15
"""Numbers stay below this; one is used for each commit."""

_HEADER = re.compile(rb"callpoint-kept/1 (0|[1-9][0-9]{0,14}) ([0-9a-f]{64})")


class KeptFileError(MalformedNoteError):
    """The file has no whole half, or a note does not fit into one."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file of two halves keeps.

    Attributes:
        note: The newest note.
        number: How many notes were kept before it, in this file or in one that it replaced.
        half: Where it stands: 0 or 1.
    """

    note: bytes
    number: int
    half: int


def is_in_halves(data: bytes) -> bool:
    """Whether it has two halves, or had them once."""
    return data.startswith(_NAME.encode()) or data[HALF:].startswith(_NAME.encode())


def parse_kept(data: bytes) -> Kept:
    """The newest note of a file of two halves; whether it is signed is its reader's business.

    Raises:
        KeptFileError: It has another length, or neither half is whole.
    """
    if len(data) != KEPT_SIZE:
        raise KeptFileError(f"a checkpoint file has {KEPT_SIZE} bytes, not {len(data)}")
    halves = (_parse_half(data[:HALF], 0), _parse_half(data[HALF:], 1))
    whole = [half for half in halves if half is not None]
    if not whole:
        raise KeptFileError("neither half of the checkpoint file is whole")
    return max(whole, key=lambda half: half.number)


def newest_note(data: bytes) -> bytes:
    """The note in a checkpoint file; bytes that are not of two halves are a note as they are.

    Raises:
        KeptFileError: As `parse_kept`.
    """
    return parse_kept(data).note if is_in_halves(data) else data


def first_file(note: bytes) -> bytes:
    """A whole file that keeps one note. KeptFileError when the note does not fit."""
    return format_half(note, 0) + b"\n" * HALF


def format_half(note: bytes, number: int) -> bytes:
    """The half that is written over the older one. KeptFileError when the note does not fit."""
    if not 0 <= number < _LAST:
        raise KeptFileError(f"a checkpoint file has no note {number}")
    half = f"{_NAME} {number} {_digest(note, number)}\n".encode() + note
    if len(half) > HALF or note != note.rstrip() + b"\n":
        raise KeptFileError(f"a note of {len(note)} bytes does not fit into half a checkpoint file")
    return half.ljust(HALF, b"\n")


def _parse_half(half: bytes, place: int) -> Kept | None:
    """What stands in it; None when it is empty, or when a write of it did not come to its end."""
    header, _, rest = half.partition(b"\n")
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    note, number = rest.rstrip() + b"\n", int(found[1])  # no note ends in white space
    return Kept(note, number, place) if _digest(note, number) == found[2].decode() else None


def _digest(note: bytes, number: int) -> str:
    # The number too: a half whose header is new and whose note is old is not whole.
    return hashlib.sha256(f"{_NAME} {number}\n".encode() + note).hexdigest()
