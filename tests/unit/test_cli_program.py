"""`callpoint` itself: what it lists, what it loads, and how it refuses."""

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from callpoint.cli import main, words
from callpoint.cli import program as program_module
from callpoint.cli.invocation import Invocation
from callpoint.cli.program import program
from callpoint.cli.unread import writing
from callpoint.domain.errors import RequestError
from tests.fakes.canned_api import CannedApi, view
from tests.fakes.machine import FakeMachine, Shell

ROOT = Path(__file__).parents[2]
HEAVY = ("httpx", "rich", "msgspec", "cryptography", "pyrage", "cedarpy", "litestar", "asyncio")


def commands() -> list[tuple[str, ...]]:
    """Every verb and every verb below one, as typed."""
    found: list[tuple[str, ...]] = []
    ctx = click.Context(program)
    for name in program.list_commands(ctx):
        command = program.get_command(ctx, name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, below) for below in command.list_commands(ctx)]
    return found


def test_help_lists_every_verb():
    """`callpoint --help` names each verb that is installed, with a sentence."""
    told = CliRunner().invoke(program, ["--help"])
    assert told.exit_code == 0
    for name in program.list_commands(click.Context(program)):
        assert f"  {name} " in told.output


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_verb_has_help(path: tuple[str, ...]):
    """Each verb explains itself, and each of its options has words."""
    told = CliRunner().invoke(program, [*path, "--help"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("Usage: ")
    assert "\x08" not in told.output


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def test_help_loads_nothing_heavy():
    """`callpoint --help` imports neither the verbs nor what they need, so that it is fast."""
    code = (
        "import sys\nfrom callpoint.cli import main\nsys.argv = ['callpoint', '--help']\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert e.code == 0, e.code\n"
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])\n"
        "print('VERBS', sorted(m for m in sys.modules if m.startswith('callpoint.cli.')))\n"
    )
    done = run_python(code)
    assert "LOADED []" in done.stdout, done.stdout + done.stderr
    light = ("exit_codes", "haste", "program", "unread")
    assert f"VERBS {[f'callpoint.cli.{name}' for name in light]}" in done.stdout


def test_offline_verify_needs_no_http():
    """`callpoint verify` loads no HTTP client: it must work where there is no network."""
    code = (
        "import sys, callpoint.cli.verify\n"
        "print([m for m in ('httpx', 'rich') if m in sys.modules])"
    )
    assert run_python(code).stdout == "[]\n"


def test_a_verb_that_is_not_installed_breaks_no_other(monkeypatch: pytest.MonkeyPatch):
    """A verb whose module is missing is not listed, and the others go on."""
    missing = program_module._Verb("not_there", "Never.")
    monkeypatch.setitem(program_module._VERBS, "never", missing)
    assert "never" not in program.list_commands(click.Context(program))
    told = CliRunner().invoke(program, ["never"])
    assert (told.exit_code, "there is no verb 'never'" in told.output) == (2, True)


@pytest.mark.parametrize("typed,meant", [("aprove", "approve"), ("stauts", "status")])
def test_a_mistyped_verb_is_guessed(typed: str, meant: str):
    """Wrong verbs say which one was probably meant, with the code of bad input."""
    told = CliRunner().invoke(program, [typed])
    assert told.exit_code == 2
    assert f"did you mean `callpoint {meant}`?" in told.output


@pytest.mark.parametrize("options", [["-o", "json"], ["-ojson"], ["--output=json"]])
def test_wrong_usage_is_json_too(options: list[str]):
    """With -o json wrong usage is one JSON document on stderr."""
    told = CliRunner().invoke(program, [*options, "kill", "nothing"])
    assert told.exit_code == 2
    error = json.loads(told.stderr)
    assert error["exit_code"] == 2
    assert error["error"]["way_out"] == "run `callpoint kill --help`"


def test_an_argument_that_is_no_text_is_refused():
    """Bytes that are not UTF-8 are wrong usage, not a defect further in."""
    told = CliRunner().invoke(program, ["request", "x", "--because", "caf\udce9"])
    assert (told.exit_code, "is not UTF-8" in told.stderr) == (2, True)


class _Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_full_disk_under_the_answer_is_told(output: str):
    """Whoever redirects to a full disk learns that it was done, and gets no traceback."""
    run = Invocation("https://callpoint.example", None, output, FakeMachine({}))
    with (
        contextlib.redirect_stdout(_Full()),
        pytest.raises(RequestError, match="No space left on device"),
    ):
        run.show({"id": "x"}, ["x"])


def run_into(out: int, *arguments: str, err: int = subprocess.PIPE) -> tuple[int, str]:
    """The exit code and stderr of the command with its standard output in ``out``."""
    done = subprocess.run(
        [sys.executable, "-m", "callpoint", *arguments],
        stdout=out,
        stderr=err,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    return done.returncode, done.stderr or ""


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    """A pipe whose reader is gone before anything is written."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full() -> Iterator[int]:
    """A place that takes nothing."""
    writer = os.open("/dev/full", os.O_WRONLY)
    yield writer
    os.close(writer)


CHECK = ("check", "--config", str(ROOT / "examples" / "orders"))
ANSWERS = [("--help",), ("--version",), ("status", "--help"), CHECK]


@pytest.mark.parametrize("arguments", ANSWERS, ids=" ".join)
def test_a_reader_that_went_away_is_no_defect(closed_pipe: int, arguments: tuple[str, ...]):
    """`callpoint … | head -0` ends as tools do that SIGPIPE ends, without a word."""
    assert run_into(closed_pipe, *arguments) == (141, "")


@pytest.mark.parametrize("arguments", ANSWERS, ids=" ".join)
def test_a_full_place_is_told_without_a_traceback(full: int, arguments: tuple[str, ...]):
    """Help into a full disk is refused in words like every other error."""
    code, told = run_into(full, *arguments)
    assert code == 2
    assert told.startswith("error: the answer cannot be written: No space left on device\n")
    assert "Traceback" not in told


@pytest.mark.parametrize("arguments", [("kill", "nothing"), ("check", "--config", "/nowhere")])
def test_an_error_that_nobody_reads_keeps_its_code(
    closed_pipe: int, full: int, arguments: tuple[str, ...]
):
    """Where stderr takes nothing either, the exit code still says what was wrong."""
    assert run_into(closed_pipe, *arguments, err=closed_pipe) == (2, "")
    assert run_into(full, *arguments, err=full) == (2, "")


def test_another_closed_pipe_is_not_taken_for_the_answer():
    """A file or socket of ours that breaks is no reader who went away."""
    with pytest.raises(BrokenPipeError), writing():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("before", [True, False])
def test_options_mean_the_same_before_and_after_the_verb(tmp_path: Path, before: bool):
    """-o, --server and --key may stand on either side of the verb."""
    api = CannedApi()
    api.lay(f"GET /v1/activations/{view().id}", view())
    shell = Shell(tmp_path, "alice", api)
    options = ["-o", "json", "--server", "https://other.example"]
    verb = ["status", view().id]
    told = shell.run(*(options + verb if before else verb + options))
    assert json.loads(told.stdout)["id"] == view().id
    assert api.asked[-1].url.host == "other.example"


def test_options_before_a_group_reach_its_verbs(tmp_path: Path):
    """`callpoint -o json incident list` speaks JSON."""
    api = CannedApi()
    api.lay("GET /v1/incidents", {"incidents": []})
    assert (
        json.loads(Shell(tmp_path, "alice", api).run("-o", "json", "incident", "list").stdout) == []
    )


def test_an_interrupt_has_its_own_code():
    """Ctrl-C is told from every error."""

    @click.command("wait")
    def wait() -> None:
        raise KeyboardInterrupt

    class Waiting(program_module.Program):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return wait

    assert CliRunner().invoke(Waiting("callpoint"), ["wait"]).exit_code == 130


def test_the_console_script_runs_the_program(monkeypatch: pytest.MonkeyPatch):
    """`callpoint` on the command line is this program."""
    monkeypatch.setattr(sys, "argv", ["callpoint", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_other_programs_can_run_it():
    """Without standalone mode click's own contract holds: errors are raised, nothing exits."""
    with pytest.raises(click.UsageError):
        program.main(["aprove"], standalone_mode=False)


def test_a_module_without_its_verb_is_a_defect():
    """A verb that its module does not define is our mistake, and is said by name."""
    with pytest.raises(LookupError, match=r"callpoint\.cli\.words has no command called status"):
        program_module._command_of(words, "status")


def test_no_verb_at_all_is_answered_with_the_help_and_no_error():
    """The first thing that anybody types: the help once, on stderr, with status 2."""
    told = CliRunner().invoke(program, [])
    assert told.exit_code == 2
    assert told.stderr.startswith("Usage: callpoint")
    assert told.stderr.count("Usage:") == 1
    assert "error" not in told.stderr


def test_what_stays_collects_garbage_as_usual():
    """A start collects seldom; a server that answers collects as Python does, and not the start."""
    code = (
        "import gc, sys\n"
        "from callpoint.cli import haste, main\n"
        "usual = gc.get_threshold()[0]\n"
        "sys.argv = ['callpoint', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "seldom, kept = gc.get_threshold()[0], gc.get_freeze_count()\n"
        "haste.settle()\n"
        "kept_now = gc.get_freeze_count()\n"
        "print(seldom > 99 * usual, kept, gc.get_threshold()[0] <= usual, kept_now > 999)"
    )
    assert run_python(code).stdout.splitlines()[-1] == "True 0 True True"


def groups(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb that has verbs below it, by its words."""
    if isinstance(command, click.Group):
        yield path
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from groups(below, (*path, name))


def test_help_cuts_no_sentence_off():
    """Each list of verbs says what each does, in a whole sentence."""
    for path in groups(program):
        told = CliRunner().invoke(program, [*path, "--help"], prog_name="callpoint")
        assert told.exit_code == 0
        listed = told.stdout.partition("\nCommands:")[2]
        assert "..." not in listed, (path, listed)
