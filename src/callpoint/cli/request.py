"""`callpoint request`: one command from the pager to the prompt.

The one-time key that the credential will be sealed to is made here and never leaves this machine.
Until the server has named the activation the key is kept under its own public half, so that a
request whose answer was lost can be resumed.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from callpoint.api.messages import ActivationView
from callpoint.cli.activation_text import asked, standing
from callpoint.cli.client import NoAnswerError
from callpoint.cli.connect import converse
from callpoint.cli.credential import described, fetch, write_credentials
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.session import foresee, need_a_program
from callpoint.cli.taking_up import take_up
from callpoint.cli.waiting import wait
from callpoint.cli.words import until
from callpoint.domain.eligibility import Purpose
from callpoint.domain.errors import CallpointError, RequestError
from callpoint.domain.request import Ask
from callpoint.domain.span import parse_span

_DRAFT_LENGTH = 16


@dataclass(frozen=True, slots=True)
class _After:
    """What is wanted once it is approved."""

    wait: bool
    connect: bool
    show_secret: bool
    file: Path | None

    @property
    def waits(self) -> bool:
        """Whoever wants a credential waits for it."""
        return self.wait or self.connect or self.show_secret or self.file is not None


def _span(_: click.Context, __: click.Parameter, text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        return parse_span(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write 15m or 1h30m") from error


@verb("request")
@click.argument("eligibility", required=False, default="")
@click.option(
    "--incident",
    metavar="INC",
    help="The incident that justifies it; only planned work goes without.",
)
@click.option("--because", metavar="WORDS", help="What you will do, and why it cannot wait.")
@click.option(
    "--purpose",
    type=click.Choice([str(purpose) for purpose in Purpose]),
    default=str(Purpose.RECOVER),
    show_default=True,
)
@click.option(
    "--for", "ttl", callback=_span, metavar="SPAN", help="Shorter than allowed, 1m at least: 15m."
)
@click.option("--open", "opens", multiple=True, metavar="TARGET:ROLE", help="Less than it opens.")
@click.option("--source", "sources", multiple=True, metavar="CIDR", help="Where you connect from.")
@click.option("--resume", metavar="ID", help="Go on with a request that you made before.")
@click.option("--wait", "waits", is_flag=True, help="Wait for approvals, then take it up.")
@click.option("--connect", is_flag=True, help="Wait, then open a session at once.")
@click.option("--show-secret", is_flag=True, help="Wait, then print the credential.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Wait, then write the credential to this new file (mode 0600).",
)
def request(
    run: Invocation,
    *,
    eligibility: str,
    incident: str | None,
    because: str | None,
    purpose: str,
    ttl: timedelta | None,
    opens: tuple[str, ...],
    sources: tuple[str, ...],
    resume: str | None,
    waits: bool,
    connect: bool,
    show_secret: bool,
    file: Path | None,
) -> int:
    """Ask for ELIGIBILITY. It grants nothing: it opens a vote.

    \b
    callpoint request orders-repair --incident INC-7 --because "disk full, ..." --wait
    callpoint request --resume ID --connect

    Ctrl-C leaves the request open.
    """  # noqa: D301 -- \b is click's mark for lines that it must not join
    after = _After(wait=waits, connect=connect, show_secret=show_secret, file=file)
    if resume:
        view = _resumed(run, resume, eligibility)
    else:
        if not (eligibility and because):
            raise RequestError(
                "a request names an eligibility, --because and, in an emergency, --incident",
                way_out="`callpoint request --help` shows one; --resume ID goes on with an old one",
            )
        if connect:
            need_a_program(run)
        view = _ask(
            run,
            Ask(
                eligibility=eligibility,
                incident=(incident or "").lower(),
                justification=because,
                seal_to="",
                purpose=Purpose(purpose),
                opens=opens,
                ttl=ttl,
                sources=sources,
            ),
        )
    return _go_on(run, view, after)


def _ask(run: Invocation, ask: Ask) -> ActivationView:
    """Make the one-time key, send the request, and keep the key under the activation's name."""
    draft = run.machine.ident(_DRAFT_LENGTH)
    recipient = run.keyring.create(draft)
    run.keyring.rename(draft, recipient)
    try:
        view = run.client.request(msgspec.structs.replace(ask, seal_to=recipient))
    except NoAnswerError as error:
        raise NoAnswerError(
            f"{error.message}; the request may be open",
            way_out="look with `callpoint status --mine`; if it is there, go on with `callpoint"
            " request --resume ID --wait`",
        ) from error
    except CallpointError:
        run.keyring.forget(recipient)
        raise
    run.keyring.rename(recipient, view.id)
    return view


def _resumed(run: Invocation, activation: str, eligibility: str) -> ActivationView:
    if eligibility:
        raise RequestError("--resume goes on with a request that names its eligibility already")
    view = run.client.activation(activation)
    # Heals the moment between the server's answer and the key's new name.
    run.keyring.rename(view.request.seal_to, view.id)
    return view


def _go_on(run: Invocation, view: ActivationView, after: _After) -> int:
    if not after.waits:
        run.show(
            view,
            [
                *asked(view),
                *standing(view),
                f"{view.state}: {view.next}",
                f"to wait for it: callpoint request --resume {view.id} --wait",
            ],
        )
        return ExitCode.OK
    cause = f" for {view.request.incident}" if view.request.incident else ""
    run.progress(f"{view.id}: {view.request.eligibility}{cause}")
    if after.connect:
        _foresee(run, view)
    try:
        active = take_up(run, wait(run, view))
    except KeyboardInterrupt:
        run.note(
            f"{view.id} stays open. To go on: callpoint request --resume {view.id} --wait",
            f"or, once it is approved: callpoint connect {view.id}",
            f"to take it back: callpoint withdraw {view.id}",
        )
        return ExitCode.INTERRUPTED
    return _hand_over(run, active, after)


def _foresee(run: Invocation, view: ActivationView) -> None:
    """Learn before the vote, and not after it, that no session can be opened here."""
    try:
        foresee(run, view)
    except RequestError as error:
        raise RequestError(
            f"{error.message}; the request {view.id} stays open",
            way_out=f"install it and go on with `callpoint request --resume {view.id} --connect`,"
            f" or take it back with `callpoint withdraw {view.id}`",
        ) from error


def _hand_over(run: Invocation, view: ActivationView, after: _After) -> int:
    """The access is there: one line to use it, or what was asked for instead."""
    ends = until(view.not_after, view.now) if view.not_after else "soon"
    if after.connect:
        run.progress(f"active, ends {ends}")
        return converse(run, view, (), give_back=None)
    lines = [f"active, ends {ends}"]
    if after.show_secret or after.file is not None:
        found = fetch(run, view)
        lines += described(found, show_secret=after.show_secret)
        if after.file is not None:
            write_credentials(after.file, found)
            lines.append(f"written to {after.file}")
        if run.output == "json" and after.show_secret:
            run.show({"activation": view, "credentials": found}, ())
            return ExitCode.OK
    lines.append(f"to connect:  callpoint connect {view.id}")
    lines.append(f"when done:   callpoint return {view.id}")
    run.show(view, lines)
    return ExitCode.OK
