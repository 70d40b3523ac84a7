"""`callpoint installation adopt`: a database that was moved is at home where it is now."""

import json
from pathlib import Path

import click

from callpoint.bootstrap.shell_word import shell_word
from callpoint.cli.exit_codes import reported
from callpoint.cli.group import VerbGroup
from callpoint.cli.key import home_option
from callpoint.cli.machine import Machine, ThisMachine
from callpoint.domain.errors import RequestError

_MAX_REASON = 1000


@click.group("installation", cls=VerbGroup)
def installation() -> None:
    """Where the installation lives."""


@installation.command("adopt")
@home_option
@click.option("--reason", required=True, metavar="WORDS", help="Why; stands in the log for ever.")
@click.option("--as", "actor", required=True, metavar="NAME", help="Who does it; in the log too.")
@click.option(
    "--other-is-off",
    is_flag=True,
    help="No other server of this installation runs, or will; say it only if you looked.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format.")
@click.pass_context
@reported
def adopt(
    ctx: click.Context,
    home: Path | None,
    reason: str,
    actor: str,
    *,
    other_is_off: bool,
    output: str,
) -> None:
    """Let a database that was moved be at home where it is now.

    On the server's machine, with the server stopped. Never for a copy beside the original: each of
    the two would take the other's accounts for unknown ones and remove them. A copy for tests is
    not adopted: make an installation of its own with `callpoint init`.
    """
    # Here, not at the top: the composition root takes a second, which `--help` need not pay.
    import asyncio

    from callpoint.bootstrap.adoption import adopt as move
    from callpoint.bootstrap.outside import Outside
    from callpoint.config.settings import home_directory
    from callpoint.domain.ids import parse_name

    machine: Machine = ctx.find_root().obj or ThisMachine()
    place = home_directory(str(home) if home else None, machine.environment)
    if not reason.strip() or len(reason) > _MAX_REASON:
        raise RequestError(f"--reason takes 1 to {_MAX_REASON} characters")
    if not other_is_off:
        raise RequestError(
            "two servers of one installation on two databases remove each other's accounts",
            way_out="see that the other one is off and stays off, then add --other-is-off",
        )
    name = parse_name(actor, "person")
    done = asyncio.run(move(place, reason, name, Outside(machine.environment)))
    facts: dict[str, object] = {"epoch": done.epoch.number, "place": done.place}
    lines = [
        f"the database is at home at {done.place}; epoch {done.epoch.number} has begun",
        "targets are compared first, and nothing is given on one that was not",
        f"next: callpoint serve --home {shell_word(place)}",
    ]
    click.echo(json.dumps(facts) if output == "json" else "\n".join(lines))
