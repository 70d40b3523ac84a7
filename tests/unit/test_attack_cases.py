"""The table of attacks on a gateway names tests that exist."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_CASE = re.compile(r"^\| .* \| `(tests/[\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)
_LEAST = 25


def test_each_case_has_its_test():
    """Each row names a test function of that file; there are as many as the issue asks for."""
    text = (_ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
    part = text.split("## Attacks on a gateway, case by case")[1].split("\n## ")[0]
    cases = _CASE.findall(part)
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
    assert len(cases) == len(rows) >= _LEAST
    for path, name in cases:
        assert f"def {name}(" in (_ROOT / path).read_text(encoding="utf-8"), (path, name)
