"""The checks of shape, each shown to find what was planted and nothing in its lawful twin."""

from pathlib import Path

import pytest

from tools.check_shape import find_all, main

CONTRACTS = """
[[tool.importlinter.contracts]]
id = "gate"
type = "protected"
protected_modules = ["*.policy.pdp"]
allowed_importers = ["callpoint.bootstrap"]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small project in which nothing is wrong."""
    write(tmp_path / "pyproject.toml", CONTRACTS)
    write(tmp_path / "src/callpoint/policy/pdp.py", "import cedarpy\nimport callpoint.domain.ids\n")
    write(
        tmp_path / "src/callpoint/domain/ids.py", "from urllib.parse import quote\nimport msgspec\n"
    )
    write(
        tmp_path / "src/callpoint/audit/verify/log_report.py",
        "from callpoint.audit.note import Note\n",
    )
    write(tmp_path / "tests/unit/test_ids.py", 'def test_it():\n    """It holds."""\n')
    write(
        tmp_path / "docs/guide.md",
        "See `src/callpoint/{policy,domain}/*.py` and `docs/guide.md`.\n",
    )
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_lawful_project_has_no_finding(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is found where nothing is wrong, and the exit status says so."""
    assert find_all(root) == []
    assert main([str(root)]) == 0
    assert capsys.readouterr().out == "shape: ok\n"


@pytest.mark.parametrize(
    "path,text,message",
    [
        ("src/callpoint/api/app.py", "x = 1\n" * 401, "401 lines; at most 400"),
        ("src/callpoint/api/app.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
        ("src/callpoint/api/utils.py", "", "nothing may be called 'utils'"),
        ("src/callpoint/api/core/app.py", "", "nothing may be called 'core'"),
        ("src/callpoint/domain/lease.py", "import os\n", "os is not on the list"),
        ("src/callpoint/domain/lease.py", "import sqlalchemy.orm\n", "sqlalchemy.orm is not"),
        ("src/callpoint/domain/lease.py", "from urllib import request\n", "urllib.request is not"),
        ("src/callpoint/domain/lease.py", "import cedarpy\n", "cedarpy is not"),
        (
            "src/callpoint/ports/clock.py",
            "import callpoint.policy.pdp\n",
            "callpoint.policy.pdp is",
        ),
        ("src/callpoint/policy/pap.py", "async def f():\n    import asyncio\n", "asyncio is not"),
        (
            "src/callpoint/audit/verify.py",
            "from callpoint.audit import log\n",
            "callpoint.audit.log",
        ),
        ("tests/unit/test_x.py", "async def test_x(): ...\n", "test_x needs a sentence"),
        ("tests/unit/test_x.py", "from unittest.mock import patch\n", "pass a fake"),
        ("docs/guide.md", "One\n`tests/unit/test_gone.py`\n", "`tests/unit/test_gone.py` does not"),
        ("README.md", "`src/callpoint/{policy,gone}/`\n", "`src/callpoint/gone/` does not exist"),
        ("pyproject.toml", CONTRACTS.replace("policy.pdp", "policy.pep"), "names *.policy.pep"),
    ],
)
def test_planted_fault_is_found(
    root: Path, path: str, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each planted fault is the one finding, named with its place, and the exit status is 1."""
    write(root / path, text)
    assert main([str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "shape: 1 findings"
    assert lines[0].startswith(f"{path}:")
    assert message in lines[0]


def test_limits_themselves_are_allowed(root: Path) -> None:
    """A file of 400 lines and a function of 60 are still within the limits."""
    function = "def f():\n" + "    x = 1\n" * 59
    write(root / "src/callpoint/api/app.py", function + "x = 1\n" * 340)
    assert find_all(root) == []
