"""One emergency, typed by everybody at their own shell, through the real application."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result

from tests.fakes import orders
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.machine import Shell
from tests.fakes.running_app import RunningApp, running_world
from tests.fakes.world import PEOPLE, WORDS, World


@dataclass
class Team:
    """Everybody's shell, and what they are connected to."""

    world: World
    running: RunningApp
    shells: dict[str, Shell]

    def __call__(self, who: str, *arguments: object, code: int = 0, **more: str) -> Result:
        told = self.shells[who].run(*arguments, **more)
        assert told.exit_code == code, f"{who}: {arguments}\n{told.stdout}{told.stderr}"
        return told

    def incident(self) -> None:
        """Frank declares, gina confirms."""
        self("frank", "incident", "declare", "INC-7", "--severity", "sev1", "--target", "orders-db")
        self("gina", "incident", "confirm", "INC-7")

    def asked(self) -> str:
        """Alice asks; the activation's id."""
        told = self("alice", *ASK, "-o", "json")
        return str(json.loads(told.stdout)["id"])

    def active(self) -> str:
        """Asked, approved by carol and dave, taken up."""
        activation = self.asked()
        self("carol", "approve", activation, "--yes")
        self("dave", "approve", activation, "--yes")
        self("alice", "request", "--resume", activation, "--wait")
        return activation


ASK = ("request", "orders-repair", "--incident", "INC-7", "--because", WORDS)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with running_world() as (world, running):
        people = (*PEOPLE, "fixer")
        shells = {name: Shell(tmp_path, name, running, world.clock) for name in people}
        yield Team(world, running, shells)


def test_a_whole_emergency(team: Team, tmp_path: Path):
    """Declare, confirm, ask, two approvals while alice waits, return, review, verify offline."""
    team.incident()
    approvers = iter(("carol", "dave"))

    def somebody_approves() -> None:
        if (who := next(approvers, None)) is not None:
            activation = team.shells["alice"].keyring.names()[0]
            shown = team(who, "approve", activation, "--yes").stdout
            assert WORDS in shown

    alice = team.shells["alice"]
    alice.machine.on_pause = somebody_approves
    waited = team("alice", *ASK, "--wait").stdout
    activation = alice.keyring.names()[0]
    assert f"callpoint connect {activation}" in waited
    assert "1 of 2 approved (carol)" in waited
    hint = team("alice", "connect", activation, "--print").stdout
    assert "simulated orders-db" in hint
    opened = json.loads(
        team("alice", "credentials", activation, "--show-secret", "-o", "json").stdout
    )
    assert opened[0]["activation"] == activation
    assert len(opened[0]["credential"]["secret"]) > 8

    returned = team("alice", "return", activation, "--used").stdout
    assert "ended" in returned
    assert alice.keyring.names() == ()
    team("alice", "credentials", activation, code=4)
    assert "INC-7".lower() in team("alice", "status", activation).stdout

    looked = team("erin", "review", activation, "--triage").stdout
    for proven in (
        f"activation:requested by alice: justification '{WORDS}'",
        "approval:recorded by carol: approver carol; person carol; verdict approve",
        "activation:ended by alice: ",
        "reason used",
        "evidence absent, refused",
    ):
        assert proven in looked
    closed = team(
        "erin", "review", activation, "--verdict", "justified", "--follow-up", "more disk"
    )
    assert "evidence" in closed.stdout
    assert "verify: ok" in closed.stdout
    review = team.running.do(team.world.get(activation)).review
    assert review is not None
    assert re.fullmatch(r"\d+ [A-Za-z0-9+/]{43}=", review.checkpoint)
    assert (review.closed_by, review.follow_ups) == ("erin", ("more disk",))

    _verify_offline(team, activation, tmp_path)


def _verify_offline(team: Team, activation: str, folder: Path) -> None:
    """Bob, who asks no server, is convinced by files and the installation's key."""
    installation = team.world.services.installation
    pinned, bundle, log = (folder / name for name in ("installation.json", "bundle.json", "log"))
    pinned.write_text(json.dumps({"id": installation.id, "log_key": installation.log_key}))
    team("erin", "evidence", activation, "--out", bundle)
    team("bob", "verify", "bundle", bundle, "--installation", pinned, "--expect-closed")
    team("erin", "log", "export", log)
    team("bob", "verify", "log", log, "--log-key", installation.log_key)
    team("erin", "log", "checkpoint", "--out", folder / "kept")
    team("bob", "verify", "log", log, "--installation", pinned, "--earlier", folder / "kept")


def test_nobody_approves_alone_or_their_own(team: Team):
    """Self-approval and a second vote are refused with the code of their reason."""
    team.incident()
    activation = team.asked()
    team("alice", "approve", activation, "--yes", code=3)
    team("carol", "approve", activation, "--yes")
    team("carol", "approve", activation, "--yes", code=4)
    team("alice", "connect", activation, code=4)


def test_a_denial_ends_the_wait_with_its_reason(team: Team):
    """Alice reads who said no and why, with the code of a denial."""
    team.incident()
    alice = team.shells["alice"]

    def deny() -> None:
        activation = alice.keyring.names()[0]
        team("dave", "deny", activation, "--because", "use the replica", "--yes")

    alice.machine.on_pause = deny
    assert "dave: use the replica" in team("alice", *ASK, "--wait", code=3).stderr


def test_a_kill_ends_everything_at_once(team: Team):
    """Anybody kills; the credential is dead before the command ends."""
    team.incident()
    activation = team.active()
    told = team("bob", "kill", "everything", "--yes").stdout
    assert f"ended {activation}" in told
    assert "0 credentials not proven dead" in told
    assert team.world.target.accounts == {}


def test_a_kill_that_is_not_proven_says_so(team: Team):
    """With the target away the exit code is the target's, and what is alive is named."""
    team.incident()
    activation = team.active()
    team.world.target.down = True
    told = team("bob", "kill", "activation", activation, code=5).stdout
    assert "is not proven dead; it is retried for ever" in told
    assert "not proven dead" in team("alice", "status").stdout


def test_a_return_that_is_not_proven_says_so(team: Team):
    """The same for a return."""
    team.incident()
    activation = team.active()
    team.world.target.down = True
    assert "not proven dead yet" in team("alice", "return", activation, code=5).stdout


def test_resolving_ends_what_it_justified(team: Team):
    """`incident resolve` ends the access; the overview forgets its one-time key."""
    team.incident()
    activation = team.active()
    team("frank", "incident", "resolve", "INC-7")
    assert "incident_resolved" in team("alice", "status", "--all").stdout
    assert team.shells["alice"].keyring.names() == ()
    team("alice", "connect", activation, code=4)


def test_a_request_can_be_taken_back(team: Team):
    """Withdrawn before it began; nothing was made."""
    team.incident()
    activation = team.asked()
    assert "withdrawn" in team("alice", "withdraw", activation).stdout
    assert activation not in team("alice", "status").stdout
    assert activation in team("alice", "status", "--state", "withdrawn").stdout


def test_a_review_of_tampered_evidence_records_nothing(team: Team, tmp_path: Path):
    """A reviewer whose bundle does not verify is stopped before anything is recorded."""
    team.incident()
    activation = team.active()
    team("alice", "return", activation)
    other = {"id": team.world.services.installation.id, "log_key": _other_key()}
    wrong = tmp_path / "other.json"
    wrong.write_text(json.dumps(other))
    told = team("erin", "review", activation, "--triage", "--installation", wrong, code=7)
    assert "another log key" in told.stderr
    assert not json.loads(team("erin", "status", activation, "-o", "json").stdout)["review"][
        "triaged_by"
    ]


def _other_key() -> str:
    return MemoryLogSigner("callpoint/other").verifier_key


def test_rules_change_by_signatures(team: Team, tmp_path: Path):
    """Propose, read what widens, sign, submit: one governor is refused, two put it in force."""
    proposal, held = tmp_path / "proposal.json", tmp_path / "held.json"
    shown = team("gina", "publish", "show", "--out", held).stdout
    assert "governors gina, hugo; 2 must sign" in shown
    told = team("gina", "publish", "propose", "--config", orders.DIRECTORY, "--out", proposal)
    assert "WIDENS" in told.stdout
    assert "2 governors must sign, of: gina, hugo" in told.stdout
    signatures = [_signature(team, who, proposal, tmp_path) for who in ("gina", "hugo")]
    refused = team("gina", "publish", "submit", proposal, signatures[0], code=3).stderr
    assert "1 of 2 needed governors signed" in refused
    done = team("gina", "publish", "submit", proposal, *signatures).stdout
    assert "configuration 2 is in force, signed by gina, hugo" in done
    team("gina", "publish", "submit", proposal, tmp_path / "none", code=2)
    team("gina", "publish", "submit", proposal, proposal, code=2)


def _signature(team: Team, who: str, proposal: Path, folder: Path) -> Path:
    """What `callpoint sign` prints, in a file."""
    told = team(who, "sign", proposal, "--key", team.shells[who].home / "key.json")
    file = folder / f"{who}.sig"
    file.write_text(told.stdout)
    return file


def test_an_agent_asks_for_itself_and_kills_only_its_own(team: Team):
    """A machine's key works the same command line, within what machines may do."""
    team.incident()
    told = team("fixer", *ASK, "-o", "json")
    own = json.loads(told.stdout)["id"]
    assert "persons behind it: alice" in team("carol", "status", own).stdout
    other = team.asked()
    team("fixer", "kill", "activation", other, code=3)
    team("fixer", "kill", "activation", own)
