"""Fuzzing: what was found stays a test, each target runs for a moment, and a defect is found."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fuzz.campaign import Campaign, tried
from tests.fuzz.target import CORPUS, Check, FoundError, kept, names, target

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", names())
def test_what_was_found_is_right_now(name):
    """Each kept case passes, in a session of its own."""
    assert list(kept(name)), f"{name} has no case in {CORPUS}"
    for path in kept(name):
        with target(name).open() as check:
            assert tried(check, path.read_bytes())[1] == "", path


@pytest.mark.parametrize("name", names())
def test_a_moment_of_fuzzing_finds_nothing(name):
    """The first cases of a long run, from a fixed seed; they come to different ends."""
    outcome = Campaign(name, target(name), seed=1).run(60.0, cases=150)
    assert outcome.case is None, outcome.reason
    assert len(outcome.counts) > 1


@dataclass
class Defective:
    """A target that is wrong about one thing, deep in a case."""

    words: tuple[bytes, ...] = (b"bad",)
    session: int = 50

    def make(self, chance: random.Random) -> bytes:
        return b"(good)" * 20 + bytes([chance.randrange(97, 123)])

    @contextmanager
    def open(self) -> Iterator[Check]:
        yield self._check

    def _check(self, case: bytes) -> str:
        if b"bad" in case:
            raise FoundError("it is bad")
        return "short" if len(case) < 60 else "long"


def test_a_defect_is_found_shortened_and_kept(tmp_path):
    """The case that fails is in the corpus afterwards, without what it did not need."""
    last = tmp_path / "last"
    outcome = Campaign("made-up", Defective(), 3, last, tmp_path / "corpus").run(30.0)
    assert (outcome.case, outcome.reason) == (b"bad", "FoundError: it is bad")
    assert b"bad" in last.read_bytes()
    (path,) = kept("made-up", tmp_path / "corpus")
    assert path.read_bytes() == b"bad"
    with Defective().open() as check:
        assert tried(check, path.read_bytes())[1]


def test_the_command_runs_each_target_by_itself():
    """It says what each came to, and refuses a name that it does not know."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.fuzz", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = run("--seconds", "0.1", "authzen")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("authzen: seed ")
    assert run("nothing").returncode == 2
