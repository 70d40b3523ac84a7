"""Merkle proofs, valid and invalid, that nobody here wrote (transparency-dev/merkle)."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from callpoint.audit.merkle import ProofError, verify_consistency, verify_inclusion
from tests.conformance.vectors import vectors_or_skip


def _raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def _proof(case: dict[str, Any]) -> list[bytes]:
    return [_raw(text) for text in case["proof"] or []]


def _inclusion(case: dict[str, Any]) -> None:
    verify_inclusion(
        _raw(case["leafHash"]), case["leafIdx"], case["treeSize"], _proof(case), _raw(case["root"])
    )


def _consistency(case: dict[str, Any]) -> None:
    verify_consistency(
        case["size1"], case["size2"], _proof(case), _raw(case["root1"]), _raw(case["root2"])
    )


@pytest.mark.parametrize("kind, verify", [("inclusion", _inclusion), ("consistency", _consistency)])
def test_every_vector_is_judged_as_its_authors_judged_it(kind, verify):
    """Each published proof verifies, or is refused with our one error, as its authors say."""
    folder: Path = vectors_or_skip("merkle") / kind
    cases = {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("*.json"))
    }
    assert any(case["wantErr"] for case in cases.values())
    assert not all(case["wantErr"] for case in cases.values())
    wrong = []
    for name, case in cases.items():
        try:
            verify(case)
        except ProofError:
            refused = True
        else:
            refused = False
        if refused != case["wantErr"]:
            wrong.append(f"{name}: {case['desc']}")
    assert wrong == []
