"""Spending an allowance inside the transaction that lets something through; pausing at its end.

A breach stops every session of the activation, and only a person lets them go on (``resume``).
"""

from datetime import datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Allowance, Portion, Used
from callpoint.domain.ids import activation_stream
from callpoint.domain.operation import Operation
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import Spending, restricts
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.live_sessions import moved
from callpoint.lifecycle.services import Services
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Transaction, View, Where

_ALL = 1_000_000


class Spent(msgspec.Struct, frozen=True):
    """What became of an attempt to spend.

    Attributes:
        spending: Afterwards; the caller stores it.
        beyond: Which allowance it would go beyond, in words; empty: it is spent.
    """

    spending: Spending
    portion: Portion = Portion()
    beyond: str = ""


def spending(view: View, activation: str) -> Spending:
    """What the activation has spent so far."""
    return view.find(Spending, activation) or Spending(activation)


def spend(
    before: Spending,
    allowance: Allowance,
    operations: tuple[Operation, ...],
    wanted: Portion,
    now: datetime,
) -> Spent:
    """One more action, and a portion of what it may let through; nothing where it is too much."""
    beyond = before.exceeded(allowance, operations, now)
    if beyond:
        return Spent(before, beyond=beyond)
    portion = before.portion(allowance, wanted)
    return Spent(before.acted(allowance, operations, now).reserved(portion), portion)


def draw(tx: Transaction, found: Activation, held: Portion, used: Used) -> tuple[Portion, Portion]:
    """More for an action that holds ``held`` and let through ``used``.

    Returns:
        What it holds then, and what of that is still to be let through: zero when all is spent.
    """
    allowance = found.request.spends
    if not measures(allowance):
        return held, Portion()
    before = spending(tx, found.id)
    # What was let through beyond the portion is spent too; only then is seen what is left.
    even = before.settled(held, used)
    more = even.portion(allowance, Portion())
    tx.put(even.reserved(more))
    return (
        Portion(_plus(used.rows, more.rows), _plus(used.bytes, more.bytes)),
        more,
    )


def settle(tx: Transaction, found: Activation, held: Portion, used: Used) -> None:
    """Give back what was reserved and not used."""
    if measures(found.request.spends):
        tx.put(spending(tx, found.id).settled(held, used))


def charge(
    tx: Transaction, found: Activation, operations: tuple[Operation, ...], held: Portion
) -> None:
    """Spend for what was done already, by a gateway alone: nothing is asked."""
    if restricts(found.request.spends):
        before = spending(tx, found.id)
        tx.put(before.acted(found.request.spends, operations, tx.now()).reserved(held))


def overspent(view: View, found: Activation) -> str:
    """Which allowance an activation is beyond, in words; empty for none."""
    limits, spent = found.request.spends, spending(view, found.id)
    for name in ("actions", "rows", "bytes", "destructive"):
        limit, most = getattr(limits, name), 1 + spent.grants
        if limit is not None and getattr(spent, name) > limit * most:
            return f"{limit * most} {name}"
    return ""


def pause(tx: Transaction, session: Session, beyond: str) -> Session:
    """Stop every session of the activation; returns the given one, stopped."""
    live = Where(
        states=(SessionState.OPEN,), parent=session.activation, limit=_ALL, skip_spoilt=True
    )
    stopped = {one.id: tx.put(one.moved(SessionState.PAUSED)) for one in tx.select(Session, live)}
    event = ev.SessionPaused(
        session=session.id, sessions=tuple(sorted(stopped)), because=f"{beyond} are spent"
    )
    tx.append(activation_stream(session.activation), event)
    moved(tx)
    return stopped.get(session.id, session)


async def announce_pause(services: Services, found: Activation, beyond: str) -> None:
    """Tell who asked, and who watches: somebody has to look before it goes on."""
    await services.notifier.notify(
        Notice(
            kind="session:paused",
            about=found.id,
            to=tuple(sorted({*found.request.persons, *watchers(services)})),
            text=f"{found.request.principal} has used up what {found.id} allows ({beyond});"
            " a person other than the requester may let it go on:"
            f" `callpoint session resume {found.id}`",
            urgent=True,
        )
    )


def is_spent(portion: Portion) -> bool:
    """Whether nothing more may pass."""
    return portion.rows == 0 or portion.bytes == 0


def measures(allowance: Allowance) -> bool:
    """Whether what an action lets through has to be counted."""
    return allowance.rows is not None or allowance.bytes is not None


def _plus(used: int, more: int | None) -> int | None:
    return None if more is None else used + more
