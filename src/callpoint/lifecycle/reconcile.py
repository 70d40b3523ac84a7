"""Compare each target with what we hold, both ways (I8); only handles of our own installation.

* An account that no open lease explains: an event, an alarm, and it is removed.
* A live lease whose account is not there: its revocation begins, and proves it.
Checked-out accounts carry no handle: they are neither unknown nor missing here; ``at_rest`` looks
after them.
"""

import asyncio

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, EndReason
from callpoint.domain.errors import TargetError, TargetRefusedError, TargetUnknownError
from callpoint.domain.ids import activation_stream, target_stream
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.review import Finding
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.at_rest import look_at_rest
from callpoint.lifecycle.ending import end
from callpoint.lifecycle.epoch import note_compared
from callpoint.lifecycle.removal import remove
from callpoint.lifecycle.revoke import revoke_all
from callpoint.lifecycle.services import Services
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Transaction, View, Where
from callpoint.ports.targets import Connector, ManagedAccount

_OPEN = (LeaseState.PLANNED, LeaseState.LIVE, LeaseState.ENDING)
_ALL = 1_000_000


class Reconciled(msgspec.Struct, frozen=True):
    """What one comparison found.

    Attributes:
        unknown: Accounts that no open lease explains.
        removed: Those of them that are proven gone.
        missing: Live leases without an account.
        changed: Checked-out accounts at rest whose secret somebody else changed.
        unreachable: Targets that did not answer: nothing is known of them.
    """

    unknown: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()


async def reconcile(services: Services) -> Reconciled:
    """Compare every target once, all together: a dead one makes no other wait (I6)."""
    ports = dict(services.targets)
    found = await asyncio.gather(*(_guarded(services, *item) for item in ports.items()))
    return Reconciled(
        *(tuple(x for one in found for x in getattr(one, f)) for f in Reconciled.__struct_fields__)
    )


async def _guarded(services: Services, name: str, port: Connector) -> Reconciled:
    try:
        seen = await _one(services, name, port)
    except TargetRefusedError:
        services.compared.add(name)  # it answers, and waiting shows no more
        return Reconciled(unreachable=(name,))
    except TargetError:
        return Reconciled(unreachable=(name,))
    await note_compared(services, name)
    return seen


async def _one(services: Services, name: str, port: Connector) -> Reconciled:
    # The target is read first: a lease is planned before its account exists, so an account that
    # was issued in between is explained by the leases that are read after it.
    live_before = await services.store.read(lambda view: _held(view, name, (LeaseState.LIVE,)))
    try:
        async with asyncio.timeout(services.limits.step_within.total_seconds()):
            accounts = await port.list_managed()
    except TimeoutError as error:  # one that hangs must not keep the next pass from the others
        raise TargetUnknownError("it does not list its accounts", target=name) from error
    explained = await services.store.read(lambda view: _held(view, name, _OPEN))
    unknown = [account for account in accounts if account.handle not in explained]
    removed = [a.account for a in unknown if await _remove(services, port, a)]
    there = {account.handle for account in accounts}
    # A kill without the store took them: its merge says why they ended, not somebody's hand.
    missing = sorted(live_before - there) if services.node.tombstones.is_clear() else []
    for handle in missing:
        await _close_missing(services, handle)
    return Reconciled(
        unknown=tuple(account.account for account in unknown),
        removed=tuple(removed),
        missing=tuple(missing),
        changed=await look_at_rest(services, port),
    )


def _held(view: View, target: str, states: tuple[LeaseState, ...]) -> set[str]:
    # A spoilt row explains nothing: its account is removed as an unknown one.
    found = view.select(Lease, Where(states=states, subject=target, limit=_ALL, skip_spoilt=True))
    return {lease.id for lease in found if lease.plan.kind is LeaseKind.MINTED}


async def _remove(services: Services, port: Connector, account: ManagedAccount) -> bool:
    """Alarm, then remove it; not proven gone means that the next pass tries again."""
    event = ev.UnknownAccountFound(
        target=port.target, handle=account.handle, account=account.account
    )
    stream = target_stream(port.target)
    await services.store.transact(lambda tx: tx.append(stream, event), urgent=True)
    await services.notifier.notify(
        Notice(
            kind="account:unknown",
            about=port.target,
            to=watchers(services),
            text=f"{account.account} on {port.target} is explained by no lease; removing it",
            urgent=True,
        )
    )
    return (await remove(port, port.adopt(account), None, None)).dead


async def _close_missing(services: Services, handle: str) -> None:
    """Known but missing: a finding, and revocation of all it has, which closes it with proof."""

    def work(tx: Transaction) -> str | None:
        lease = tx.find(Lease, handle)
        if lease is None or lease.state is not LeaseState.LIVE:
            return None
        activation = tx.get(Activation, lease.activation)
        if tx.now() >= lease.plan.not_after:
            end(tx, activation, EndReason.EXPIRED)  # the target's own reaper came first (I3)
            return activation.id
        text = f"{lease.plan.account} was removed from {lease.plan.target} by somebody else"
        event = ev.FindingRaised(finding=Finding(kind="account_missing", text=text), lease=handle)
        tx.append(activation_stream(activation.id), event)
        end(tx, tx.put(activation.apply(event, tx.now())), EndReason.POLICY_VIOLATION)
        return activation.id

    ended = await services.store.transact(work, urgent=True)
    if ended is not None:
        await revoke_all(services, ended)
