"""`callpoint doctor`: the server's word, this machine's home, and what is left without a server."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import Result

from callpoint.domain.errors import NotFoundError, StoreUnavailableError
from callpoint.lifecycle import give_back
from callpoint.lifecycle.diagnose import Diagnosis
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom
from callpoint.ports.targets import Check
from tests.fakes.canned_api import CannedApi
from tests.fakes.clock import START
from tests.fakes.machine import Shell
from tests.fakes.running_app import RunningApp, running_world
from tests.fakes.world import World
from tests.unit.test_home_check import keep, make_home


@pytest.fixture
def running() -> Iterator[tuple[World, RunningApp]]:
    """A whole installation behind the real application."""
    with running_world() as made:
        yield made


def diagnosed(*symptoms: Symptom, **changes: object) -> Diagnosis:
    facts: dict[str, object] = {
        "installation": "tstinc",
        "now": START,
        "ok": not symptoms,
        "symptoms": symptoms,
        "looked": ("leases",),
        "targets": ("orders-db",),
    }
    return Diagnosis(**{**facts, **changes})  # type: ignore[arg-type]  # members by name


def shell_with(tmp_path: Path, answer: object) -> Shell:
    api = CannedApi()
    api.lay("GET /v1/diagnosis", answer)
    return Shell(tmp_path, "erin", api)


def codes(told: Result) -> set[str]:
    return {s["code"] for s in json.loads(told.stdout)["symptoms"]}


def test_a_night_as_a_person_reads_it(tmp_path: Path, running: tuple[World, RunningApp]):
    """The credential that is alive comes first; every line has a next command; status is not 0."""
    world, app = running
    shell = Shell(tmp_path, "erin", app, world.clock)
    healthy = shell.run("doctor")
    assert (healthy.exit_code, healthy.stdout.splitlines()[-1]) == (0, "doctor: nothing is wrong")
    assert "looked at: leases, targets, epoch, requests" in healthy.stdout

    async def trouble() -> None:
        await world.incident()
        made = await world.active()
        await world.ask()
        world.target.down = True
        await give_back.give_back(world.services, world.caller("alice"), made.id)

    app.do(trouble())
    told = shell.run("doctor")
    lines = told.stdout.splitlines()
    assert told.exit_code == 5
    assert lines[0].startswith("!! cp_tstinc")
    assert lines[0].endswith("[lease-stuck]")
    assert [line.startswith("       next: ") for line in lines[1:6:2]] == [True] * 3
    assert lines[-1] == "doctor: 2 urgent, 1 notice"


@pytest.mark.parametrize(
    "code, severity, status",
    [
        (Code.REQUEST_WAITING, Severity.NOTICE, 0),
        (Code.TARGET_SILENT, Severity.WARNING, 5),
        (Code.LOG_DOWN, Severity.URGENT, 6),
        (Code.ROW_SPOILT, Severity.URGENT, 7),
    ],
)
def test_the_exit_status_says_whose_turn_it_is(
    tmp_path: Path, code: Code, severity: Severity, status: int
):
    """0 for what only waits, 5 for targets, 6 for Callpoint's own side, 7 for evidence."""
    found = Symptom(severity, code, "x", "it is so", "do it")
    told = shell_with(tmp_path, diagnosed(found, ok=status == 0)).run("doctor", "-o", "json")
    assert (told.exit_code, codes(told)) == (status, {code})


def test_a_storm_is_told_in_a_page(tmp_path: Path):
    """Of a thousand alike the first are shown and the rest counted; JSON has them all."""
    many = tuple(
        Symptom(Severity.URGENT, Code.LEASE_STUCK, f"cp_{n}", f"cp_{n} is alive", "repair it")
        for n in range(1000)
    )
    shell = shell_with(tmp_path, diagnosed(*many))
    lines = shell.run("doctor").stdout.splitlines()
    assert len(lines) < 50
    assert "and 980 more of lease-stuck: `callpoint doctor -o json`" in lines
    assert lines[-1] == "doctor: 1000 urgent"
    assert len(json.loads(shell.run("doctor", "-o", "json").stdout)["symptoms"]) == 1000


def test_what_may_not_be_viewed_still_counts(tmp_path: Path):
    """A hidden symptom is counted in words and in the exit status."""
    told = shell_with(tmp_path, diagnosed(ok=False, hidden=1)).run("doctor")
    assert told.exit_code == 6
    assert "1 symptom about activations that you may not view" in told.stdout


def test_no_server_answers(tmp_path: Path):
    """It says what that means, and still looks into the home folder that is on this machine."""
    home = make_home(tmp_path / "home")
    (home.keys / "log.key").chmod(0o644)
    api = CannedApi()
    for route in ("/v1/diagnosis", "/v1/installation"):
        api.lay(f"GET {route}", httpx.ConnectError("refused"))
    shell = Shell(tmp_path, "erin", api)
    told = shell.run("doctor", "--home", home.root, "-o", "json")
    assert (told.exit_code, codes(told)) == (6, {"server-down", "key-file"})
    words = shell.run("doctor", "--home", home.root).stdout
    assert "only the targets themselves end what expires" in words
    assert f"`callpoint serve --home {home.root}`" in words


def test_the_usual_home_is_looked_into_by_itself(tmp_path: Path):
    """Where CALLPOINT_HOME holds an installation nobody need name it."""
    home = make_home(tmp_path / "home")
    shell = shell_with(tmp_path, diagnosed())
    shell.environment["CALLPOINT_HOME"] = str(home.root)
    assert f"looked into {home.root}" in shell.run("doctor").stdout


@pytest.mark.parametrize(
    "answer, code",
    [
        (StoreUnavailableError("the store does not answer", way_out="start it"), "server-unable"),
        (NotFoundError("nothing is there"), "server-refuses"),
        (httpx.Response(401), "server-refuses"),
    ],
)
def test_a_server_that_does_not_say(tmp_path: Path, answer: object, code: str):
    """Its store is away, it is an older one, or it does not know the key: each in words."""
    told = shell_with(tmp_path, answer).run("doctor", "-o", "json")
    assert (told.exit_code, codes(told)) == (6, {code})


def test_without_a_key_the_home_is_looked_into(tmp_path: Path):
    """On the server's machine root has no key, and learns how to ask with one."""
    home = make_home(tmp_path / "home")
    shell = shell_with(tmp_path, diagnosed())
    (shell.home / "key.json").unlink()
    told = shell.run("doctor", "--home", home.root)
    assert told.exit_code == 6
    assert "the server was not asked" in told.stdout
    assert "`callpoint keygen NAME`" in told.stdout


def test_a_clock_that_is_off_here_is_told(tmp_path: Path):
    """Before the server begins to refuse what is signed here."""
    shell = shell_with(tmp_path, diagnosed(now=START + timedelta(seconds=20)))
    told = shell.run("doctor")
    assert "this machine's clock is 20 s behind the store's" in told.stdout


def test_a_log_that_was_rolled_back_is_told(tmp_path: Path, running: tuple[World, RunningApp]):
    """The server's log is shorter than the checkpoint that its machine keeps outside."""
    world, app = running
    home = make_home(tmp_path / "home")
    keep(home, 10_000)
    shell = Shell(tmp_path, "erin", app, world.clock)
    told = shell.run("doctor", "--home", home.root)
    assert told.exit_code == 7
    assert "was rolled back or replaced" in told.stdout
    keep(home, 1)
    again = shell.run("doctor", "--home", home.root)
    assert again.exit_code == 0, again.stdout


def test_words_of_a_target_cannot_move_the_cursor(
    tmp_path: Path, running: tuple[World, RunningApp]
):
    """What a target says is shown as text, in words and in JSON."""
    world, app = running
    world.target.failing = (Check("x", ok=False, detail="\x1b[2J\u202egone\nok"),)
    told = Shell(tmp_path, "erin", app, world.clock).run("doctor")
    assert "\x1b" not in told.stdout
    assert "\u202e" not in told.stdout
    assert "\\x1b[2J\\u202egone\\nok" in told.stdout
