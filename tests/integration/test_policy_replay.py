"""`callpoint policy replay` and `log export`, over the API and over an exported folder."""

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from callpoint.domain.decision import Decision, DecisionRequest, Effect
from callpoint.domain.errors import DeniedError
from callpoint.domain.governance import Bundle, StoredBundle
from callpoint.ports.decider import Decider
from tests.fakes.face import Face, kind_of
from tests.fakes.machine import Shell
from tests.fakes.replayed import STORY, tell
from tests.fakes.running_app import RunningApp, running_world
from tests.fakes.world import ORIGIN, World, installation

EXAMPLE = Path(__file__).parents[2] / "examples" / "orders"
TOTAL = sum(STORY.values())


class Refusing:
    """A PDP that was made to refuse."""

    def evaluate(self, request: DecisionRequest) -> Decision:
        return Decision(Effect.DENY, ("no",), ("no",), self.digest)

    def __init__(self, digest: str) -> None:
        self.digest = digest


def refusing(bundle: Bundle) -> Decider:
    return Refusing(bundle.policy_digest())


@pytest.fixture
def told() -> Iterator[tuple[World, RunningApp]]:
    """A server whose log holds a whole story."""
    with running_world() as (world, app):
        app.do(tell(world))
        yield world, app


@pytest.fixture
def erin(told: tuple[World, RunningApp], tmp_path: Path) -> Shell:
    """Security, who may read the log; she has the installation's file."""
    world, app = told
    made = Shell(tmp_path, "erin", app, world.clock)
    facts = {"id": world.bundle.installation, "log_key": installation().log_key, "origin": ORIGIN}
    (tmp_path / "installation.json").write_text(json.dumps(facts))
    return made


def replayed(erin: Shell, *more: object, code: int = 0) -> dict[str, Any]:
    """The verb's JSON."""
    file = erin.home.parent / "installation.json"
    done = erin.run("policy", "replay", "--installation", file, *more, "-o", "json")
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}
    return found


@pytest.fixture
def export(erin: Shell) -> Path:
    """The exported log of the story."""
    folder = erin.home.parent / "export"
    done = erin.run("log", "export", folder)
    assert (done.exit_code, "1 configuration written" in done.stdout) == (0, True), done.output
    return folder


def test_the_log_of_a_server_and_its_export_tell_the_same(erin: Shell, export: Path):
    """Every decision of the story comes out as it is on record, from either."""
    from_server = replayed(erin)
    from_export = replayed(erin, "--log", export)
    for found in (from_server, from_export):
        assert (found["decided"], found["differing"], found["not_decided"]) == (TOTAL, 0, {})
    text = erin.run("policy", "replay").stdout
    assert f"{TOTAL} decisions decided again, none with another answer" in text
    assert "is verified" in text


def test_an_export_keeps_configurations_under_the_digests_of_the_log(
    erin: Shell, export: Path, told: tuple[World, RunningApp]
):
    """The SHA-256 of a file is what the log states, for whoever has no Callpoint."""
    content = (export / "bundles" / "00000001.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == told[0].bundle.digest()
    done = erin.run("verify", "log", export, "--installation", export.parent / "installation.json")
    assert done.exit_code == 0, done.stdout


def test_the_window_counts_decisions_within_it(erin: Shell, export: Path):
    """Before the story there is nothing; times and spans both name a moment."""
    assert replayed(erin, "--log", export, "--until", "1d")["decided"] == 0
    assert replayed(erin, "--log", export, "--since", "2026-02-01")["decided"] == TOTAL
    before_all = "0001-01-01T00:00:00+23:00"
    for wrong in (("--since", "soon"), ("--since", "1d", "--until", "2d"), ("--since", before_all)):
        replayed(erin, "--log", export, *wrong, code=2)
    assert erin.run("policy", "replay", "--log-key", "x").exit_code == 2


def test_a_proposal_that_is_not_sound_is_named_before_the_log_is_read(erin: Shell, export: Path):
    """A folder without a configuration, and a policy that does not parse: status 2, and where."""
    proposal = erin.home.parent / "proposal"
    (proposal / "policies").mkdir(parents=True)
    asked = ("--log", export, "--with", proposal)
    assert "callpoint.toml" in replayed(erin, *asked, code=2)["stderr"]
    shutil.copytree(EXAMPLE, proposal, dirs_exist_ok=True)
    (proposal / "policies").mkdir(exist_ok=True)
    (proposal / "policies" / "wrong.cedar").write_text('@id("wrong")\npermit (principal;\n')
    found = replayed(erin, *asked, code=2)["stderr"]
    assert "wrong.cedar" in found


def test_a_tampered_log_tells_nothing(erin: Shell, export: Path):
    """Not one decision is shown of a log that does not hold: the findings are, with status 7."""
    file = export / "entries.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    at = next(
        n for n, line in enumerate(lines) if b"access:refused" in base64.b64decode(line["leaf"])
    )
    leaf = base64.b64decode(lines[at]["leaf"]).replace(b'"effect":"deny"', b'"effect":"allow"')
    lines[at]["leaf"] = base64.b64encode(leaf).decode()
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = replayed(erin, "--log", export, code=7)
    assert (found["ok"], "decided" in found, "differences" in found) == (False, False, False)
    assert found["findings"]
    (export / "bundles" / "00000001.json").write_text("{}")
    assert replayed(erin, "--log", export, code=7)["findings"] == found["findings"]
    text = erin.run(
        "policy", "replay", "--log", export, "--installation", export.parent / "installation.json"
    )
    assert (text.exit_code, "nothing is told" in text.stdout, "ALARM" in text.stdout) == (
        7,
        True,
        False,
    )


def test_a_configuration_that_is_missing_or_another_is_not_guessed(erin: Shell, export: Path):
    """Without it nothing is known, status 6; a changed file is tampering."""
    file = export / "bundles" / "00000001.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"production", b"playground"))
    assert "not the one that the log names" in replayed(erin, "--log", export, code=7)["stderr"]
    file.unlink()
    found = replayed(erin, "--log", export, code=6)
    assert found["decided"] == 0
    assert list(found["not_decided"].values()) == [TOTAL]


def test_another_answer_by_the_policy_of_the_time_is_an_alarm(
    erin: Shell, told: tuple[World, RunningApp]
):
    """A server whose gate refused against its own policy is found, by name, with status 7."""
    world, app = told
    with pytest.raises(DeniedError):
        app.do(world.with_decider(refusing).ask())
    found = replayed(erin, code=7)
    (item,) = found["differences"]
    assert (item["principal"], item["action"]) == ("alice", "activation:request")
    assert (item["old"]["effect"], item["new"]["effect"]) == ("deny", "allow")
    text = erin.run("policy", "replay").stdout
    assert "ALARM" in text
    assert "alice activation:request on orders-db:repair for inc-7: deny -> allow" in text


async def test_a_past_configuration_is_for_who_may_read_the_one_in_force(face: Face):
    """By its number; one that never was is not found, and others are refused."""
    shown = await face.get("erin", "/v1/configuration/1")
    assert shown == await face.get("gina", "/v1/configuration")
    answer = await face.call("gina", "GET", "/v1/configuration/2")
    assert kind_of(answer) == (404, "not_found")
    refused = await face.call("alice", "GET", "/v1/configuration/1")
    assert kind_of(refused) == (403, "denied")


def test_a_configuration_that_was_changed_in_the_database_is_not_given_out(
    erin: Shell, told: tuple[World, RunningApp]
):
    """The log names the right one, so neither the API nor a replay believes the row."""
    world, app = told
    policies = {**world.bundle.policies, "more.cedar": "permit (principal, action, resource);"}

    def change(tx: Any) -> None:
        row = tx.get(StoredBundle, "00000001")
        tx.put(replace(row, bundle=replace(row.bundle, policies=policies)))

    app.do(world.store.transact(change))
    assert "is not the one in the log" in replayed(erin, code=7)["stderr"]
    folder = erin.home.parent / "export"
    done = erin.run("log", "export", folder)
    assert (done.exit_code, "without configuration 1" in done.stderr) == (0, True)
    assert list((folder / "bundles").iterdir()) == []
