"""`callpoint approve ID`: read what is asked, check it, sign it with your own key."""

from pathlib import Path

import click

from callpoint.cli.activation_text import asked, standing
from callpoint.cli.ballot import cast, verify_ballot
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.trust import known_installation
from callpoint.domain.approval import Verdict


@verb("approve")
@click.argument("activation", metavar="ID")
@click.option("--because", "comment", default="", metavar="WORDS", help="Your comment.")
@click.option("--yes", is_flag=True, help="Do not ask: for scripts that have read it.")
@click.option(
    "--installation",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The installation's file; else the first contact counts.",
)
def approve(
    run: Invocation, activation: str, comment: str, *, yes: bool, installation: Path | None
) -> None:
    """Sign a yes to the request ID.

    It shows exactly what is asked, and checks on this machine that this is what you sign. To look
    without signing: `callpoint status ID`.
    """
    vote_on(run, activation, Verdict.APPROVE, comment, yes=yes, installation=installation)


def vote_on(
    run: Invocation,
    activation: str,
    verdict: Verdict,
    comment: str,
    *,
    yes: bool,
    installation: Path | None,
) -> None:
    """Fetch, check, show, ask, sign, send; `callpoint deny` does the same.

    Raises:
        TamperError: What is shown is not what would be signed; nothing is.
    """
    known, first = known_installation(run.client, run.state, installation)
    if first:
        run.note(first)
    ballot = run.client.statement(activation, verdict)
    statement = verify_ballot(ballot, activation, run.key.principal, verdict, known.id)
    run.progress(*asked(ballot.activation), *standing(ballot.activation))
    run.progress(
        f"  checked: what you see is what is signed (as {statement.person},"
        f" log at {statement.checkpoint.partition(' ')[0]})"
    )
    word = "Approve" if verdict is Verdict.APPROVE else "Deny"
    run.confirm(f"{word} this request?", yes=yes)
    after = run.client.vote(activation, verdict, cast(ballot, run.key, comment))
    run.show(after, [f"{verdict} recorded; {after.state}: {after.next}"])
