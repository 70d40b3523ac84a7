"""Verification of a tlog-proof: one entry is in the log, shown by one small file."""

from collections.abc import Sequence

from callpoint.audit.merkle import HASH_SIZE, ProofError, leaf_hash, verify_inclusion
from callpoint.audit.note import Verifier
from callpoint.audit.proof_file import ProofFile, ProofFileError, parse_proof_file
from callpoint.audit.verify.report import Code, Findings, Report
from callpoint.audit.verify.signed_head import read_checkpoint
from callpoint.audit.verify.witnessed import WitnessPolicy, require_witnesses


def verify_proof(
    data: bytes,
    vkey: str,
    origin: str | None = None,
    *,
    entry: bytes | None = None,
    former: Sequence[str] = (),
    policy: WitnessPolicy | None = None,
) -> Report:
    """Check that a tlog-proof leads from an entry to a root that the log signed.

    Args:
        data: The file.
        vkey: The log's verifier key.
        origin: The log's name; by default the name of its key.
        entry: The entry's leaf. Without it the leaf hash in the file's ``extra`` is taken, and a
            note says which: then it is shown that *some* entry with that hash is in the log.
        former: Verifier keys that the log had before.
        policy: Which witnesses must have cosigned.

    Returns:
        The report; tampering is in it and is never raised.

    Raises:
        note.MalformedNoteError: `vkey` or a former one is no verifier key.
    """
    verifier = Verifier.parse(vkey)
    before = tuple(Verifier.parse(key) for key in former)
    findings = Findings()
    try:
        found = parse_proof_file(data)
    except ProofFileError as error:
        findings.add(Code.MALFORMED_PROOF, f"this is no tlog-proof: {error}")
        return findings.report(0)
    name = verifier.name if origin is None else origin
    what = "the proof's checkpoint"
    head = read_checkpoint(found.checkpoint, verifier, name, what, findings, before)
    leaf = _leaf(found, entry, findings)
    if head is not None and leaf is not None:
        try:
            verify_inclusion(leaf, found.index, head.size, found.proof, head.root)
        except ProofError as error:
            findings.add(Code.NOT_INCLUDED, str(error), found.index)
    report = findings.report(0 if leaf is None else 1)
    return require_witnesses(report, found.checkpoint, policy or WitnessPolicy())


def _leaf(found: ProofFile, entry: bytes | None, findings: Findings) -> bytes | None:
    """The leaf hash that is to be in the tree; None after a finding."""
    stated = found.extra
    if entry is not None:
        computed = leaf_hash(entry)
        if stated is not None and len(stated) == HASH_SIZE and stated != computed:
            message = "this is not the entry that the proof was made for"
            findings.add(Code.NOT_INCLUDED, message, found.index)
            return None
        return computed
    if stated is None or len(stated) != HASH_SIZE:
        message = "the proof names no leaf hash, so say which entry it is about"
        findings.add(Code.NOT_INCLUDED, message, found.index)
        return None
    findings.note(
        f"entry {found.index} has the leaf hash {stated.hex()}; what it says is not shown"
    )
    return stated
