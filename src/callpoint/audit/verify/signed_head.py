"""Reading a checkpoint for a verification: failures become findings, and reading goes on."""

import re
from collections.abc import Sequence

from callpoint.audit.checkpoint import Checkpoint, CheckpointError, parse_checkpoint
from callpoint.audit.kept_file import newest_note
from callpoint.audit.note import (
    BadSignatureError,
    MalformedNoteError,
    UnknownKeyError,
    Verifier,
    parse_note,
    verify_note,
)
from callpoint.audit.verify.report import Code, Findings

_ORIGIN = re.compile(r"(?P<log>callpoint/[^/]+)(?:/(?P<times>[1-9][0-9]{0,8}))?")
"""An installation's log, and after recoveries which it is (``docs/audit-log-format.md``)."""


def read_checkpoint(
    data: bytes,
    verifier: Verifier,
    origin: str,
    what: str,
    findings: Findings,
    former: Sequence[Verifier] = (),
) -> Checkpoint | None:
    """The checkpoint, also when its signature is not good: the comparison goes on all the same.

    Whoever uses it knows from `findings` that it is not to be believed.

    Args:
        data: The signed note, or the file in which a server keeps it outside its database.
        verifier: The log's key.
        origin: The log's name.
        what: What to call this checkpoint in findings.
        findings: Where failures go.
        former: Keys that the log had before a rotation; a checkpoint of then is signed by one.

    Returns:
        What the checkpoint says, or None when it cannot be read at all.
    """
    try:
        note = parse_note(newest_note(data))
        checkpoint = parse_checkpoint(note.text)
    except (MalformedNoteError, CheckpointError) as error:
        findings.add(Code.MALFORMED_CHECKPOINT, f"{what} cannot be read: {error}")
        return None
    try:
        if verifier not in verify_note(note, (verifier, *former)):
            findings.note(f"{what} is signed by a former key of the log, not by the one in use")
    except BadSignatureError:
        message = f"{what} is not what {verifier.name!a} signed: it was changed, or is forged"
        findings.add(Code.BAD_SIGNATURE, message)
    except UnknownKeyError:
        message = (
            f"{what} is not signed by the key {verifier.name}+{verifier.key_id.hex()}"
            " (if the log had another key when it was signed, name that one too: --former-key)"
        )
        findings.add(Code.WRONG_KEY, message)
    if checkpoint.origin != origin:
        message = f"{what} is of the log {checkpoint.origin!a}, not of {origin!a}"
        if _was_recovered(origin, checkpoint.origin):
            message += (
                " (it seems to have been recovered since: ask the governors, and name the newer"
                " installation.json with --installation)"
            )
        findings.add(Code.WRONG_ORIGIN, message)
    return checkpoint


def _was_recovered(origin: str, seen: str) -> bool:
    """Whether ``seen`` names the same log after more recoveries, as far as a name can say."""
    named, found = _ORIGIN.fullmatch(origin), _ORIGIN.fullmatch(seen)
    if named is None or found is None or named["log"] != found["log"]:
        return False
    return int(found["times"] or 1) > int(named["times"] or 1)
