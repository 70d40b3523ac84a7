"""The moment an activation ends: one urgent transaction, whatever the reason (I11, I2).

It never asks the PDP, never waits for the log, cuts every session through a gateway, and leaves
every lease due for revocation now.
"""

from callpoint.domain import event as ev
from callpoint.domain.activation import PENDING, Activation, ActivationState, EndReason
from callpoint.domain.errors import TamperError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.live_sessions import signal
from callpoint.lifecycle.session_end import end_sessions
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.stores import Transaction, View, Where


def end(tx: Transaction, activation: Activation, reason: EndReason, actor: str = "") -> Activation:
    """End it now; a pending one is withdrawn. Ending what is over already changes nothing."""
    if activation.state in PENDING:
        return _withdraw(tx, activation, reason, actor)
    if activation.state is not ActivationState.ACTIVE:
        return activation
    now = tx.now()
    event = ev.ActivationEnded(
        actor=actor,
        reason=reason,
        triage_by=now + activation.request.triage,
        close_by=now + activation.request.close,
    )
    tx.append(activation_stream(activation.id), event)
    signal(tx, Cut(Reach.ACTIVATION, activation.id, reason))
    end_sessions(tx, activation.id, reason)
    for lease in leases(tx, activation.id):
        if lease.state in (LeaseState.PLANNED, LeaseState.LIVE):
            _begin_revocation(tx, lease, reason)
    return tx.put(activation.apply(event, now))


def end_lease(tx: Transaction, lease: Lease, reason: str) -> Lease:
    """Revocation of one lease begins; the sealed box can no longer be fetched."""
    signal(tx, Cut(Reach.ACTIVATION, lease.activation, reason))
    end_sessions(tx, lease.activation, reason, lease.id)
    return _begin_revocation(tx, lease, reason)


def _begin_revocation(tx: Transaction, lease: Lease, reason: str) -> Lease:
    event = ev.LeaseEnding(lease=lease.id, target=lease.plan.target, reason=reason)
    tx.append(activation_stream(lease.activation), event)
    ending = lease.moved(LeaseState.ENDING).due(tx.now())
    return tx.put(ending.without_box())


def leases(view: View, activation: str) -> tuple[Lease, ...]:
    """Every lease of an activation; a spoilt one is for reconciliation, as an unknown account."""
    return view.select(Lease, Where(parent=activation, skip_spoilt=True))


def row_of(view: View, lease: Lease) -> Activation | None:
    """The row of a lease's activation; None when it does not parse: it keeps no credential alive.

    Whoever reads it to give something finds the damage; the log has what the row cannot take.
    """
    try:
        return view.get(Activation, lease.activation)
    except TamperError:
        return None


def _withdraw(tx: Transaction, activation: Activation, reason: EndReason, actor: str) -> Activation:
    event = ev.ActivationWithdrawn(actor=actor, reason=reason)
    tx.append(activation_stream(activation.id), event)
    return tx.put(activation.apply(event, tx.now()))
