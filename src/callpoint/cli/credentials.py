"""`callpoint credentials ID`: fetch again what this machine may open, as long as it lives."""

from pathlib import Path

import click
import msgspec

from callpoint.cli.credential import described, fetch, without_secret, write_credentials
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.session import how_to_connect
from callpoint.cli.taking_up import take_up


@verb("credentials")
@click.argument("activation", metavar="ID")
@click.option("--show-secret", is_flag=True, help="Print secrets too: they stay in the scrollback.")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write credentials with their secrets to this new file (JSON, mode 0600).",
)
def credentials(run: Invocation, activation: str, path: Path | None, *, show_secret: bool) -> None:
    """Fetch the credentials of the activation ID, and say how to connect.

    They open only on the machine and account that made the request. Each fetch is recorded.
    """
    view = take_up(run, run.client.activation(activation))
    found = fetch(run, view)
    lines = list(described(found, show_secret=show_secret))
    if path is not None:
        write_credentials(path, found)
        lines.append(f"written to {path}")
    lines += how_to_connect(view.id, found)
    facts = [msgspec.to_builtins(c) if show_secret else without_secret(c) for c in found]
    run.show(facts, lines)
