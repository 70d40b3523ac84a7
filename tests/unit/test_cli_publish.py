"""`callpoint publish`: a proposal says what it would change before anybody signs it."""

import json
from pathlib import Path

import msgspec
import pytest

from callpoint.api.messages import ConfigurationView
from callpoint.config.default_policies import default_pack
from callpoint.domain.governance import Bundle
from tests.fakes import orders
from tests.fakes.canned_api import CannedApi
from tests.fakes.machine import Shell

BUNDLE = Bundle("tstinc", 4, "0" * 64, orders.configuration(), default_pack())


@pytest.fixture
def gina(tmp_path: Path) -> Shell:
    """A governor, and a server whose configuration is the example's."""
    api = CannedApi()
    digests = (BUNDLE.digest(), BUNDLE.configuration_digest(), BUNDLE.policy_digest())
    api.lay("GET /v1/configuration", ConfigurationView(BUNDLE, *digests))
    return Shell(tmp_path, "gina", api)


def directory(root: Path, *edits: tuple[str, str]) -> Path:
    made = root / "config"
    made.mkdir()
    (made / "callpoint.toml").write_text(orders.changed(*edits))
    return made


def test_what_is_in_force(gina: Shell, tmp_path: Path):
    """Shown in words, and kept as the bundle that others compare with."""
    told = gina.run("publish", "show")
    assert (told.exit_code, "configuration 4 of installation tstinc" in told.stdout) == (0, True)
    out = tmp_path / "held.json"
    gina.run("publish", "show", "--out", out)
    assert msgspec.json.decode(out.read_bytes(), type=Bundle).digest() == BUNDLE.digest()


def test_a_proposal_follows_what_is_in_force(gina: Shell, tmp_path: Path):
    """The next number, the digest before it, and each line that widens or tightens."""
    made = directory(tmp_path, ("quorum = 2 ", "quorum = 1 "))
    out = tmp_path / "proposal.json"
    told = gina.run("publish", "propose", "--config", made, "--out", out, "-o", "json")
    assert told.exit_code == 0, told.stderr
    facts = json.loads(told.stdout)
    proposed = msgspec.json.decode(out.read_bytes(), type=Bundle)
    assert (proposed.number, proposed.previous) == (5, BUNDLE.digest())
    assert (facts["digest"], len(facts["widens"])) == (proposed.digest(), 1)
    assert facts["signatures"] == BUNDLE.configuration.governance.quorum


def test_tightening_needs_one_signature(gina: Shell, tmp_path: Path):
    """A proposal that widens nothing says so."""
    made = directory(tmp_path, ('idle = "10m"', 'idle = "5m"'))
    told = gina.run("publish", "propose", "--config", made, "--out", tmp_path / "p.json")
    assert told.exit_code == 0, told.stderr
    assert "1 governor must sign" in told.stdout
    assert "(nothing widens access)" in told.stdout
    assert "WIDENS" not in told.stdout


def test_nothing_to_publish(gina: Shell, tmp_path: Path):
    """A directory that says what is in force makes no proposal."""
    out = tmp_path / "p.json"
    told = gina.run("publish", "propose", "--config", orders.DIRECTORY, "--out", out)
    assert (told.exit_code, out.exists()) == (2, False)


def test_a_wrong_directory_says_all_that_is_wrong(gina: Shell, tmp_path: Path):
    """Errors of the configuration come with their lines, before the server is asked."""
    made = directory(tmp_path, ('idle = "10m"', "idle = 10"))
    told = gina.run("publish", "propose", "--config", made, "--out", tmp_path / "p.json")
    assert (told.exit_code, "callpoint.toml:" in told.stderr) == (2, True)


def test_nothing_is_written_over(gina: Shell, tmp_path: Path):
    """A bundle that somebody may have signed is not replaced."""
    out = tmp_path / "held.json"
    out.write_text("mine")
    assert gina.run("publish", "show", "--out", out).exit_code == 2
    assert out.read_text() == "mine"
    assert gina.run("publish", "show", "--out", tmp_path / "no" / "x").exit_code == 2
