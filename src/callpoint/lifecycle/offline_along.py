"""What goes on record before anything that a journal tells: what was answered here, and waits."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Portion
from callpoint.domain.ids import session_stream
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import Stock
from callpoint.lifecycle.session_memory import LiveSession, Pending
from callpoint.lifecycle.session_write import append, give_back, latest_actions, named
from callpoint.ports.stores import Transaction, View

Acted = Mapping[str, set[tuple[str, int]]]
"""Actions that are on record, by session: that they were allowed, and that they ended."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A session that this process keeps, as it was when this began; its ``writing`` is held.

    Attributes:
        waiting: What waits for its record.
        stock: What was spent in advance, and set aside to be given back.
        number: Of its newest action.
    """

    live: LiveSession
    waiting: tuple[Pending, ...]
    stock: Stock
    number: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """What this process knows of the sessions of a journal.

    Attributes:
        along: Those that it keeps, by name.
        held: What actions hold that the authority itself allowed, by session and number.
        acted: What is on record of actions whose outcome is told late.
    """

    along: Mapping[str, Kept] = field(default_factory=dict)
    held: Mapping[tuple[str, int], Portion] = field(default_factory=dict)
    acted: Acted = field(default_factory=dict)


def take_along(tx: Transaction, known: Remembered) -> None:
    """What was answered comes first.

    What was spent in advance is given back, so that it is not taken for something that was done.

    Raises:
        UnsureError: See ``session_write.append``.
    """
    for kept in known.along.values():
        live = kept.live
        row = tx.find(Session, live.id)
        if row is None:
            continue
        due: Sequence[Pending] = ()
        if row.state is not SessionState.CLOSED:
            due = append(tx, live, kept.waiting, row.keeper)
        if not live.is_spoilt:
            give_back(tx, live.found or tx.get(Activation, row.activation), due, kept.stock)


def acted_in(
    view: View, gateway: str, late: Mapping[str, Collection[int]], along: Mapping[str, Kept]
) -> Acted:
    """What the sessions' own streams have of those actions, or get before anything that is told.

    Raises:
        UnsureError: It cannot be told yet.
    """
    return {
        session: set(_acted(view, gateway, session, numbers, along.get(session)))
        for session, numbers in late.items()
    }


def _acted(
    view: View, gateway: str, session: str, numbers: Collection[int], kept: Kept | None
) -> Iterator[tuple[str, int]]:
    row = view.find(Session, session)
    if row is None or row.gateway != gateway:
        return
    waiting = [one.event for one in kept.waiting] if kept is not None else []
    for event in (*reversed(waiting), *latest_actions(view, session_stream(session))):
        match event:
            case ev.ActionDecided():
                if event.allowed:
                    yield named(event)
                if event.number < min(numbers):
                    return  # numbers grow, and an outcome comes after its decision
            case ev.ActionFinished():
                yield named(event)
