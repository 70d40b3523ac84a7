"""`callpoint key stage | rotate | witness`: keys of the installation.

In the home folder, on the machine of the server. `stage` may run beside it, `rotate` may not. What
replaces a key is signed in by the governors; a witness's key has nothing to do with our own log.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from callpoint.bootstrap.shell_word import shell_word
from callpoint.cli.exit_codes import reported
from callpoint.cli.group import VerbGroup
from callpoint.cli.machine import Machine, ThisMachine
from callpoint.cli.signature_file import read_signatures

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_USE = click.argument("use", type=click.Choice(["log", "token", "seal"]))


def home_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--home``, as every verb on the server's own files has it."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        help="The installation's folder.  [default: $CALLPOINT_HOME, else ~/.callpoint/server]",
    )(function)


_output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format."
)


@click.group("key", cls=VerbGroup)
def key() -> None:
    """Replace a key of the installation: the log's, the one for tokens, or the sealing key."""


@key.command("stage")
@_USE
@home_option
@_output
@click.pass_context
@reported
def stage(ctx: click.Context, use: str, home: Path | None, output: str) -> None:
    """Make the next key, beside the one in use, and the statement that governors sign.

    Nothing uses it before `callpoint key rotate`. Doing it again shows the same key.
    """
    from callpoint.bootstrap.rotation import stage as make
    from callpoint.bootstrap.rotation import statement_file
    from callpoint.config.settings import home_directory

    machine: Machine = ctx.find_root().obj or ThisMachine()
    place = home_directory(str(home) if home else None, machine.environment)
    made = make(place, use)
    file = statement_file(place, use)
    facts: dict[str, object] = {
        "use": made.use,
        "old": made.old,
        "new": made.new,
        "statement": str(file),
    }
    _tell(
        output,
        facts,
        [
            f"staged: a new {use} key of installation {made.installation}",
            f"  in use {made.old}",
            f"  next   {made.new}",
            f"each governor: callpoint sign {shell_word(file)} --key KEYFILE > NAME.signature",
            "then stop the server, and",
            (
                f"  callpoint key rotate {use} --home {shell_word(place)}"
                " --signatures NAME.signature …"
            ),
        ],
    )


@key.command("rotate")
@_USE
@home_option
@click.option(
    "--signatures",
    "signature_files",
    type=_FILE,
    multiple=True,
    required=True,
    help="What `callpoint sign` printed; one option a file.",
)
@_output
@click.pass_context
@reported
def rotate(
    ctx: click.Context,
    use: str,
    home: Path | None,
    signature_files: tuple[Path, ...],
    output: str,
) -> None:
    """Record the staged key in the log and put it into use. The server must be stopped.

    What a crash leaves behind is finished by the same command, or by the next start.
    """
    import asyncio

    from callpoint.bootstrap.outside import Outside
    from callpoint.bootstrap.rotation import rotate_key
    from callpoint.config.settings import home_directory

    machine: Machine = ctx.find_root().obj or ThisMachine()
    place = home_directory(str(home) if home else None, machine.environment)
    records = read_signatures(signature_files)
    done = asyncio.run(rotate_key(place, use, records, Outside(machine.environment)))
    facts: dict[str, object] = {"use": done.use, "old": done.old, "new": done.new, "in_use": True}
    lines = [
        f"the {use} key of installation {done.installation} is {done.new}",
        f"back up {place / 'keys'} and {place / 'installation.json'} now",
        *_after(use, place),
    ]
    _tell(output, facts, lines)


def _after(use: str, place: Path) -> list[str]:
    """What others must learn of it."""
    if use != "log":
        return []
    return [
        f"give {place / 'installation.json'} to everybody who verifies: it names both log keys",
        "their `callpoint` asks for it once: --installation FILE",
    ]


@key.command("witness")
@click.option("--name", default="", help="The witness's name.  [default: callpoint/ID/witness]")
@home_option
@_output
@click.pass_context
@reported
def witness(ctx: click.Context, name: str, home: Path | None, output: str) -> None:
    """Make the key with which this installation witnesses other logs; shows it when it is there.

    On one node only: its memory, `witness.json`, is made with it and is never copied. Start the
    server again, and name the logs in `[witnessing.logs]`.
    """
    from callpoint.bootstrap.witnessing import make_witness_key
    from callpoint.config.settings import home_directory

    machine: Machine = ctx.find_root().obj or ThisMachine()
    place = home_directory(str(home) if home else None, machine.environment)
    public = make_witness_key(place, name)
    _tell(
        output,
        {"witness_key": public},
        [
            public,
            "give this to whoever runs the logs that it shall cosign, with the address",
            "that they reach it under: https://YOUR.SERVER/witness",
        ],
    )


def _tell(output: str, facts: dict[str, object], lines: list[str]) -> None:
    click.echo(json.dumps(facts) if output == "json" else "\n".join(lines))
