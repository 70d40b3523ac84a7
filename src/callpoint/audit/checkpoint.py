"""C2SP tlog checkpoints: a log's name, size and root as the text of a signed note.

A checkpoint is believed only as `open_checkpoint` returns it: parsed is not verified.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from callpoint.audit.merkle import HASH_SIZE, MAX_SIZE
from callpoint.audit.note import Note, Signer, Verifier, parse_note, sign_note, verify_note

MAX_EXTENSIONS = 16
"""Most extension lines; C2SP advises against any, and we write none."""

_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


class CheckpointError(ValueError):
    """A checkpoint is malformed, or is that of another log.

    The one error of this module for what a checkpoint says; whether it is signed is
    `note.NoteError`.
    """


class WrongOriginError(CheckpointError):
    """The checkpoint is of another log than the one asked about."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says about itself.

    Attributes:
        origin: The log's name, such as ``callpoint.example/4f2c``: one line, not empty.
        size: How many leaves the tree has.
        root: The root of that tree, 32 bytes.
        extensions: Further lines, opaque, none of them empty.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise CheckpointError(f"a tree cannot have {self.size} leaves")
        if len(self.root) != HASH_SIZE:
            raise CheckpointError(f"a root has {HASH_SIZE} bytes, not {len(self.root)}")
        if len(self.extensions) > MAX_EXTENSIONS:
            raise CheckpointError(f"a checkpoint has at most {MAX_EXTENSIONS} extension lines")
        for line in (self.origin, *self.extensions):
            if not line or any(character < " " for character in line):
                raise CheckpointError("a checkpoint's lines are not empty and hold no controls")

    def format(self) -> str:
        """The text of the note."""
        root = base64.b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint's note strictly.

    Raises:
        CheckpointError: It is not exactly what `Checkpoint.format` would write.
    """
    lines = text.split("\n")
    if len(lines) < len(("origin", "size", "root", "")) or lines.pop():
        raise CheckpointError("a checkpoint is three lines or more, each ended by a newline")
    origin, size, root, *extensions = lines
    if not _SIZE.fullmatch(size):
        raise CheckpointError("a checkpoint's second line is the tree size in decimal digits")
    try:
        raw = base64.b64decode(root, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckpointError("a checkpoint's third line is the root in base64") from error
    checkpoint = Checkpoint(origin, int(size), raw, tuple(extensions))
    if checkpoint.format() != text:
        raise CheckpointError("the checkpoint is not in canonical form")
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[Signer]) -> Note:
    """Sign a checkpoint. Whoever calls answers for its being an extension of every earlier one."""
    return sign_note(checkpoint.format(), signers)


def open_checkpoint(data: bytes, verifiers: Iterable[Verifier], origin: str) -> Checkpoint:
    """Read a signed checkpoint of the log `origin` and verify it.

    Raises:
        note.NoteError: It is no signed note, no known key signed it, or a signature is bad.
        CheckpointError: The signed text is no checkpoint.
        WrongOriginError: It is another log's.
    """
    note = parse_note(data)
    verify_note(note, verifiers)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != origin:
        raise WrongOriginError(f"the checkpoint is of {checkpoint.origin!r}, not of {origin!r}")
    return checkpoint
