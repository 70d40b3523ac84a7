"""`callpoint incident declare | confirm | resolve | list`."""

from collections.abc import Iterator

import click

from callpoint.api.messages import IncidentView
from callpoint.cli.group import VerbGroup
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.words import listed, moment
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import Severity
from callpoint.domain.incident_state import IncidentState


@click.group("incident", cls=VerbGroup)
def incident() -> None:
    """Declare, confirm, resolve and list incidents."""


@verb("declare", incident)
@click.argument("name")
@click.option(
    "--severity", required=True, type=click.Choice([str(severity) for severity in Severity])
)
@click.option("--target", "targets", multiple=True, required=True, help="A target that it hits.")
@click.option("--title", default="", help="One line; personal, and not in the log itself.")
def declare(
    run: Invocation, name: str, severity: str, targets: tuple[str, ...], title: str
) -> None:
    """Say that there is an incident. It counts once another person confirms it."""
    said = Declaration(name, Severity(severity), targets, title)
    _show(run, run.client.declare(said))


@verb("confirm", incident)
@click.argument("name")
def confirm(run: Invocation, name: str) -> None:
    """Confirm an incident that somebody else declared."""
    _show(run, run.client.confirm(name))


@verb("resolve", incident)
@click.argument("name")
def resolve(run: Invocation, name: str) -> None:
    """Say that it is over. Every access that it justified ends now."""
    _show(run, run.client.resolve(name))


@verb("list", incident)
@click.option("--all", "everything", is_flag=True, help="Resolved ones too.")
def list_(run: Invocation, *, everything: bool) -> None:
    """List incidents, newest first."""
    found = run.client.incidents().incidents
    kept = [i for i in found if everything or i.state is not IncidentState.RESOLVED]
    lines = [_line(each) for each in kept] or ["no incident is open; --all shows resolved ones"]
    run.show(kept, lines)


def _show(run: Invocation, held: IncidentView) -> None:
    run.show(held, [_line(held), *_next(held)])


def _line(held: IncidentView) -> str:
    title = f"  {held.title}" if held.title else ""
    opened = moment(held.opened_at)
    return (
        f"{held.id}  {held.severity}  {held.state}  {listed(held.targets)}  since {opened}"
        f"  ({held.source}){title}"
    )


def _next(held: IncidentView) -> Iterator[str]:
    match held.state:
        case IncidentState.DECLARED:
            yield f"another person must confirm it: `callpoint incident confirm {held.id}`"
        case IncidentState.OPEN:
            yield f"it justifies requests: `callpoint request ELIGIBILITY --incident {held.id} ...`"
        case _:
            return
