"""C2SP tlog-witness: what a log sends to a witness, and the checks before the witness cosigns.

Nothing here stores or signs. The caller holds the origin's latest state still (no second request
may pass in between) and has it on the disk before a signature leaves.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from callpoint.audit.checkpoint import Checkpoint, CheckpointError, parse_checkpoint
from callpoint.audit.merkle import (
    EMPTY_ROOT,
    HASH_SIZE,
    ProofError,
    verify_consistency,
)
from callpoint.audit.note import NoteError, Verifier, parse_note, verify_note

MAX_LINES = 63
"""Most lines of a consistency proof."""

SIZE_TYPE = "text/x.tlog.size"
"""The content type of a conflict: the body is the size that the witness knows."""

_OLD = re.compile(r"old (0|[1-9][0-9]{0,15})")


class SubmissionError(ValueError):
    """A submission is refused.

    Attributes:
        status: The HTTP status that tlog-witness gives to the reason.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OutdatedError(SubmissionError):
    """The log believes that the witness knows another size.

    Attributes:
        size: What the witness knows.
    """

    def __init__(self, size: int) -> None:
        super().__init__(409, f"the latest cosigned checkpoint has {size} entries")
        self.size = size


@dataclass(frozen=True, slots=True)
class Submission:
    """The body of ``add-checkpoint``.

    Attributes:
        old: Size of the checkpoint that the witness is believed to know.
        proof: Consistency proof from there.
        note: The signed checkpoint, as bytes.
    """

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    def format(self) -> bytes:
        """The bytes of the body."""
        lines = "".join(f"{base64.b64encode(item).decode()}\n" for item in self.proof)
        return f"old {self.old}\n{lines}\n".encode() + self.note


def parse_submission(body: bytes) -> Submission:
    """Read the body of ``add-checkpoint`` strictly.

    Raises:
        SubmissionError: It is none (400).
    """
    head, separator, note = body.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise SubmissionError(400, "the proof is not ASCII") from error
    old = _OLD.fullmatch(first)
    if not separator or not old:
        raise SubmissionError(400, "a submission is: old SIZE, proof, empty line, checkpoint")
    if len(lines) > MAX_LINES:
        raise SubmissionError(400, f"a consistency proof has at most {MAX_LINES} lines")
    return Submission(int(old[1]), tuple(_hash(line) for line in lines), note)


def open_submitted(submission: Submission, origin: str, keys: Iterable[Verifier]) -> Checkpoint:
    """The submitted checkpoint, signed by a trusted key of the log `origin`.

    Raises:
        SubmissionError: 403 when no trusted key signed it, or one's signature is bad; 400 when
            what was signed is no checkpoint of that log.
    """
    checkpoint = submitted(submission)
    try:
        verify_note(parse_note(submission.note), keys)
    except NoteError as error:
        raise SubmissionError(403, str(error)) from error
    if checkpoint.origin != origin:
        raise SubmissionError(400, f"the checkpoint is of {checkpoint.origin}")
    return checkpoint


def submitted(submission: Submission) -> Checkpoint:
    """What the checkpoint says, **unverified**. SubmissionError (400) when it says nothing."""
    try:
        return parse_checkpoint(parse_note(submission.note).text)
    except (NoteError, CheckpointError) as error:
        raise SubmissionError(400, str(error)) from error


def check_growth(submission: Submission, checkpoint: Checkpoint, latest: Checkpoint | None) -> None:
    """Check that the submitted checkpoint extends the latest that the witness cosigned.

    Args:
        submission: What came.
        checkpoint: What is in it, opened.
        latest: What the witness knows of this origin; None when it never cosigned one.

    Raises:
        SubmissionError: 400, 409 (`OutdatedError`) or 422.
    """
    known = Checkpoint(checkpoint.origin, 0, EMPTY_ROOT) if latest is None else latest
    if submission.old > checkpoint.size:
        raise SubmissionError(400, "the old size is larger than the checkpoint's")
    if submission.old != known.size:
        raise OutdatedError(known.size)
    if not checkpoint.size and checkpoint.root != EMPTY_ROOT:
        raise SubmissionError(422, "a tree without entries has another root")
    try:
        verify_consistency(
            known.size, checkpoint.size, submission.proof, known.root, checkpoint.root
        )
    except ProofError as error:
        raise SubmissionError(422, str(error)) from error


def _hash(line: str) -> bytes:
    try:
        found = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SubmissionError(400, "a line of the proof is not base64") from error
    if len(found) != HASH_SIZE or base64.b64encode(found).decode() != line:
        raise SubmissionError(400, "a line of the proof is no hash in base64")
    return found
