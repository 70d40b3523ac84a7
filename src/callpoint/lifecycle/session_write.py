"""What was answered in a session goes into its stream, inside somebody's transaction.

In the order in which it was answered, each once. Whoever holds ``LiveSession.writing`` does it: the
next decision takes along what waits, and the recorder writes what nobody takes along.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from callpoint.audit.entry import parse_entry
from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.errors import UnavailableError
from callpoint.domain.ids import session_stream
from callpoint.domain.session import HEARD_EVERY, Session
from callpoint.domain.spending import NO_STOCK, Spending, Stock, restricts
from callpoint.lifecycle.allowance import measures, spending
from callpoint.lifecycle.live_sessions import signal
from callpoint.lifecycle.session_end import end_session
from callpoint.lifecycle.session_memory import LiveSession, Pending
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.stores import Transaction, View


class UnsureError(UnavailableError):
    """Whether something is on record cannot be told before the stream has all its numbers."""


class Written(msgspec.Struct, frozen=True):
    """What became of one session.

    Attributes:
        session: Its row, where it was read or changed.
        stock: What it has spent in advance now.
        spent: The activation's spending; None where nothing is restricted.
    """

    session: Session | None
    stock: Stock
    spent: Spending | None


def append(tx: Transaction, live: LiveSession, waiting: Sequence[Pending]) -> None:
    """Add what is not in the stream yet.

    Raises:
        UnsureError: What is in it cannot be told.
        ConflictError: It is closed.
    """
    stream = session_stream(live.id)
    known = set(_recorded(tx, stream)) if live.is_unsure and waiting else set()
    for one in waiting:
        if _named(one.event) not in known:
            tx.append(stream, one.event)


def settle(
    tx: Transaction, live: LiveSession, found: Activation, waiting: Sequence[Pending]
) -> Spending | None:
    """What is spent once the stock, and what reported actions did not use, is given back.

    The caller stores it. None: nothing is restricted.
    """
    allowance = found.request.spends
    if not restricts(allowance):
        return None
    spent = spending(tx, found.id).unstocked(live.stock)
    if measures(allowance):
        for one in waiting:
            if one.used is not None:
                spent = spent.settled(one.held, one.used)
    return spent


def write(
    tx: Transaction, live: LiveSession, waiting: Sequence[Pending], *, goes_on: bool
) -> Written:
    """All that waits, in a transaction that decides nothing.

    Where it goes on, what it rests on holds and it acts: its next actions are spent in advance.

    Raises:
        UnsureError, ConflictError: See ``append``.
    """
    append(tx, live, waiting)
    basis, session = live.basis, None
    if live.cut_for:
        session = _cut(tx, live)
    elif goes_on and basis is not None:
        session = heard(tx, basis.session, tx.now())
    found = live.found or _activation(tx, live)
    spent = None if live.is_spoilt or found is None else settle(tx, live, found, waiting)
    if spent is None or found is None:
        return Written(session, NO_STOCK if live.is_spoilt else live.stock, None)
    stock = spent.stock(found.request.spends) if goes_on else NO_STOCK
    return Written(session, stock, tx.put(spent.stocked(stock)))


def heard(tx: Transaction, session: Session, now: datetime) -> Session:
    """Note now and then that something is done in it."""
    if now - session.acted_at <= HEARD_EVERY:
        return session
    return tx.put(msgspec.structs.replace(session, heard_at=now, acted_at=now))


def _cut(tx: Transaction, live: LiveSession) -> Session | None:
    session = tx.find(Session, live.id)
    if session is None:
        return None
    signal(tx, Cut(Reach.SESSION, live.id, live.cut_for))
    return end_session(tx, session, live.cut_for)


def _activation(view: View, live: LiveSession) -> Activation | None:
    row = view.find(Session, live.id)
    return view.find(Activation, row.activation) if row is not None else None


def _recorded(view: View, stream: str) -> Iterator[tuple[str, int]]:
    if view.unnumbered(stream):
        raise UnsureError(f"some of {stream} waits for its numbers", way_out="try again")
    for item in view.entries(stream):
        entry = parse_entry(item.leaf)
        event = ev.parse(entry.type, entry.data)
        if isinstance(event, ev.ActionDecided | ev.ActionFinished):
            yield _named(event)


def _named(event: ev.ActionDecided | ev.ActionFinished) -> tuple[str, int]:
    return ev.name(event), event.number
