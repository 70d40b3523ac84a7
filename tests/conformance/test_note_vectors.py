"""Signed notes that nobody here wrote (C2SP signed-note, golang.org/x/mod)."""

import json
from typing import Any

import pytest

from callpoint.audit.note import (
    BadSignatureError,
    Note,
    Signer,
    Verifier,
    parse_note,
    sign_note,
    verify_note,
)
from tests.conformance.vectors import vectors_or_skip


@pytest.fixture(name="cases")
def published_notes() -> list[dict[str, Any]]:
    """The published notes with their keys."""
    cases: list[dict[str, Any]] = json.loads((vectors_or_skip("note") / "notes.json").read_text())[
        "valid"
    ]
    assert cases
    return cases


def test_published_notes_verify(cases):
    """Each published note verifies with its published key, and is written back byte for byte."""
    for case in cases:
        data = case["note"].encode()
        verifier = Verifier.parse(case["vkey"])
        assert verifier.format() == case["vkey"]
        assert parse_note(data).format() == data
        assert verify_note(parse_note(data), [verifier]) == (verifier,)


def test_published_notes_with_a_changed_text_do_not_verify(cases):
    """The same notes with one more word in the text are refused."""
    for case in cases:
        note = parse_note(case["note"].encode())
        with pytest.raises(BadSignatureError):
            verify_note(Note(f"not {note.text}", note.signatures), [Verifier.parse(case["vkey"])])


def test_published_private_keys_make_the_published_note(cases):
    """Signing the published text with the published private key gives the published bytes."""
    signers = [(case, Signer.parse(case["skey"])) for case in cases if "skey" in case]
    assert signers
    for case, signer in signers:
        assert signer.format() == case["skey"]
        assert signer.verifier.format() == case["vkey"]
        text = parse_note(case["note"].encode()).text
        assert sign_note(text, [signer]).format() == case["note"].encode()
