"""`callpoint connect ID`: one command from an approved request to a prompt on the target."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from callpoint.api.messages import ActivationView
from callpoint.cli.credential import choose, ends, fetch
from callpoint.cli.give_back import end_now, told
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.passage import behind, passage
from callpoint.cli.session import foresee, program_for, run_session
from callpoint.cli.taking_up import take_up
from callpoint.domain.activation import ActivationState
from callpoint.domain.connection import MOST_LOGINS
from callpoint.domain.eligibility import Lane
from callpoint.domain.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Way:
    """Where to and how, as far as the caller says.

    Attributes:
        wanted: ``target`` or ``target:role``; empty: the only one.
        source: The address that a gateway will see; empty: the one that the server sees.
        program: What to run in place of the usual one; empty: the usual one.
        logins: How many connections it opens.
    """

    wanted: str = ""
    source: str = ""
    program: str = ""
    logins: int = 1


_PLAIN = Way()


@verb("connect", context_settings={"ignore_unknown_options": True})
@click.argument("activation", metavar="ID")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]")
@click.option("--open", "wanted", default="", metavar="TARGET[:ROLE]", help="If there are several.")
@click.option("--source", default="", metavar="ADDRESS", help="Your address as a gateway sees it.")
@click.option(
    "--with", "program", default="", metavar="PROGRAM", help="In place of psql: pg_dump, pgbench."
)
@click.option(
    "--logins",
    type=click.IntRange(1, MOST_LOGINS),
    default=1,
    help="Connections that it opens through a gateway.  [default: 1]",
)
@click.option("--print", "only_print", is_flag=True, help="Say how to connect; do not connect.")
@click.option(
    "--return/--keep",
    "give_back",
    default=None,
    help="Afterwards, end the access, or keep it.  [default: ask; keep without a terminal]",
)
def connect(
    run: Invocation,
    activation: str,
    arguments: tuple[str, ...],
    wanted: str,
    source: str,
    program: str,
    *,
    logins: int,
    only_print: bool,
    give_back: bool | None,
) -> int:
    """Open a session with the credential of the activation ID: psql or ssh, as the target needs.

    A target behind a gateway is reached through it, with a secret for this one login.

    \b
    callpoint connect ID
    callpoint connect ID -- -c "SELECT 1"      to psql
    callpoint connect ID -- uptime             on the host

    ARGUMENTS go to that program; to ssh, a remote command. No secret is on a command line or in a
    file: psql has it in its environment, ssh asks this process to sign. An approved request is
    taken up first. The exit status is that of the program.
    """  # noqa: D301 -- \b is click's mark for lines that it must not join
    view = run.client.activation(activation)
    if not only_print:
        foresee(run, view, wanted, program)  # first: taking up starts the clock
    view = take_up(run, view)
    way = Way(wanted, source, program, logins)
    if only_print:
        _print(run, view, way)
        return 0
    return converse(run, view, arguments, give_back=give_back, way=way)


def _print(run: Invocation, view: ActivationView, way: Way) -> None:
    """How to connect. Where a gateway is between, only this command can: the secret is for once."""
    lease = behind(view, way.wanted)
    if lease is not None:
        facts = {"activation": view.id, "target": lease.target, "gateway": lease.gateway}
        run.show(facts, [f"callpoint connect {view.id}"])
        return
    sealed = choose(fetch(run, view), way.wanted)
    facts = {"activation": view.id, "target": sealed.target, "hint": sealed.credential.hint}
    run.show(facts, [f"callpoint connect {view.id}", f"or: {sealed.credential.hint}"])


def converse(
    run: Invocation,
    view: ActivationView,
    arguments: Sequence[str],
    *,
    give_back: bool | None,
    way: Way = _PLAIN,
) -> int:
    """One session, and what becomes of the access after it. Returns the program's exit status."""
    lease = behind(view, way.wanted)
    if lease is None:
        sealed, through = choose(fetch(run, view), way.wanted), ""
    else:
        sealed, through = (
            passage(run, view, lease, way.source, way.logins),
            f" through {lease.gateway}",
        )
    program = program_for(sealed)
    run.note(f"{sealed.target} as {sealed.role}{through}; this access ends at {ends(sealed)}")
    status = run_session(run, sealed, arguments, way.program)
    now = _after(run, view)
    if now.state is not ActivationState.ACTIVE:
        # The incident was resolved, somebody pulled the cord, time was up: often why it ended.
        if now.ended_at is not None:
            run.keyring.forget(view.id)
        run.note(told(now))
    elif _is_over(run, view, broke_off=program.broke_off(status), give_back=give_back):
        run.note(told(end_now(run, view.id, used=True)))
    else:
        run.note(
            f"the access goes on: `callpoint connect {view.id}` again, or `callpoint return"
            f" {view.id}` when you are done"
        )
    return status


def _after(run: Invocation, view: ActivationView) -> ActivationView:
    """How it stands after the session; as before it when the server is away."""
    try:
        return run.client.activation(view.id)
    except UnavailableError as error:
        run.note(f"! {error.message}")
        return view


def _is_over(
    run: Invocation, view: ActivationView, *, broke_off: bool, give_back: bool | None
) -> bool:
    """Whether the work is done; a session that broke off is no sign of that."""
    if give_back is not None:
        return give_back
    if broke_off or not run.machine.interactive:
        return False
    done = view.request.lane is Lane.BREAK_GLASS
    return run.answer("Are you done? The access is then ended now.", default=done)
