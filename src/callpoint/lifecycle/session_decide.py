"""Whether one action may be done now: policy, and one atomic check that puts the answer on record.

Policy is asked first, outside, about rows that were read before; the transaction then sees that
they are what is stored at that very moment (``session_basis``), spends the allowance, and appends
the event. So a decision costs one transaction, and many sessions' transactions share a commit.
"""

from datetime import datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.allowance import Portion
from callpoint.domain.errors import ConflictError, RequestError, UnavailableError
from callpoint.domain.gateway import Evidence
from callpoint.domain.ids import session_stream
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import ENDLESS, NO_STOCK, Spending, Stock
from callpoint.lifecycle.allowance import announce_pause, pause, spend
from callpoint.lifecycle.attempt import Attempt
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_answer import current, event_of, whole_second
from callpoint.lifecycle.session_basis import Basis, MovedError
from callpoint.lifecycle.session_beside import answer_beside, may_be_beside
from callpoint.lifecycle.session_memory import (
    Confirmed,
    LiveSession,
)
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.lifecycle.session_write import append, heard, settle
from callpoint.lifecycle.use import must_be_open
from callpoint.ports.authority import Deed, Verdict
from callpoint.ports.stores import Transaction

TRIES = 5
"""So often is decided anew what moved while it was decided."""


class _Made(msgspec.Struct, frozen=True):
    """What a transaction did.

    Attributes:
        spent: What the activation has spent then; None: nothing is restricted.
    """

    verdict: Verdict
    session: Session
    now: datetime
    stock: Stock
    spent: Spending | None
    beyond: str = ""


async def decide(
    services: Services, live: LiveSession, deed: Deed, recorder: Recorder | None = None
) -> Verdict:
    """Whether the deed may be done now; either way it is on record.

    With a recorder that runs a yes may be given before (``session_beside``).

    Raises:
        ConflictError: The session is over.
        RequestError: The deed says nothing.
        KeptElsewhereError: Nothing was decided.
        TamperError: A row is not what the log says.
        UnavailableError, LogUnavailableError, ClockError: Nobody can say now.
    """
    if not deed.operations and not deed.refused:
        raise RequestError("a deed has at least one operation")
    async with live.lock:
        if recorder is not None and may_be_beside(live, deed) and await recorder.has_room():
            verdict = answer_beside(services, live, deed, recorder)
            if verdict is not None:
                return verdict
        must_not_be_cut(live)
        made = await _settled(services, live, deed, recorder)
        found = live.found
    if made.beyond and found is not None:
        await announce_pause(services, found, made.beyond)
    return made.verdict


def must_not_be_cut(live: LiveSession) -> None:
    """Raises ConflictError when this process has ended it by itself."""
    if live.cut_for:
        raise ConflictError(f"session {live.id} is over: {live.cut_for}")


async def _settled(
    services: Services, live: LiveSession, deed: Deed, recorder: Recorder | None
) -> _Made:
    """Decided in a transaction."""
    for _ in range(TRIES):
        try:
            basis = await current(services, live)
            async with live.writing:
                return await _numbered(services, live, basis, deed, recorder)
        except MovedError as moved:
            live.forget()
            live.lag = moved.now - services.clock.now()
            if recorder is not None:
                await recorder.look_again(live)
                must_not_be_cut(live)
    raise UnavailableError(
        f"what session {live.id} rests on moves faster than it can be decided", way_out="try again"
    )


async def _numbered(
    services: Services, live: LiveSession, basis: Basis, deed: Deed, recorder: Recorder | None
) -> _Made:
    """One attempt, with the next number; it is given to nothing else unless it may be on record.

    Only while nobody else writes: who closes the stream says there what the last number was, and
    one that is not on record looks like a record that was lost. So a number comes back when it is
    certain that nothing was written with it, also when who asked has gone before it was begun.
    """
    attempt = Attempt()
    number = live.number = live.number + 1
    try:
        return await _once(services, live, basis, deed, recorder, attempt)
    except BaseException as error:
        is_free = isinstance(error, ConflictError) or attempt.take_back()
        if is_free and live.early < number == live.number:  # not taken over meanwhile
            live.number -= 1
        raise


async def _once(
    services: Services,
    live: LiveSession,
    basis: Basis,
    deed: Deed,
    recorder: Recorder | None,
    attempt: Attempt,
) -> _Made:
    """One attempt; MovedError if what it rests on is not what is stored."""
    began, orders = services.clock.monotonic(), services.live.orders
    at = whole_second(services.clock.now() + live.lag)
    event = event_of(services, live, basis, deed, at)
    waiting, stock = tuple(live.pending), live.set_aside()
    goes_on = recorder is not None and recorder.is_ready and basis.evidence is Evidence.WITH

    def work(tx: Transaction) -> _Made:
        attempt.begin()
        basis.must_hold(tx, services, at)
        settled = settle(tx, basis.found, append(tx, live, waiting, live.keeper), stock)
        return _record(tx, basis, event, deed, settled, stocks=goes_on)

    try:
        made = await services.store.transact(work, compares=basis.rows())
    except BaseException as error:
        if isinstance(error, ConflictError) or attempt.take_back():
            live.stock = stock  # nothing was written
        else:
            live.is_unsure = live.is_unsure or bool(waiting)
        raise
    if recorder is not None:
        recorder.wrote(live, waiting)
        if goes_on:
            recorder.keep(live)
    _learn(live, made, event)
    live.lag = made.now - services.clock.now()
    live.confirmed = Confirmed(began, made.now, orders)
    if live.basis is basis:
        live.basis = msgspec.structs.replace(basis, session=made.session)
    return made


def _learn(live: LiveSession, made: _Made, event: ev.ActionDecided) -> None:
    """Remember what a transaction did."""
    if event.asked is not None:
        live.told = event.basis
    if made.verdict.allowed:
        live.held[made.verdict.number] = made.verdict.portion
    live.stock, live.spent = made.stock, made.spent


def _record(
    tx: Transaction,
    basis: Basis,
    event: ev.ActionDecided,
    deed: Deed,
    spent: Spending | None,
    *,
    stocks: bool,
) -> _Made:
    """Spend, and append; ``spent`` is so far, and ``stocks`` allows to spend in advance."""
    session, now = basis.session, tx.now()
    portion, beyond, stock = Portion(), "", ENDLESS
    if event.allowed:
        must_be_open(basis.incident, now)
    if spent is not None:
        if event.allowed:
            made = spend(spent, basis.allowance, event.operations, deed.portion, now)
            spent, portion, beyond = made.spending, made.portion, made.beyond
        stock = spent.stock(basis.allowance) if stocks and not beyond else NO_STOCK
        spent = tx.put(spent.stocked(stock))
    if beyond:
        event = msgspec.structs.replace(event, allowed=False, reason=f"{beyond} are spent")
        session = pause(tx, session, beyond)
    else:
        session = heard(tx, session, now)
    tx.append(session_stream(session.id), event)
    is_paused = session.state is SessionState.PAUSED
    verdict = Verdict(
        allowed=event.allowed,
        number=event.number,
        reasons=() if event.allowed else _reasons(event),
        way_out=_way_out(basis, is_paused=is_paused),
        portion=portion,
        is_paused=is_paused,
    )
    return _Made(verdict, session, now, stock, spent, beyond)


def _reasons(event: ev.ActionDecided) -> tuple[str, ...]:
    if event.reason:
        return (event.reason,)
    refusals = [decision for decision in event.decisions if not decision.allowed]
    told = [text for one in refusals for text in (one.reasons or one.errors)]
    return tuple(dict.fromkeys(told))


def _way_out(basis: Basis, *, is_paused: bool) -> str:
    if not is_paused:
        return ""
    return (
        "a person who does not stand behind the request lets it go on:"
        f" `callpoint session resume {basis.found.id}`"
    )
