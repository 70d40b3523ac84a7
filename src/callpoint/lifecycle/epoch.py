"""Where an epoch begins, and what was compared in it (I8)."""

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import UNFINISHED, Activation, EndReason
from callpoint.domain.epoch import CURRENT, Began, Epoch
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.ending import end, end_lease, row_of
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import Store, Transaction, View, Where

_ALL = 1_000_000
_ALIVE = (LeaseState.PLANNED, LeaseState.LIVE)


async def begin(store: Store, why: Began, *, actor: str, reason: str, place: str = "") -> Epoch:
    """Begin the next epoch. Urgent: it is done while the log is halted, and before it goes on.

    After a loss everything that was open ends: an approval may have been taken up in the lost
    range, and what is live here may have been killed there. Its leases are revoked and closed.

    Args:
        store: The only process at work on it.
        why: Why it begins.
        actor: Who says so, as the operator says.
        reason: In the operator's words; stands in the log.
        place: Where the database is now, for a move.
    """

    def work(tx: Transaction) -> Epoch:
        before = tx.find(Epoch, CURRENT)
        ended = _end_everything(tx) if why is Began.RECOVERED else 0
        is_lost = why is Began.RECOVERED
        lost_before = before.lost_at if before is not None else None
        made = Epoch(
            number=before.number + 1 if before else 2,
            why=why,
            began_at=tx.now(),
            lost_at=tx.now() if is_lost else lost_before,
            version=before.version if before else 0,
        )
        event = ev.EpochBegan(
            actor=actor, number=made.number, why=why, reason=reason, ended=ended, place=place
        )
        tx.append(INSTALLATION_STREAM, event)
        return tx.put(made)

    return await store.transact(work, urgent=True)


def _end_everything(tx: Transaction) -> int:
    """Activations first; then what is left alive of those whose row is spoilt."""
    found = tx.select(Activation, Where(states=UNFINISHED, limit=_ALL, skip_spoilt=True))
    for activation in found:
        end(tx, activation, EndReason.RECOVERED)
    for lease in tx.select(Lease, Where(states=_ALIVE, limit=_ALL, skip_spoilt=True)):
        if row_of(tx, lease) is None:
            end_lease(tx, lease, EndReason.RECOVERED)
    return len(found)


def epoch_of(view: View) -> Epoch | None:
    """The epoch that goes on; None while it is the first."""
    return view.find(Epoch, CURRENT)


def must_know(view: View, targets: set[str]) -> None:
    """Raises UnavailableError: one of them was not compared in this epoch."""
    epoch = epoch_of(view)
    if epoch is not None:
        for target in sorted(targets):
            epoch.must_know(target)


async def note_compared(services: Services, target: str) -> None:
    """A target was compared with the leases; written once in each epoch."""
    services.compared.add(target)
    epoch = await services.store.read(epoch_of)
    if epoch is None or target in epoch.compared:
        return

    def work(tx: Transaction) -> None:
        now = epoch_of(tx)
        if now is not None and target not in now.compared:
            known = tuple(sorted({*now.compared, target}))
            tx.put(msgspec.structs.replace(now, compared=known))

    await services.store.transact(work, urgent=True)


async def is_past_sure(services: Services, target: str) -> bool:
    """Whether the rows about a target may be taken for what happened, compared or not.

    They may not while the log is halted, because then the database may be an older one, nor in an
    epoch in which the target was not compared.
    """
    epoch = await services.store.read(epoch_of)
    if epoch is not None and target not in epoch.compared:
        return False
    return await services.store.log_works()
