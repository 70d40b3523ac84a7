"""Static accounts that nobody has: whether the stored secret is still the one in force (I8).

They carry no handle, so no list of accounts shows what somebody did to one. A secret that was
changed by hand, or since the backup that the store was restored from, is an alarm: somebody has,
or had, a way in that Callpoint did not give. It is not undone here: the owner may have meant it,
and the next check-out replaces whatever is in force.
"""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.errors import TargetRefusedError
from callpoint.domain.ids import target_stream
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.static_secret import StaticSecret
from callpoint.domain.undo_plan import UndoPlan
from callpoint.lifecycle import custody
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.epoch import epoch_of
from callpoint.lifecycle.services import Services
from callpoint.ports.notifiers import Notice
from callpoint.ports.rotation import Rotator
from callpoint.ports.stores import Transaction, View, Where
from callpoint.ports.targets import Attempt, Connector

EVERY = timedelta(hours=1)
"""Each look is a login attempt, which targets write down."""

_ALL = 1_000_000


async def look_at_rest(services: Services, port: Connector) -> tuple[str, ...]:
    """Try the stored secret of each account at rest that is due; those that were changed.

    An account whose target does not answer is tried again at the next pass.
    """
    rotator = port.rotator
    if rotator is None:
        return ()
    due = await services.store.read(lambda view: _due(view, port.target))
    return tuple([row.account for row in due if await _is_changed(services, rotator, row)])


def _due(view: View, target: str) -> tuple[StaticSecret, ...]:
    now, epoch = view.now(), epoch_of(view)
    since = epoch.began_at if epoch is not None else None
    rows = view.select(
        StaticSecret, Where(states=("in",), subject=target, limit=_ALL, skip_spoilt=True)
    )
    return tuple(row for row in rows if row.candidates and _is_due(row, now, since))


def _is_due(row: StaticSecret, now: datetime, epoch: datetime | None) -> bool:
    """Not looked at for an hour, or not in this epoch: it may be out since the copy was made."""
    seen = row.looked_at
    return seen is None or now - seen >= EVERY or (epoch is not None and seen < epoch)


async def _is_changed(services: Services, rotator: Rotator, row: StaticSecret) -> bool:
    plan = UndoPlan(
        connector="",
        target=row.target,
        role="",
        handle="",
        account=row.account,
        not_after=services.clock.now(),
        kind=LeaseKind.CHECKED_OUT,
    )
    stored = custody.former(services, row)
    if not stored:
        return False  # no key opens it: the doctor's affair, and the next check-out replaces it
    try:
        told = {
            (await rotator.attempt(plan, rotator.credential(plan, secret))).attempt
            for secret in stored
        }
    except TargetRefusedError:
        return False  # it is checked out no more by the configuration: the owner's own again
    if Attempt.UNKNOWN in told:
        return False
    changed = told == {Attempt.REFUSED}
    is_new = await services.store.transact(lambda tx: _note(tx, row, changed=changed), urgent=True)
    if is_new:
        await services.notifier.notify(
            Notice(
                kind="secret:changed",
                about=row.target,
                to=watchers(services),
                text=f"the secret of {row.account} on {row.target} was changed by somebody else",
                urgent=True,
            )
        )
    return changed


def _note(tx: Transaction, seen: StaticSecret, *, changed: bool) -> bool:
    """Write down that it was looked at; True when the alarm is a new one."""
    row = tx.find(StaticSecret, seen.key())
    if row is None or row.version != seen.version:
        return False  # it was checked out meanwhile: what was seen says nothing any more
    tx.put(msgspec.structs.replace(row, looked_at=tx.now(), is_changed=changed))
    if not changed or row.is_changed:
        return False
    event = ev.StaticSecretChanged(target=row.target, account=row.account)
    tx.append(target_stream(row.target), event)
    return True
