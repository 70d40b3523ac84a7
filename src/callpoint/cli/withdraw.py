"""`callpoint withdraw ID`: take back a request that is not active yet."""

import click

from callpoint.cli.invocation import Invocation, verb


@verb("withdraw")
@click.argument("activation", metavar="ID")
def withdraw(run: Invocation, activation: str) -> None:
    """Take back the request ID. What is active already is ended by `callpoint return`."""
    after = run.client.withdraw(activation)
    run.keyring.forget(activation)
    run.show(after, [f"{after.state}: {after.next}"])
