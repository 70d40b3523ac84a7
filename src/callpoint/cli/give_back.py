"""`callpoint return ID`: end your access; it is revoked before the command ends.

The file is not called after its verb, which is a word of Python's.
"""

import click

from callpoint.api.messages import ActivationView
from callpoint.cli.activation_text import alive, lease_line
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.invocation import Invocation, verb


@verb("return")
@click.argument("activation", metavar="ID")
@click.option("--used", is_flag=True, help="The work is done, rather than handed back unused.")
def give_back(run: Invocation, activation: str, *, used: bool) -> int:
    """End the activation ID now. Always possible; nobody is asked.

    Exit status 5 says that a credential is not proven dead yet; it is retried for ever.
    """
    after = end_now(run, activation, used=used)
    run.show(after, [*(lease_line(lease) for lease in after.leases), told(after)])
    return ExitCode.TARGET if alive(after) else ExitCode.OK


def end_now(run: Invocation, activation: str, *, used: bool) -> ActivationView:
    """Return it, and forget the one-time key that opened its credentials."""
    after = run.client.give_back(activation, used=used)
    run.keyring.forget(activation)
    return after


def told(after: ActivationView) -> str:
    """How it ended, in one line."""
    if left := alive(after):
        return f"{after.state}, but {len(left)} not proven dead yet: `callpoint status {after.id}`"
    return f"{after.state}: {after.next}"
