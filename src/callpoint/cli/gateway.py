"""`callpoint gateway`: stand between actors and targets, in a process of its own."""

from pathlib import Path

import click

from callpoint.cli import haste
from callpoint.cli.exit_codes import reported
from callpoint.cli.group import VerbGroup
from callpoint.cli.machine import Machine, ThisMachine


@click.group("gateway", cls=VerbGroup)
def gateway() -> None:
    """Stand between actors and targets: each action is decided before it is let through."""


@gateway.command("postgres")
@click.option(
    "--settings",
    "file",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where it listens and whom it asks (TOML).",
)
@click.pass_context
@reported
def postgres(ctx: click.Context, file: Path) -> None:
    """Serve PostgreSQL's protocol, until SIGTERM or Ctrl-C.

    It has no store and no key but its own: a Callpoint server decides. Where it listens is said on
    stdout; its log goes to stderr, as JSON lines.
    """
    import asyncio
    import sys

    import uvloop

    from callpoint.bootstrap.gateway import run_alone
    from callpoint.cli.keyring import load_principal_key
    from callpoint.cli.signing import sign_request
    from callpoint.config.listeners import load_gateway
    from callpoint.domain.request_signature import MIN_NONCE_BYTES

    machine: Machine = ctx.find_root().obj or ThisMachine()
    place, listener = load_gateway(file)
    key = load_principal_key(place.key)

    def sign(method: str, url: str, body: bytes) -> dict[str, str]:
        return sign_request(
            method,
            url,
            body,
            principal=key.principal,
            key=key.key,
            now=machine.now(),
            nonce=machine.token(MIN_NONCE_BYTES),
        )

    def say(address: str) -> None:
        haste.settle()
        click.echo(f"gateway {listener.name} listens on {address}")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_alone(place, listener, sign, sys.stderr, say))
    click.echo("stopped")
