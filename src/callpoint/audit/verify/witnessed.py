"""Whether enough of the reader's own witnesses cosigned a checkpoint (C2SP tlog-cosignature)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from callpoint.audit.cosignature import Seen, WitnessKey, cosigned
from callpoint.audit.note import BadSignatureError, MalformedNoteError, parse_note
from callpoint.audit.verify.report import Code, Finding, Report, printable


@dataclass(frozen=True, slots=True)
class WitnessPolicy:
    """Which witnesses the reader trusts, and how many of them must have cosigned.

    Attributes:
        witnesses: Their keys, each once.
        need: How many; at most as many as there are.
    """

    witnesses: tuple[WitnessKey, ...] = ()
    need: int = 0


def witness_policy(keys: Sequence[str], need: int | None = None) -> WitnessPolicy:
    """The policy that a command line says.

    Args:
        keys: C2SP vkeys of type 0x04.
        need: How many must have cosigned; by default all that are named.

    Raises:
        note.MalformedNoteError: One is no witness's key, one is named twice, or more are needed
            than are named.
    """
    parsed = tuple(WitnessKey.parse(key) for key in keys)
    if len({witness.key for witness in parsed}) < len(parsed):
        raise MalformedNoteError("a witness's key is named twice")
    wanted = len(parsed) if need is None else need
    if not 0 <= wanted <= len(parsed):
        raise MalformedNoteError(f"needed witnesses: {wanted}, named: {len(parsed)}")
    return WitnessPolicy(parsed, wanted)


def require_witnesses(report: Report, note: bytes, policy: WitnessPolicy) -> Report:
    """The report on something with a checkpoint, with what its cosignatures say added.

    Args:
        report: Of everything else; a note that cannot be read is found there.
        note: The signed checkpoint.
        policy: The reader's.
    """
    if not policy.witnesses:
        return report
    try:
        seen = cosigned(parse_note(note), policy.witnesses)
    except BadSignatureError as error:
        message = f"a witness did not sign this checkpoint as it stands here: {error}"
        return _with(report, Finding(Code.BAD_SIGNATURE, printable(message)))
    except MalformedNoteError:
        return report  # the report says so already
    notes = tuple(printable(_told(one)) for one in seen)
    told = Report(report.size, report.findings, (*report.notes, *notes))
    if len(seen) >= policy.need:
        return told
    signed = {one.witness for one in seen}
    missing = ", ".join(w.name for w in policy.witnesses if w not in signed)
    message = f"{len(seen)} of the {policy.need} witnesses needed cosigned; missing: {missing}"
    return _with(told, Finding(Code.NOT_WITNESSED, printable(message)))


def _told(seen: Seen) -> str:
    try:
        when = datetime.fromtimestamp(seen.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        when = f"second {seen.time} of 1970 and after"
    return f"cosigned by {seen.witness.name}, who says it was {when}"


def _with(report: Report, finding: Finding) -> Report:
    return Report(report.size, (finding, *report.findings), report.notes)
