"""`callpoint policy check | test | explain` on local files."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from callpoint.cli.policy import policy
from callpoint.config.default_policies import default_pack, default_tests

EXAMPLE = Path(__file__).parents[2] / "examples" / "orders"
ASKED = [
    *("explain", "alice", "activation:request", "orders-db:repair"),
    *("--eligibility", "orders-repair"),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The example with the default pack copied beside it, ready to be changed."""
    root = tmp_path / "orders"
    shutil.copytree(EXAMPLE, root)
    tests = root / "policies" / "tests"
    tests.mkdir(parents=True, exist_ok=True)
    for name, text in default_pack().items():
        (root / "policies" / name).write_text(text)
    for name, text in default_tests().items():
        (tests / name).write_text(text)
    return root


def run(directory: Path, *words: str) -> Result:
    """The command in that configuration directory."""
    return CliRunner().invoke(policy, [*words, "--config", str(directory)])


def test_the_example_is_sound() -> None:
    """The repository's example passes check and test with the default pack."""
    assert run(EXAMPLE, "check").exit_code == 0
    tested = run(EXAMPLE, "test")
    assert tested.exit_code == 0
    assert tested.stdout.endswith(" cases, 0 failed\n")


def test_check_names_file_line_policy_and_way_out(directory) -> None:
    """Every problem is on stderr with its place, and the exit status is 2."""
    (directory / "policies" / "own.cedar").write_text(
        '@id("x") @reason("no") forbid (principal, action in Action::"opening", resource)\n'
        'when { context.missing == 1 || principal in Group::"nobody" };\n'
        '@id("y") forbid (principal, action, resource);'
    )
    told = run(directory, "check")
    assert told.exit_code == 2
    assert "policies/own.cedar:1: @id(x): attribute `missing`" in told.stderr
    assert (
        'policies/own.cedar:1: @id(x): Group::"nobody" is not in the configuration' in told.stderr
    )
    assert "policies/own.cedar:3: @id(y): a forbid needs a sentence" in told.stderr
    assert "what to do: one of database-owners" in told.stderr


def test_check_speaks_json(directory) -> None:
    """`-o json` gives one object for programs."""
    told = run(directory, "check", "-o", "json")
    assert json.loads(told.stdout) == {"policies": 44, "problems": []}


def test_a_failing_case_fails_the_command(directory) -> None:
    """Taking a policy out shows as a failed case, with exit status 2."""
    (directory / "policies" / "approval.cedar").unlink()
    told = run(directory, "test")
    assert told.exit_code == 2
    assert "policies/tests/approval.toml:" in told.stdout
    assert "expected deny, got allow by people-may-approve" in told.stdout


def test_untested_policies_are_named(directory) -> None:
    """A policy that decides no case is named; that is not a failure."""
    (directory / "policies" / "own.cedar").write_text(
        '@id("never-tested") permit (principal, action == Action::"log:read", resource)\n'
        'when { principal in Group::"database-owners" };'
    )
    told = run(directory, "test", "-o", "json")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["untested"] == ["never-tested"]
    assert "nobody would miss them: never-tested" in run(directory, "test").stdout


def test_policies_without_tests_are_told_how(directory) -> None:
    """A directory with policies of its own but no tests is an error that says what to do."""
    shutil.rmtree(directory / "policies" / "tests")
    told = run(directory, "test")
    assert told.exit_code == 2
    assert "there is no test" in told.stderr


def test_explain_says_why() -> None:
    """The refusal is in the person's words, with the deciding policy's place."""
    stated = ["--incident", "open", "--severity", "sev1", "--names", "billing-db"]
    told = run(EXAMPLE, *ASKED, *stated)
    assert told.exit_code == 0
    assert "deny by incident-must-name-target" in told.stdout
    assert "INC-7 names billing-db, you asked for orders-db" in told.stdout
    assert "(incident.cedar:" in told.stdout


def test_explain_speaks_json() -> None:
    """The decision and each policy's outcome, for programs."""
    stated = ["--incident", "open", "--severity", "sev1", "--names", "orders-db"]
    found = json.loads(run(EXAMPLE, *ASKED, *stated, "-o", "json").stdout)
    assert found["decision"]["effect"] == "allow"
    assert found["policies"][0]["id"] == "eligible-may-request"
    assert found["policies"][0]["outcome"] == "decided"


@pytest.mark.parametrize(
    "words, expected",
    [
        (["explain", "mallory", "log:read"], "no principal is called 'mallory'"),
        (["explain", "alice", "log:write"], "there is no action 'log:write'"),
        ([*ASKED, "--incident", "opened"], "Invalid enum value 'opened'"),
        ([*ASKED, "--for", "long"], "'long' is not a span"),
    ],
)
def test_explain_refuses_what_cannot_be(words, expected) -> None:
    """A name or word that does not exist is the caller's mistake: exit status 2."""
    told = run(EXAMPLE, *words)
    assert told.exit_code == 2
    assert expected in told.stderr


def test_the_documents_commands_work(monkeypatch) -> None:
    """Each command line in docs/policy.md runs in the example's directory."""
    text = (Path(__file__).parents[2] / "docs" / "policy.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^\$ callpoint policy (.*)$", text, re.MULTILINE)
    assert len(commands) == 4
    monkeypatch.chdir(EXAMPLE)
    for command in commands:
        if command.startswith("prove"):
            pytest.importorskip("z3")
        told = CliRunner().invoke(policy, shlex.split(command, comments=True))
        assert told.exit_code == 0, told.output


def test_a_test_file_that_is_no_text_is_refused(directory) -> None:
    """A file that cannot be read is named with what to do."""
    (directory / "policies" / "tests" / "bad.toml").write_bytes(b"\xff\xfe")
    told = run(directory, "test")
    assert told.exit_code == 2
    assert "policies/tests/bad.toml" in told.stderr
    assert "UTF-8" in told.stderr
