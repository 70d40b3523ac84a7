"""What was answered in a session goes into its stream, inside somebody's transaction.

In the order in which it was answered, each once. Whoever holds ``LiveSession.writing`` does it: the
next decision takes along what waits, and the recorder writes what nobody takes along. Meanwhile
the event loop may answer from the stock and add to what waits, so a transaction is given what was
there when it began (``Part``).
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from callpoint.audit.entry import parse_entry
from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Used
from callpoint.domain.errors import TamperError, UnavailableError
from callpoint.domain.ids import session_stream
from callpoint.domain.session import HEARD_EVERY, Session
from callpoint.domain.spending import NO_STOCK, Spending, Stock, restricts
from callpoint.lifecycle.allowance import measures, spending
from callpoint.lifecycle.live_sessions import signal
from callpoint.lifecycle.session_basis import Basis
from callpoint.lifecycle.session_end import end_session
from callpoint.lifecycle.session_memory import LiveSession, Pending
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.stores import Transaction, View


class UnsureError(UnavailableError):
    """Whether something is on record cannot be told before the stream has all its numbers."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is written of one session, as it was when that began; its ``writing`` is held.

    Attributes:
        basis: What was answered rested on.
        stock: What was spent in advance. Where it rests it was set aside, and is given back; else
            some of it may have been handed out by now.
        cut_for: Why this process ended it; empty while it did not.
        is_idle: Nothing is done in it for now.
    """

    live: LiveSession
    waiting: tuple[Pending, ...]
    basis: Basis | None
    stock: Stock
    cut_for: str
    is_idle: bool

    @property
    def rests(self) -> bool:
        """Nothing more is to be spent in advance."""
        return self.is_idle or bool(self.cut_for)


class Written(msgspec.Struct, frozen=True):
    """What became of one session.

    Attributes:
        session: Its row, where it was read or changed.
        more: What was spent in advance beside what it had.
        spent: The activation's spending; None where nothing is restricted.
    """

    session: Session | None
    more: Stock
    spent: Spending | None


def append(
    tx: Transaction, live: LiveSession, waiting: Sequence[Pending], keeper: str
) -> tuple[Pending, ...]:
    """Add what is not in the stream yet; returns what is to be settled.

    That is what was added, and outcomes that another process had put there: it counted what was
    used, so of what the action holds here all comes back.

    Args:
        tx: Somebody's.
        live: The session.
        waiting: The first of what is pending in it.
        keeper: Who numbers its actions, as the row says now. When it is another process, outcomes
            can have been told to that one too.

    Raises:
        UnsureError: What is in it cannot be told.
        ConflictError: It is closed.
    """
    stream = session_stream(live.id)
    was_tried = live.is_unsure or not live.in_doubt.isdisjoint(
        one.event.number for one in waiting if one.used is not None
    )
    is_unsure = bool(waiting) and (was_tried or keeper != live.keeper)
    known = {named(event) for event in latest_actions(tx, stream)} if is_unsure else ()
    due: list[Pending] = []
    for one in waiting:
        if named(one.event) not in known:
            tx.append(stream, one.event)
            due.append(one)
        elif one.used is not None and not was_tried:  # else it may have come back already
            due.append(replace(one, used=Used()))
    return tuple(due)


def settle(
    tx: Transaction, found: Activation, due: Sequence[Pending], stock: Stock
) -> Spending | None:
    """What is spent once that stock, and what reported actions did not use, is given back.

    The caller stores it. None: nothing is restricted. ``due`` is what ``append`` returned: what
    this process had put into the stream before was settled when it came there.
    """
    allowance = found.request.spends
    if not restricts(allowance):
        return None
    spent = spending(tx, found.id).unstocked(stock)
    if measures(allowance):
        for one in due:
            if one.used is not None:
                spent = spent.settled(one.held, one.used)
    return spent


def give_back(tx: Transaction, found: Activation, due: Sequence[Pending], stock: Stock) -> None:
    """``settle``, stored."""
    spent = settle(tx, found, due, stock)
    if spent is not None:
        tx.put(spent)


def write(tx: Transaction, part: Part, *, holds: bool) -> Written:
    """All that waits, in a transaction that decides nothing.

    Where what it rests on holds and it acts, its next actions are spent in advance.

    Raises:
        UnsureError, ConflictError: See ``append``.
    """
    live, session = part.live, None
    due = append(tx, live, part.waiting, _keeper(tx, part, holds=holds))
    goes_on = holds and not part.rests
    if part.cut_for:
        session = _cut(tx, part)
    elif goes_on and part.basis is not None:
        session = heard(tx, part.basis.session, tx.now())
    found = live.found or _activation(tx, live)
    if live.is_spoilt or found is None:
        return Written(session, NO_STOCK, None)
    spent = settle(tx, found, due, part.stock if part.rests else NO_STOCK)
    if spent is None:
        return Written(session, NO_STOCK, None)
    more = NO_STOCK
    if goes_on:
        more = part.stock.lacking(spent.unstocked(part.stock).stock(found.request.spends))
    return Written(session, more, tx.put(spent.stocked(more)))


def _keeper(tx: Transaction, part: Part, *, holds: bool) -> str:
    if not part.waiting or (holds and part.basis is not None):
        return part.live.keeper  # what is remembered is what is stored, and it was ours
    with suppress(TamperError):  # a row that was spoilt loses no record
        row = tx.find(Session, part.live.id)
        if row is not None:
            return row.keeper
    return ""


def heard(tx: Transaction, session: Session, now: datetime) -> Session:
    """Note now and then that something is done in it."""
    if now - session.acted_at <= HEARD_EVERY:
        return session
    return tx.put(msgspec.structs.replace(session, heard_at=now, acted_at=now))


def _cut(tx: Transaction, part: Part) -> Session | None:
    session = tx.find(Session, part.live.id)
    if session is None:
        return None
    signal(tx, Cut(Reach.SESSION, part.live.id, part.cut_for))
    return end_session(tx, session, part.cut_for)


def _activation(view: View, live: LiveSession) -> Activation | None:
    row = view.find(Session, live.id)
    return view.find(Activation, row.activation) if row is not None else None


def latest_actions(view: View, stream: str) -> Iterator[ev.ActionDecided | ev.ActionFinished]:
    """What is on record of a session's actions, the newest first.

    Raises:
        UnsureError: Some of it waits for its numbers.
    """
    if view.unnumbered(stream):
        raise UnsureError(f"some of {stream} waits for its numbers", way_out="try again")
    for item in reversed(view.entries(stream)):
        entry = parse_entry(item.leaf)
        event = ev.parse(entry.type, entry.data)
        if isinstance(event, ev.ActionDecided | ev.ActionFinished):
            yield event


def named(event: ev.ActionDecided | ev.ActionFinished) -> tuple[str, int]:
    """What there is once of in a session's stream."""
    return ev.name(event), event.number
