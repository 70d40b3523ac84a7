"""C2SP tlog-proof: one file that shows, offline, that an entry is in a log."""

import base64
import binascii
import re
from dataclasses import dataclass

from callpoint.audit.merkle import HASH_SIZE, MAX_SIZE
from callpoint.audit.note import MAX_NOTE_SIZE

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_SIZE = MAX_NOTE_SIZE + 100_000
"""Largest file that is read, in bytes: the largest note, and room for what stands in front."""

_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})")
_EXTRA = "extra "


class ProofFileError(ValueError):
    """The bytes are no tlog-proof."""


@dataclass(frozen=True, slots=True)
class ProofFile:
    """Where an entry is, and what leads from its hash to a signed root.

    **Parsed is not verified**: see ``verify.verify_proof``.

    Attributes:
        index: The entry's place in the log.
        proof: Its inclusion proof, lowest level first.
        checkpoint: The signed checkpoint, cosigned or not, as bytes.
        extra: Opaque, and covered by no signature; we write none.
    """

    index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def format(self) -> bytes:
        """The file."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + base64.b64encode(self.extra).decode())
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(item).decode() for item in self.proof]
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint


def parse_proof_file(data: bytes) -> ProofFile:
    """Read a tlog-proof strictly; nothing in it is checked against anything.

    Raises:
        ProofFileError: The bytes are not exactly what `ProofFile.format` would write.
    """
    if len(data) > MAX_PROOF_SIZE:
        raise ProofFileError(f"a proof has at most {MAX_PROOF_SIZE} bytes")
    head, separator, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise ProofFileError("the proof is not ASCII before its checkpoint") from error
    if not separator or lines.pop(0) != HEADER:
        raise ProofFileError(f"a proof begins with {HEADER}")
    extra = None
    if lines and lines[0].startswith(_EXTRA):
        extra = _decoded(lines.pop(0).removeprefix(_EXTRA))
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if not found or int(found[1]) > MAX_SIZE:
        raise ProofFileError("a proof names the entry's index")
    proof = tuple(_decoded(line) for line in lines)
    if len(proof) > MAX_SIZE.bit_length() or any(len(item) != HASH_SIZE for item in proof):
        raise ProofFileError("each line of a proof is one hash, and no tree is as high")
    return ProofFile(int(found[1]), proof, checkpoint, extra)


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofFileError("a line of the proof is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise ProofFileError("a line of the proof is not canonical base64")
    return data
