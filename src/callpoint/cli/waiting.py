"""Waiting for approvers: what is missing, who can still give it, and how long there is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from callpoint.api.messages import ActivationView
from callpoint.cli.invocation import Invocation
from callpoint.cli.words import listed, shown, span
from callpoint.domain.activation import ActivationState
from callpoint.domain.counted import plural
from callpoint.domain.errors import UnavailableError

POLL = timedelta(seconds=2)
REMIND = timedelta(seconds=60)
"""How often a log without a terminal hears that it still waits."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a display shows at one moment."""

    view: ActivationView
    left: timedelta
    trouble: str = ""


class Display(Protocol):
    """Shows where a request stands, again and again."""

    def update(self, standing: Standing) -> None:
        """Called after each look."""
        ...


def wait(run: Invocation, view: ActivationView) -> ActivationView:
    """Look until nobody can approve it any more. A server that is away is waited for.

    Raises:
        UnavailableError: It is away and the time to approve is over.
    """
    deadline = run.machine.monotonic() + _left(view).total_seconds()
    trouble = ""
    with _display(run) as display:
        while view.state is ActivationState.REQUESTED and not view.voided:
            left = timedelta(seconds=max(0.0, deadline - run.machine.monotonic()))
            display.update(Standing(view, left, trouble))
            run.machine.pause(POLL)
            try:
                view, trouble = run.client.activation(view.id), ""
            except UnavailableError as error:
                # The clock of the request does not stop, and neither do the approvers' phones.
                if run.machine.monotonic() > deadline:
                    raise
                trouble = error.message
        display.update(Standing(view, timedelta(0)))
    return view


def _left(view: ActivationView) -> timedelta:
    return (view.lapses_at or view.request.lapses_at) - view.now


def lines(standing: Standing) -> Iterator[str]:
    """What is missing, for a person who waits."""
    view, tally = standing.view, standing.view.tally
    if view.state is not ActivationState.REQUESTED:
        yield f"{view.id}: {view.state}"
        return
    counted = listed(tally.counted, "nobody yet")
    yield f"{view.id}: {len(tally.counted)} of {tally.needed} approved ({counted})"
    missing = tally.missing + tally.missing_security
    security = f", {tally.missing_security} from security" if tally.missing_security else ""
    who = listed(tally.can_still_approve)
    yield f"missing {plural(missing, 'approval')}{security}; can approve: {who}"
    if len(tally.can_still_approve) < missing:
        yield "! too few persons are left who may approve: it will lapse"
    yield f"lapses in {span(standing.left)}; they run: callpoint approve {view.id}"
    if standing.trouble:
        yield f"! {standing.trouble}; still trying"


class _Plain:
    """Lines when something changed, and a reminder each minute: for logs and pipes."""

    def __init__(self, run: Invocation) -> None:
        self._run = run
        self._last: tuple[object, ...] = ()
        self._told_at = 0.0

    def update(self, standing: Standing) -> None:
        tally = standing.view.tally
        now = self._run.machine.monotonic()
        key = (standing.view.state, tally.counted, tally.can_still_approve, standing.trouble)
        if key != self._last or now - self._told_at >= REMIND.total_seconds():
            self._run.progress(*lines(standing))
            self._last, self._told_at = key, now


@contextmanager
def _display(run: Invocation) -> Iterator[Display]:
    """A panel in place on a terminal, else lines."""
    if not run.machine.interactive or run.output == "json":
        yield _Plain(run)
        return
    with _panel() as display:
        yield display


@contextmanager
def _panel() -> Iterator[Display]:
    from rich.live import Live
    from rich.panel import Panel
    from rich.text import Text

    class OnTerminal:
        def update(self, standing: Standing) -> None:
            # Text, never markup: a name could hold what rich would read as a style.
            body = Text("\n".join(shown(line) for line in lines(standing)))
            title = Text(f"waiting for {shown(standing.view.request.eligibility)}")
            live.update(Panel(body, title=title), refresh=True)

    with Live(auto_refresh=False, transient=True) as live:
        yield OnTerminal()
