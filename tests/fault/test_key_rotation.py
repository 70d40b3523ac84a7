"""`callpoint key`: refused without its signatures, and finished after any death."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.homestead import GOVERNORS, ROOT, Homestead

POLICY = '@id("all-for-all") permit (principal, action, resource);\n'


@pytest.fixture
def homestead(tmp_path: Path) -> Homestead:
    made = Homestead(tmp_path)
    # A rotation asks no policy, and each of some hundred processes would load the whole pack.
    (made.config / "policies").mkdir()
    (made.config / "policies" / "one.cedar").write_text(POLICY)
    made.found()
    return made


def staged(homestead: Homestead, use: str) -> list[Path]:
    """A staged key, and what both governors signed."""
    done = homestead.run("key", "stage", use, "--home", homestead.home)
    assert done.returncode == 0, done.stderr
    statement, files = homestead.home / f"rotation-{use}.json", []
    for governor in GOVERNORS:
        signed = homestead.run("sign", statement, "--key", homestead.key(governor))
        assert signed.returncode == 0, signed.stderr
        assert f"a new {use} key for installation" in signed.stderr
        files.append(homestead.root / f"{governor}.signature")
        files[-1].write_text(signed.stdout)
    return files


@pytest.mark.parametrize("use", ["log", "token", "seal"])
def test_a_rotation_is_finished_after_any_death(homestead: Homestead, use: str):
    """Killed at each file that it touches, whether a server ran since or not, it ends whole."""
    must_end_whole(homestead, use)


def test_a_rotation_is_finished_after_any_full_disk(homestead: Homestead):
    """Full from any file on, it fails with an error of ours; with room again it ends whole."""
    must_end_whole(homestead, "log", "full")


def must_end_whole(homestead: Homestead, use: str, *how: str) -> None:
    staged(homestead, use)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault.key_deaths", homestead.root, use, *how],
        env=homestead.environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["wrong"] == [], done.stderr[-3000:]
    assert told["deaths"] >= 8


def test_one_governor_replaces_no_key(homestead: Homestead):
    """Fewer signatures than the quorum change nothing; an unstaged key cannot be rotated."""
    erin, frank = staged(homestead, "log")
    rotate = ("key", "rotate", "log", "--home", homestead.home, "--signatures")
    before = (homestead.home / "installation.json").read_text()
    refused = homestead.run(*rotate, erin)
    assert (refused.returncode, "1 of 2 needed governors" in refused.stderr) == (3, True)
    assert (homestead.home / "installation.json").read_text() == before
    done = homestead.run(*rotate, erin, "--signatures", frank)
    assert done.returncode == 0, done.stderr
    again = homestead.run(*rotate, erin, "--signatures", frank)
    assert again.returncode == 0, again.stderr
    nothing = homestead.run("key", "rotate", "seal", *rotate[3:], erin)
    assert (nothing.returncode, "callpoint key stage seal" in nothing.stderr) == (4, True)
