"""`callpoint clock accept`: the time that counts, after the clock had jumped ahead."""

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


@click.group("clock", cls=VerbGroup)
def clock() -> None:
    """Which time counts, after the server's clock had jumped ahead."""


@clock.command("accept")
@home_option
@click.option("--reason", required=True, metavar="WORDS", help="Why; stands in the log for ever.")
@click.option("--as", "actor", required=True, metavar="NAME", help="Who does it; in the log too.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format.")
@click.pass_context
@reported
def accept(ctx: click.Context, home: Path | None, reason: str, actor: str, output: str) -> None:
    """Take the clock as it is now, although the store has seen a later time.

    On the server's machine, with the server stopped, and only once the clock is right: nothing is
    issued before, since expiry would not be exact. Revocation never stopped.
    """
    # Here, not at the top: the composition root takes a second, which `--help` need not pay.
    import asyncio

    from callpoint.bootstrap.clock import accept_clock
    from callpoint.bootstrap.outside import Outside
    from callpoint.config.settings import home_directory
    from callpoint.domain.ids import parse_name

    machine: Machine = ctx.find_root().obj or ThisMachine()
    place = home_directory(str(home) if home else None, machine.environment)
    if not reason.strip() or len(reason) > _MAX_REASON:
        raise RequestError(f"--reason takes 1 to {_MAX_REASON} characters")
    name = parse_name(actor, "person")
    done = asyncio.run(accept_clock(place, reason, name, Outside(machine.environment)))
    facts = {"ahead": done.ahead.isoformat(), "accepted": done.accepted.isoformat()}
    lines = [
        f"the store had seen {done.ahead:%Y-%m-%d %H:%M:%S} UTC;",
        f"from now on {done.accepted:%Y-%m-%d %H:%M:%S} UTC counts, and the log says why",
        f"next: callpoint serve --home {shell_word(place)}",
    ]
    click.echo(json.dumps(facts) if output == "json" else "\n".join(lines))
