"""Tests that the published format and the code are one: names, examples, limits."""

import re
from pathlib import Path

from callpoint.audit import entry, merkle, note, verify
from callpoint.audit.checkpoint import Checkpoint, open_checkpoint
from callpoint.audit.note import Verifier
from callpoint.audit.verify import Code
from callpoint.audit.verify.bundle import MAX_BUNDLE_SIZE
from callpoint.audit.verify.report import MAX_FINDINGS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "audit-log-format.md").read_text()


def _block(start: str) -> str:
    """The body of the fenced block that starts with this line."""
    return DOCUMENT.partition(f"```{start}")[2].partition("```")[0]


def test_every_finding_is_documented():
    """The table of findings holds every name that a report can hold, and no other."""
    table = DOCUMENT.partition("## 7. Findings")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([a-z-]+)`", " ".join(rows))) == sorted(Code)


def test_the_example_is_real():
    """The documented leaf, hash, checkpoint and key are what the code makes of each other."""
    leaf = _block("json\n").strip().encode()
    digest = entry.entry_hash(leaf)
    assert entry.parse_entry(leaf).type == "lease:revoked"
    assert digest in DOCUMENT
    assert f"{len(leaf)} bytes" in DOCUMENT
    signed = _block("\ncallpoint.example").join(["callpoint.example", ""]).encode()
    key = re.search(r"`(callpoint\.example/inst01\+[^`]+)`", DOCUMENT)
    assert key is not None
    verifier = Verifier.parse(key[1])
    opened = open_checkpoint(signed, [verifier], verifier.name)
    assert opened == Checkpoint(verifier.name, 1, bytes.fromhex(digest))
    assert verify.verify_log([leaf], signed, key[1]).size == 1


def test_the_documented_limits_are_the_codes():
    """Each limit that the document states is the one in force."""
    for text in (
        f"{entry.MAX_ENTRY_SIZE:,} bytes",
        f"at most {entry.MAX_DEPTH} deep",
        f"{note.MAX_NOTE_SIZE:,} bytes",
        f"1 to {note.MAX_SIGNATURES} signature lines",
        f"at most {MAX_BUNDLE_SIZE // 2**20} MiB",
        f"keeps {MAX_FINDINGS}",
        f"at most {merkle.MAX_SIZE.bit_length() + 1} hashes",
        f'SHA-256("")`, `{merkle.EMPTY_ROOT.hex()[:8]}…{merkle.EMPTY_ROOT.hex()[-4:]}`',
    ):
        assert text in DOCUMENT, text
