"""`callpoint deny ID`: one signed no is enough."""

from pathlib import Path

import click

from callpoint.cli.approve import vote_on
from callpoint.cli.invocation import Invocation, verb
from callpoint.domain.approval import Verdict


@verb("deny")
@click.argument("activation", metavar="ID")
@click.option("--because", "comment", required=True, metavar="WORDS", help="Why; kept as evidence.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--installation",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The installation's file; else the first contact counts.",
)
def deny(
    run: Invocation, activation: str, comment: str, *, yes: bool, installation: Path | None
) -> None:
    """Sign a no to the request ID. It ends the request at once."""
    vote_on(run, activation, Verdict.DENY, comment, yes=yes, installation=installation)
