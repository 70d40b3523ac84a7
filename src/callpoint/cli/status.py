"""`callpoint status [ID]`: what is going on, or the life of one activation."""

from collections.abc import Iterator

import click
import msgspec

from callpoint.api.messages import ActivationView, StatusView
from callpoint.cli.activation_text import headline, lease_line, life
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.words import listed, moment, until
from callpoint.domain.activation import UNFINISHED, ActivationState
from callpoint.domain.counted import plural
from callpoint.domain.errors import TamperError, UnavailableError

_FINISHED = frozenset(
    {
        ActivationState.REVIEWED,
        ActivationState.DENIED,
        ActivationState.LAPSED,
        ActivationState.WITHDRAWN,
    }
)


class Overview(msgspec.Struct, frozen=True):
    """What ``-o json`` gives without an ID."""

    status: StatusView
    activations: tuple[ActivationView, ...]


@verb("status")
@click.argument("activation", default="", metavar="[ID]")
@click.option("--mine", is_flag=True, help="Only your own activations.")
@click.option("--all", "everything", is_flag=True, help="Finished activations too.")
@click.option(
    "--state",
    type=click.Choice([str(state) for state in ActivationState]),
    help="Only activations in this state.",
)
def status(
    run: Invocation, activation: str, *, mine: bool, everything: bool, state: str | None
) -> None:
    """Show what is going on, or with an ID the timeline of that activation."""
    if activation:
        view = run.client.activation(activation)
        run.show(view, life(view))
        return
    seen = run.client.status()
    found = _listed(run, seen, state=state or "", mine=mine)
    kept = tuple(a for a in found if everything or state or a.state not in _FINISHED)
    _forget_ended(run, found)
    run.show(Overview(seen, kept), _overview(seen, kept))


def _listed(
    run: Invocation, seen: StatusView, *, state: str, mine: bool
) -> tuple[ActivationView, ...]:
    """The activations; none while the server cannot tell who may see them, and says why itself."""
    try:
        return run.client.activations(state=state, mine=mine).activations
    except (TamperError, UnavailableError):
        if not seen.trouble:
            raise
        return ()


def _forget_ended(run: Invocation, found: tuple[ActivationView, ...]) -> None:
    """One-time keys of what has ended open nothing any more; the kill of others ends ours too."""
    held = set(run.keyring.names())
    for view in found:
        if view.id in held and view.state not in UNFINISHED:
            run.keyring.forget(view.id)


def _overview(seen: StatusView, activations: tuple[ActivationView, ...]) -> Iterator[str]:
    yield f"installation {seen.installation}, configuration {seen.configuration}, " + moment(
        seen.now
    )
    if seen.trial:
        yield "! trial: one governor alone rules; for production use at least two"
    for trouble in seen.trouble:
        yield f"! {trouble}"
    yield from _log(seen)
    for target, why in sorted(seen.targets.items()):
        yield f"! target {target} cannot be used here: {why}"
    for lease in seen.stuck:
        yield lease_line(lease)
    for late in seen.overdue:
        due = until(late.deadline, seen.now)
        yield f"! review of {late.activation} was due {due}; can review: {listed(late.reviewers)}"
    counts = ", ".join(f"{count} {state}" for state, count in sorted(seen.activations.items()))
    leases = ", ".join(f"{count} {state}" for state, count in sorted(seen.leases.items()))
    yield f"activations: {counts or 'none'}; credentials: {leases or 'none'}"
    for view in activations:
        yield f"  {headline(view)}"
        yield f"      {view.next}"


def _log(seen: StatusView) -> Iterator[str]:
    size = plural(seen.log.size, "entry", "entries")
    if seen.log.works:
        yield f"log: {size}"
        return
    yield f"! log: not working at {size}: nothing is issued, revoking goes on"
    if seen.log.waiting:
        yield f"! log: {plural(seen.log.waiting, 'event')} of revocations without a number"
