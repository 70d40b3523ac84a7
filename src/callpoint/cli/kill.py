"""`callpoint kill SCOPE [NAME]`: the kill switch. It never asks the policy."""

import click

from callpoint.api.messages import KillOrder
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.words import plural
from callpoint.domain.errors import RequestError
from callpoint.lifecycle.kill import Scope


@verb("kill")
@click.argument("scope", type=click.Choice([str(scope) for scope in Scope]))
@click.argument("name", default="")
@click.option("--yes", is_flag=True, help="Do not ask before killing everything.")
def kill(run: Invocation, scope: str, name: str, *, yes: bool) -> int:
    """End access now, and revoke before this returns.

    \b
    callpoint kill activation ID
    callpoint kill principal NAME     (or a person)
    callpoint kill target NAME
    callpoint kill incident NAME
    callpoint kill everything

    Exit status 5 says that a credential is not proven dead yet; it is retried for ever.
    """  # noqa: D301 -- \b is click's mark for lines that it must not join
    what = Scope(scope)
    if what is Scope.EVERYTHING:
        if name:
            raise RequestError(f"kill everything takes no name, and {name[:80]!r} was given")
        run.confirm("End every activation of this installation now?", yes=yes)
    elif not name:
        raise RequestError(f"kill {scope} needs a name", way_out=f"`callpoint kill {scope} NAME`")
    about = name.lower() if what is Scope.INCIDENT else name
    done = run.client.kill(KillOrder(scope=what, about=about))
    for activation in done.activations:
        run.keyring.forget(activation)
    lines = [f"ended {activation}" for activation in done.activations]
    lines += [f"! {lease} is not proven dead; it is retried for ever" for lease in done.alive]
    lines.append(
        f"{plural(len(done.activations), 'activation')} ended,"
        f" {plural(len(done.alive), 'credential')} not proven dead"
    )
    if not done.activations and what is not Scope.EVERYTHING:
        lines.append(f"nothing was open for {scope} {about}: `callpoint status` says what is")
    run.show(done, lines)
    return ExitCode.TARGET if done.alive else ExitCode.OK
