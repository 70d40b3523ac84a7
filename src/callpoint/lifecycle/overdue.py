"""Expiry and revocations under way go on at the targets while the store cannot be written (I3, I6).

A lease's end was decided when it was issued, so nobody need be asked: by the picture, what is over
dies at the target. Nothing is recorded; when the store is back the sweep ends and proves it.
"""

import asyncio
from datetime import datetime, timedelta

from callpoint.domain.errors import StoreUnavailableError
from callpoint.domain.known import KnownLease
from callpoint.lifecycle.removal import remove
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import Transaction

_GRACE = timedelta(seconds=10)
"""The usual way, with evidence, comes first."""


async def revoke_overdue(services: Services) -> tuple[str, ...]:
    """One pass over what the node knows to be over; returns the handles that are proven gone.

    By the node's own clock: the store's cannot be asked. One that is ahead takes away too early,
    and only while the store is down.
    """
    picture = services.node.picture
    now = services.clock.now()
    overdue = [k for k in picture.leases() if _is_over(k, now - _GRACE) and not picture.is_gone(k)]
    if not overdue or await _is_writable(services):
        return ()
    done = await asyncio.gather(*(_remove(services, known) for known in overdue))
    gone = tuple(known.plan.handle for known, dead in zip(overdue, done, strict=True) if dead)
    picture.note_gone(gone)
    return gone


def _is_over(known: KnownLease, by: datetime) -> bool:
    return known.is_ending or known.plan.not_after <= by


async def _is_writable(services: Services) -> bool:
    """Whether the sweep could do its work; a full disk can still be read."""
    try:
        await services.answered(services.store.transact(_nothing, urgent=True))
    except StoreUnavailableError:
        return False
    return True


def _nothing(tx: Transaction) -> None:
    tx.now()


async def _remove(services: Services, known: KnownLease) -> bool:
    plan = known.plan
    port = services.targets.get(plan.target)
    if port is None:
        return False
    async with services.lane(plan.target):
        return (await remove(port, plan, None, None, within=services.limits.step_within)).dead
