"""tlog-proof files and required witnesses, as the verifier that stands alone judges them."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from callpoint.audit.cosignature import Cosigner
from callpoint.audit.merkle import inclusion_proof, leaf_hash
from callpoint.audit.note import MalformedNoteError, Signature, parse_note
from callpoint.audit.proof_file import ProofFile, ProofFileError, parse_proof_file
from callpoint.audit.verify import Code, verify_proof
from callpoint.audit.verify.command import main
from callpoint.audit.verify.report import Report
from callpoint.audit.verify.witnessed import require_witnesses, witness_policy
from tests.fakes.sample_log import VKEY, nodes_of, sample_log

LOG = sample_log()
NORTH, SOUTH = Cosigner("north.example/w", b"n" * 32), Cosigner("south.example/w", b"s" * 32)
KEYS = tuple(key.public.format() for key in (NORTH, SOUTH))
TIME = 1_790_000_000


def seen_by(*witnesses: Cosigner, time: int = TIME) -> bytes:
    """The newest checkpoint of the log, cosigned."""
    note = LOG.checkpoint()
    text = parse_note(note).text
    return note + "".join(w.cosign(text, time).line() for w in witnesses).encode()


def proof(index: int = 3, *witnesses: Cosigner, extra: bool = True) -> ProofFile:
    """An honest proof of one of the log's entries."""
    leaf = leaf_hash(LOG.leaves[index])
    way = tuple(inclusion_proof(index, len(LOG.leaves), nodes_of(LOG.leaves)))
    return ProofFile(index, way, seen_by(*witnesses), leaf if extra else None)


def codes(report: Report) -> list[Code]:
    """What was found."""
    return [finding.code for finding in report.findings]


def judged(file: bytes, *, entry: bytes | None = None, witnesses: Sequence[str] = (), **how):
    """The verdict's codes."""
    policy = witness_policy(witnesses, how.get("need"))
    return codes(verify_proof(file, VKEY, entry=entry, policy=policy))


def test_an_honest_proof_holds():
    """With the entry, or with the leaf hash that it names; the file comes back as it was."""
    file = proof()
    assert parse_proof_file(file.format()) == file
    report = verify_proof(file.format(), VKEY)
    assert report.ok
    assert leaf_hash(LOG.leaves[3]).hex() in report.notes[0]
    assert judged(file.format(), entry=LOG.leaves[3]) == []
    assert judged(proof(extra=False).format(), entry=LOG.leaves[3]) == []


def test_a_proof_of_something_else_is_found():
    """Another entry, another place, a missing hash, a file without a hash and without an entry."""
    file = proof()
    other = proof(extra=False)
    for wrong, entry in (
        (file, LOG.leaves[4]),
        (other, LOG.leaves[4]),
        (ProofFile(4, file.proof, file.checkpoint, file.extra), None),
        (ProofFile(3, file.proof[1:], file.checkpoint, file.extra), None),
        (ProofFile(3, file.proof, file.checkpoint, b"short"), None),
        (other, None),
    ):
        assert judged(wrong.format(), entry=entry) == [Code.NOT_INCLUDED]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:0],
        lambda data: data.replace(b"@v1", b"@v2"),
        lambda data: data.replace(b"index 3", b"index 03"),
        lambda data: data.replace(b"index 3\n", b""),
        lambda data: data.replace(b"extra ", b"extra  "),
        lambda data: data.replace(b"index", b"\xffndex"),
        lambda data: data.partition(b"\n\n")[0],
        lambda data: data.replace(b"index 3\n", b"index 3\nAAAA\n"),
        lambda data: data.replace(b"index 3\n", b"index 3\n!\n"),
        lambda data: data.replace(b"index 3", b"index 9999999999999999"),
        lambda data: data + b"x" * 2_000_000,
    ],
)
def test_what_is_no_proof_is_malformed(damage):
    """Strict: there is one spelling of each proof."""
    data = damage(proof().format())
    with pytest.raises(ProofFileError):
        parse_proof_file(data)
    assert judged(data) == [Code.MALFORMED_PROOF]


def test_the_checkpoint_of_a_proof_is_checked_like_any_other():
    """A forged or foreign checkpoint is named as such."""
    file = proof()
    forged = ProofFile(3, file.proof, file.checkpoint.replace(b"\n17\n", b"\n18\n"), file.extra)
    assert Code.BAD_SIGNATURE in judged(forged.format())
    report = verify_proof(file.format(), VKEY, "another.example/log")
    assert Code.WRONG_ORIGIN in codes(report)


def test_so_many_witnesses_must_have_cosigned():
    """n of m, by key; whoever is not named does not count, and nobody counts twice."""
    assert judged(proof(3, NORTH, SOUTH).format(), witnesses=KEYS) == []
    assert judged(proof(3, NORTH).format(), witnesses=KEYS, need=1) == []
    assert judged(proof(3, NORTH).format(), witnesses=KEYS) == [Code.NOT_WITNESSED]
    assert judged(proof(3, NORTH, NORTH).format(), witnesses=KEYS) == [Code.NOT_WITNESSED]
    assert judged(proof(3, SOUTH).format(), witnesses=KEYS[:1]) == [Code.NOT_WITNESSED]
    assert judged(proof(3).format(), witnesses=KEYS, need=0) == []
    report = verify_proof(proof(3, NORTH).format(), VKEY, policy=witness_policy(KEYS[:1]))
    assert any("north.example/w, who says it was 2026-09" in note for note in report.notes)


def test_a_bad_cosignature_refuses_the_checkpoint():
    """A known witness's line over something else, cut, or without a time is worse than none."""
    text = parse_note(LOG.checkpoint()).text
    good = NORTH.cosign(text, TIME)
    for line in (
        NORTH.cosign(text.replace("17", "18"), TIME),
        Signature(good.name, good.key_id, good.signature[:-1]),
        Signature(good.name, good.key_id, bytes(8) + good.signature[8:]),
        Signature(good.name, good.key_id, b"\xff" * 8 + good.signature[8:]),
        Signature(good.name, good.key_id, SOUTH.cosign(text, TIME).signature),
    ):
        note = LOG.checkpoint() + line.line().encode()
        report = require_witnesses(Report(1), note, witness_policy(KEYS, 0))
        assert codes(report) == [Code.BAD_SIGNATURE]


@pytest.mark.parametrize(
    "keys, need", [((KEYS[0], KEYS[0]), None), (KEYS, 3), (KEYS, -1), ((VKEY,), None), (("x",), 1)]
)
def test_a_policy_that_cannot_be_is_refused(keys, need):
    """A key twice, more than there are, a log's key: the reader is told before anything else."""
    with pytest.raises(MalformedNoteError):
        witness_policy(keys, need)


def test_the_program_checks_proofs_and_witnesses(tmp_path: Path):
    """From files: 0 when it holds, 1 when something was found, 2 for a wrong option."""

    def run(*words: str) -> tuple[int, str]:
        out = io.StringIO()
        status = main([w.replace("./", f"{tmp_path}/") for w in words], out, io.StringIO())
        return status, out.getvalue()

    (tmp_path / "vkey").write_text(VKEY)
    (tmp_path / "entry").write_bytes(LOG.leaves[3] + b"\n")
    (tmp_path / "p").write_bytes(proof(3, NORTH).format())
    base = ("proof", "./p", "--vkey", "./vkey")
    assert run(*base, "--entry", "./entry", "--witness", KEYS[0])[0] == 0
    status, out = run(*base, "--witness", KEYS[0], "--witness", KEYS[1])
    assert status == 1
    assert "not-witnessed" in out
    assert run(*base, "--witness", KEYS[0], "--witness", KEYS[1], "--need", "1")[0] == 0
    assert run(*base, "--witness", VKEY)[0] == 2
