"""What goes on record before anything that a journal tells: what was answered here, and waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Portion
from callpoint.domain.ids import session_stream
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import Stock
from callpoint.lifecycle.session_memory import LiveSession, Pending
from callpoint.lifecycle.session_write import actions, append, give_back, named
from callpoint.ports.stores import Transaction


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
    """

    along: Mapping[str, Kept] = field(default_factory=dict)
    held: Mapping[tuple[str, int], Portion] = field(default_factory=dict)


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
        fresh: Sequence[Pending] = ()
        if row.state is not SessionState.CLOSED:
            fresh = append(tx, live, kept.waiting)
        if not live.is_spoilt:
            give_back(tx, live.found or tx.get(Activation, row.activation), fresh, kept.stock)


def acted_in(
    tx: Transaction, gateway: str, session: str, known: Remembered
) -> set[tuple[str, int]]:
    """What the session's own stream has of its actions, or gets before anything that is told.

    Raises:
        UnsureError: It cannot be told yet.
    """
    row = tx.find(Session, session)
    if row is None or row.gateway != gateway:
        return set()
    kept = known.along.get(session)
    waiting = kept.waiting if kept is not None else ()
    return {
        named(event)
        for event in (*actions(tx, session_stream(session)), *(one.event for one in waiting))
        if isinstance(event, ev.ActionFinished) or event.allowed
    }
