"""`callpoint session list | end | resume`: what passes a gateway, seen from above."""

from collections.abc import Iterator

import click

from callpoint.api.session_messages import SessionList, SessionView
from callpoint.cli.activation_text import limits
from callpoint.cli.group import VerbGroup
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.words import listed, moment, until
from callpoint.domain.allowance import Allowance
from callpoint.domain.counted import plural
from callpoint.domain.session import LIVE, SessionState


@click.group("session", cls=VerbGroup)
def session() -> None:
    """List the sessions of an activation through gateways, end one, or let them go on.

    ID is the activation, as `callpoint status` shows it. What does not pass a gateway has no
    session here: `callpoint status ID` tells about that.
    """


@verb("list", session)
@click.argument("activation", metavar="ID")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
def list_(run: Invocation, activation: str, *, everything: bool) -> None:
    """Show the sessions of the activation ID, and what they have spent of its allowance."""
    found = run.client.sessions(activation)
    run.show(found, _overview(found, everything=everything))


@verb("end", session)
@click.argument("session", metavar="SESSION")
def end(run: Invocation, session: str) -> None:
    """End one session now, named as `callpoint session list ID` shows it.

    The access itself goes on: `callpoint return ID` or `callpoint kill activation ID` ends that.
    """
    run.show(ended := run.client.end_session(session), [_line(ended)])


@verb("resume", session)
@click.argument("activation", metavar="ID")
@click.option("--because", required=True, metavar="WORDS", help="What you looked at, and why.")
def resume(run: Invocation, activation: str, because: str) -> None:
    """Let the sessions of the activation ID go on, which a spent allowance has stopped.

    It grants the whole allowance once more. Only a person can do it who does not stand behind the
    request.
    """
    done = run.client.resume_sessions(activation, because)
    goes = plural(len(done.sessions), "session goes", "sessions go")
    times = plural(done.grants, "more time", "more times")
    lines = [
        f"{goes} on; the allowance of {done.activation} was granted {times}",
        f"to see what is done: callpoint session list {done.activation}",
    ]
    run.show(done, lines)


def _overview(found: SessionList, *, everything: bool) -> Iterator[str]:
    shown = [one for one in found.sessions if everything or one.state in LIVE]
    for one in shown:
        yield _line(one)
        yield (
            f"      since {moment(one.opened_at)} from {one.source}, last action"
            f" {until(one.acted_at, found.now)}, ends {until(one.not_after, found.now)}"
        )
    if not shown:
        over = len(found.sessions)
        yield "no session is open" + (f"; --all shows {over} that are over" if over else "")
    if found.allowance != Allowance():
        yield _spent(found)
    if any(one.state is SessionState.PAUSED for one in shown):
        yield (
            "! an allowance is spent. A person who does not stand behind the request looks, and"
            f" lets it go on: callpoint session resume {found.activation} --because WORDS"
        )


def _spent(found: SessionList) -> str:
    counted = Allowance(
        actions=found.spent.actions,
        rows=found.spent.rows,
        bytes=found.spent.bytes,
        objects=found.spent.objects,
        destructive=found.spent.destructive,
    )
    kept = {
        name: value
        for name in counted.__struct_fields__
        if getattr(found.allowance, name) is not None
        and (value := getattr(counted, name)) is not None
    }
    grants = found.spent.grants
    times = f", granted {plural(grants, 'more time', 'more times')}" if grants else ""
    spent = listed(limits(Allowance(**kept)), "nothing that is counted")
    return f"spent: {spent} of {listed(limits(found.allowance))}{times}"


def _line(one: SessionView) -> str:
    mark = "! " if one.state is SessionState.PAUSED else ""
    return f"{mark}{one.id}  {one.state}  {one.principal}  {one.target}:{one.role}  {one.gateway}"
