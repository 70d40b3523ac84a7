"""The moment a session is over: with its activation, by its gateway, by time, or by silence.

It never asks policy and never waits for the log (I11). The stream of its actions stays open a
little longer, for what its gateway has yet to tell of what was under way.
"""

from datetime import datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.ids import activation_stream, session_stream
from callpoint.domain.session import HEARD_EVERY, LIVE, Session, SessionState
from callpoint.lifecycle.live_sessions import signal
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.stores import Transaction, View, Where

_ALL = 1_000_000
GATEWAY_SILENT = "gateway_silent"
EXPIRED = "expired"


def end_sessions(tx: Transaction, activation: str, reason: str, lease: str = "") -> None:
    """End the sessions of an activation, or of one of its leases; the caller has them cut."""
    live = Where(states=LIVE, parent=activation, limit=_ALL, skip_spoilt=True)
    for session in tx.select(Session, live):
        if lease in ("", session.lease):
            end_session(tx, session, reason)


def end_session(tx: Transaction, session: Session, reason: str, actor: str = "") -> Session:
    """End it now; ending what is over already changes nothing."""
    if session.state not in LIVE:
        return session
    ended = ev.SessionEnded(actor=actor, session=session.id, reason=reason)
    tx.append(activation_stream(session.activation), ended)
    over = msgspec.structs.replace(session.moved(SessionState.OVER), heard_at=tx.now())
    return tx.put(over)


def close_session(tx: Transaction, session: Session, actions: int | None = None) -> Session:
    """Nothing more comes of it; its stream states its length, and which action was the last."""
    if session.state is SessionState.CLOSED:
        return session
    closed = ev.SessionClosed(session=session.id, actions=actions)
    tx.append(session_stream(session.id), closed)
    return tx.put(session.moved(SessionState.CLOSED))


def due_sessions(view: View, limit: int) -> tuple[Session, ...]:
    """Those for which time must do something."""
    states = (*LIVE, SessionState.OVER)
    return view.select(
        Session, Where(states=states, due_before=view.now(), limit=limit, skip_spoilt=True)
    )


def acts_still(view: View, found: Activation, now: datetime) -> bool:
    """Whether something was done in a session of it within the time that would make it idle."""
    idle = found.request.idle
    live = Where(states=LIVE, parent=found.id, limit=_ALL, skip_spoilt=True)
    return idle is not None and any(
        now < session.acted_at + idle + HEARD_EVERY for session in view.select(Session, live)
    )


def pass_session(key: str, tx: Transaction) -> None:
    """Apply what time says about one session, looked at again."""
    found = tx.find(Session, key)
    due = found.due_at() if found is not None else None
    if found is None or due is None or tx.now() < due:
        return
    if found.state is SessionState.OVER:
        close_session(tx, found)
        return
    reason = EXPIRED if tx.now() >= found.not_after else GATEWAY_SILENT
    signal(tx, Cut(Reach.SESSION, found.id, reason))
    end_session(tx, found, reason)
