"""A witness that is killed at any step never cosigns a fork of what it may have cosigned."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from callpoint.adapters.witnesses.memory_file import MemoryFile
from callpoint.domain.errors import UnavailableError
from callpoint.ports.witnesses import Remembered
from tests.fakes.homestead import ROOT


def test_every_death_leaves_what_was_signed(tmp_path: Path):
    """Killed before, between and after its writes and its signature, it remembers at least that."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault.witness_deaths", tmp_path],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["wrong"] == [], done.stderr[-3000:]
    assert told["deaths"] >= 6
    assert told["signed"] >= 2


def test_a_lost_memory_is_not_begun_anew(tmp_path: Path):
    """Gone, damaged, or of another key: it refuses, and says that a new key is the way out."""
    path = tmp_path / "witness.json"
    memory = MemoryFile(path, "north+key")
    with pytest.raises(UnavailableError, match="is lost") as lost:
        memory.latest("callpoint/x")
    assert "callpoint key witness" in lost.value.way_out
    with pytest.raises(UnavailableError, match="is lost"):
        memory.remember("callpoint/x", Remembered(1, bytes(32)))
    assert not path.exists()
    MemoryFile.begin(path, "south+key")
    with pytest.raises(UnavailableError, match="another key"):
        memory.latest("callpoint/x")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UnavailableError, match="cannot be read"):
        memory.latest("callpoint/x")


def test_a_memory_never_shrinks(tmp_path: Path):
    """What is smaller than is known changes nothing, and each log has its own place."""
    path = tmp_path / "witness.json"
    MemoryFile.begin(path, "north+key")
    memory = MemoryFile(path, "north+key")
    memory.remember("a", Remembered(9, b"9" * 32))
    memory.remember("a", Remembered(5, b"5" * 32))
    memory.remember("b", Remembered(1, b"1" * 32))
    again = MemoryFile(path, "north+key")
    assert again.latest("a") == Remembered(9, b"9" * 32)
    assert again.latest("b") == Remembered(1, b"1" * 32)
    assert again.latest("c") is None
