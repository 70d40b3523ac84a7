"""`callpoint serve`: API, workers and log in one process."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from callpoint.cli import haste
from callpoint.cli.exit_codes import reported
from callpoint.cli.machine import Machine, ThisMachine

if TYPE_CHECKING:  # the composition root takes a second to import, which `--help` need not pay
    from callpoint.bootstrap.serve import Ready

_HIGHEST_PORT = 65535
_TRIAL = "TRIAL: one governor alone rules here; name two or more before you depend on it"


@click.command("serve")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="The installation's folder.  [default: $CALLPOINT_HOME, else ~/.callpoint/server]",
)
@click.option("--listen", metavar="HOST:PORT", help="Instead of what server.toml says.")
@click.pass_context
@reported
def serve(ctx: click.Context, home: Path | None, listen: str | None) -> None:
    """Run everything in one process, until SIGTERM or Ctrl-C.

    Where it listens is said on stdout once it answers; its log goes to stderr, as JSON lines.
    """
    import asyncio

    import uvloop

    from callpoint.bootstrap.outside import Outside
    from callpoint.bootstrap.serve import serve as run
    from callpoint.bootstrap.serve import with_listen
    from callpoint.config.settings import home_directory, load_settings

    machine: Machine = ctx.find_root().obj or ThisMachine()
    settings = load_settings(home_directory(str(home) if home else None, machine.environment))
    if listen is not None:
        settings = with_listen(settings, *_parse_listen(listen))

    def say(ready: "Ready") -> None:
        haste.settle()
        for line in _lines(ready):
            click.echo(line)

    async def main() -> None:
        await run(settings, Outside(machine.environment), say, stop=asyncio.Event())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    click.echo("stopped")


def _lines(ready: "Ready") -> list[str]:
    lines = [f"callpoint {ready.installation} listens on {ready.address}"]
    if ready.trial:
        lines.append(_TRIAL)
    lines += [f"TROUBLE: {line}" for line in ready.trouble]
    return lines


def _parse_listen(text: str) -> tuple[str, int]:
    """``HOST:PORT``; an IPv6 address stands in brackets, port 0 is any free one."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit()) or int(port) > _HIGHEST_PORT:
        raise click.BadParameter(f"{text!r} is not HOST:PORT", param_hint="--listen")
    return host, int(port)
