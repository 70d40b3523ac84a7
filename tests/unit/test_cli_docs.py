"""``docs/cli.md`` says what the command line does."""

import re
from pathlib import Path

import click
import pytest

from callpoint.cli import exit_codes
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.program import DEFAULT_SERVER, program

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
CODE_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)


@pytest.mark.parametrize("text", [TEXT, exit_codes.__doc__ or ""], ids=["page", "module"])
def test_every_exit_code_is_documented_once(text: str):
    """The tables and the codes are the same set, in the same order."""
    assert [int(code) for code in CODE_ROW.findall(text)] == [int(code) for code in ExitCode]


def verbs() -> list[str]:
    """Every verb as typed, without the groups themselves."""
    ctx, found = click.Context(program), []
    for name in program.list_commands(ctx):
        command = program.get_command(ctx, name)
        below = command.list_commands(ctx) if isinstance(command, click.Group) else []
        found += [f"{name} {each}" for each in below] if name in TOLD_WHOLE else [name]
    return found


TOLD_WHOLE = {"incident", "verify", "log", "publish"}


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_documented(verb: str):
    """The table of verbs misses none."""
    table = TEXT.partition("## Verbs")[2].partition("\n## ")[0]
    group, _, name = verb.rpartition(" ")
    rows = [row for row in table.splitlines() if f"`{group or name}" in row]
    assert any(re.search(rf"[`\s]{name}\b", row) for row in rows), verb


def test_every_documented_verb_exists():
    """What the page names as a command can be typed."""
    known = set(program.list_commands(click.Context(program)))
    typed = set(re.findall(r"`callpoint ([a-z]+)", TEXT)) | set(
        re.findall(r"^callpoint ([a-z]+)", TEXT, re.MULTILINE)
    )
    assert typed <= known


def test_options_and_variables_are_documented():
    """The program's options, their variables and the default address are in the table."""
    for option in program.params:
        assert isinstance(option, click.Option)
        if option.name != "version":
            assert any(f"`{opt}" in TEXT for opt in option.opts), option.name
        if option.envvar:
            assert f"`{option.envvar}`" in TEXT
    assert DEFAULT_SERVER in TEXT


def test_every_option_of_the_page_exists():
    """An option that the page names is one of some verb, or of psql or ssh after `--`."""
    ctx, known = click.Context(program), set()
    for name in program.list_commands(ctx):
        command = program.get_command(ctx, name)
        assert command is not None
        group = command.commands.values() if isinstance(command, click.Group) else [command]
        known |= {opt for each in group for p in each.params for opt in p.opts}
    assert set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", TEXT)) <= known | {"--help"}
