"""The time stamp in a bundle: what of the bundle an outside authority saw, and when (RFC 3161)."""

from collections.abc import Callable, Sequence

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.entry import format_time
from callpoint.audit.merkle import ProofError, verify_consistency
from callpoint.audit.verify.report import Code, Findings
from callpoint.audit.verify.timestamp import TimestampError, check_timestamp


class BundleStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stamped checkpoint of the same log, not newer than the bundle's.

    Attributes:
        checkpoint: The signed note; exactly these bytes (UTF-8) were stamped.
        consistency: That the bundle's checkpoint extends it.
        response: The authority's answer, DER (base64 on the wire).
        at: The time that it is said to state, as entries write times.
    """

    checkpoint: str
    consistency: list[bytes]
    response: bytes
    at: str


def check_stamp(
    stamp: BundleStamp | None,
    head: Checkpoint | None,
    read: Callable[[bytes, str], Checkpoint | None],
    places: Sequence[int],
    authority: bytes | None,
    findings: Findings,
) -> None:
    """Check the stamp, and say what it covers.

    Args:
        stamp: As the bundle has it.
        head: The bundle's checkpoint.
        read: Opens a checkpoint and checks its signature; the second argument is what to call it.
        places: Log indices of the activation's entries.
        authority: The authority's certificates, PEM; None when nobody asks.
        findings: Where failures go.
    """
    if stamp is None:
        if authority is not None:
            words = "the bundle has no time stamp (--timestamp-authority asks for one)"
            findings.add(Code.TIMESTAMP_MISSING, words)
        return
    note = stamp.checkpoint.encode("utf-8", "surrogatepass")
    seen = read(note, "the stamped checkpoint")
    if seen is None or head is None:
        return  # told where it was read
    try:
        verify_consistency(seen.size, head.size, stamp.consistency, seen.root, head.root)
    except ProofError as error:
        words = f"the bundle's checkpoint does not extend the stamped one: {error}"
        findings.add(Code.TIMESTAMP_INVALID, words)
        return
    covered = sum(place < seen.size for place in places)
    what = f"{covered} of the activation's {len(places)} events"
    if authority is None:
        findings.note(
            f"a time stamp of {stamp.at} over {what} was not checked (--timestamp-authority)"
        )
        return
    _check_answer(stamp, note, authority, what, findings)


def _check_answer(
    stamp: BundleStamp, note: bytes, authority: bytes, what: str, findings: Findings
) -> None:
    try:
        found = check_timestamp(stamp.response, note, authority)
    except TimestampError as error:
        findings.add(Code.TIMESTAMP_INVALID, str(error))
        return
    at = format_time(found.at)
    if at != stamp.at:
        words = f"the time stamp states {at}, and the bundle says {stamp.at}"
        findings.add(Code.TIMESTAMP_INVALID, words)
        return
    findings.note(f"{found.by} has seen {what} in the log at {at}, at the latest")
