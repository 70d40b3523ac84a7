"""Merging tombstones: what was ordered while the store was down comes into force in it (I13).

The signature is judged again, by the rules in force now: neither the node nor whoever could write
to its disk is believed. The activations end, the leases go the normal way to ``ended`` with
evidence, and only when all that is durable the tombstone goes. A death in between repeats it.
"""

import asyncio
import base64

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    DeniedError,
    StoreUnavailableError,
    UnavailableError,
)
from callpoint.domain.ids import INSTALLATION_STREAM, REFUSALS_STREAM
from callpoint.domain.kill import Scope
from callpoint.domain.tombstone import MergedTombstone, Tombstone
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.kill import end_covered
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.strike import Order, strike
from callpoint.ports.identity import Caller
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Transaction
from callpoint.ports.tombstones import Waiting

_REASON_LIMIT = 500


class Tended(msgspec.Struct, frozen=True):
    """What one pass did.

    Attributes:
        merged: Tombstones that are in force in the store now.
        refused: Those that were not believed.
        errors: What could not be done now; the next pass tries again.
    """

    merged: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


async def tend(services: Services) -> Tended:
    """Merge what waits; while the store is down, go on at the targets.

    Raises:
        StoreUnavailableError: The folder of tombstones cannot be read.
    """
    tombstones = services.node.tombstones
    waiting = tombstones.unmerged()
    merged: list[str] = []
    refused: list[str] = []
    errors: list[str] = []
    if waiting:
        try:
            await asyncio.to_thread(tombstones.write)  # what a full disk did not take before
        except StoreUnavailableError as error:
            errors.append(str(error))
    down: UnavailableError | None = None
    for one in waiting:
        try:
            if down is not None:
                raise down  # it was waited for once; each file on the disk must not cost that again
            (merged if await _merge(services, one) else refused).append(one.id)
        except CallpointError as error:
            errors.append(f"tombstone {one.id}: {error}")
            if isinstance(error, UnavailableError):
                if down is None and await _is_silent(services):
                    down = error
                await _strike_again(services, one.tombstone)
    return Tended(tuple(merged), tuple(refused), tuple(errors))


async def _is_silent(services: Services) -> bool:
    """The store does not answer at all; not that a disk is full, here or there."""
    try:
        await services.answered(services.store.read(lambda view: view.now()))
    except StoreUnavailableError:
        return True
    return False


async def _merge(services: Services, waiting: Waiting) -> bool:
    """Whether it came into force; False when it is refused.

    Raises:
        StoreUnavailableError: Not now.
    """
    tombstone = waiting.tombstone
    if tombstone is None:
        await _refuse(services, waiting.id, "it does not parse")
        return False
    judge = services.node.judge
    if judge is None:
        raise UnavailableError("this process cannot judge the signature of an order")
    configuration = await services.answered(services.rules.refresh())
    try:
        caller = judge.judge(tombstone, configuration)
        order = _order(tombstone)
        ended = await services.answered(
            services.store.transact(lambda tx: _work(tx, caller, tombstone, order), urgent=True)
        )
    except (AuthenticationError, DeniedError) as error:
        await _refuse(services, tombstone.id, error.message)
        return False
    await asyncio.to_thread(services.node.tombstones.retire, tombstone.id)
    if ended is not None:
        await _tell(services, caller, tombstone, len(ended))
    return True


def _order(tombstone: Tombstone) -> Order:
    """What is to be killed. Raises DeniedError: a person may sign what is no scope."""
    try:
        return Order(Scope(tombstone.scope), tombstone.about)
    except ValueError as error:
        raise DeniedError(f"there is nothing like a {printable(tombstone.scope)}") from error


def _work(
    tx: Transaction, caller: Caller, tombstone: Tombstone, what: Order
) -> tuple[str, ...] | None:
    """The kill, and that it is merged; None when a pass before this one did it and died."""
    if tx.find(MergedTombstone, tombstone.id) is not None:
        return None
    order = tombstone.order
    event = ev.TombstoneMerged(
        actor=caller.principal.id,
        tombstone=tombstone.id,
        scope=tombstone.scope,
        about=printable(tombstone.about),
        ordered_at=tombstone.at,
        key=caller.key_id,
        method=order.method,
        url=order.url,
        origins=order.origins,
        content_digest=order.headers["content-digest"],
        signature_input=order.headers["signature-input"],
        signature=order.headers["signature"],
        body=base64.b64encode(order.body).decode(),
    )
    tx.append(INSTALLATION_STREAM, event)
    ended = end_covered(tx, caller, what.scope, what.about)
    tx.put(MergedTombstone(tombstone.id, tx.now()))
    return ended


async def _refuse(services: Services, key: str, why: str) -> None:
    """On record and aloud; it is kept aside as evidence, and keeps nobody from access any more."""
    event = ev.TombstoneRefused(tombstone=printable(key), reason=printable(why, _REASON_LIMIT))

    def work(tx: Transaction) -> bool:
        # Not the id alone: a damaged or forged copy must not stand for the true order.
        record = MergedTombstone(f"refused:{event.tombstone}", tx.now())
        if tx.find(MergedTombstone, record.id) is not None:
            return False
        tx.append(REFUSALS_STREAM, event)
        tx.put(record)
        return True

    is_new = await services.answered(services.store.transact(work, urgent=True))
    await asyncio.to_thread(services.node.tombstones.set_aside, key)
    if is_new:
        text = (
            f"the tombstone {event.tombstone} on a node's disk is no order that anybody may give:"
            f" {event.reason}; it is kept in tombstones/refused, and whoever could put it there"
            " can read that folder's keys"
        )
        await _notify(services, "tombstone:refused", event.tombstone, text)


async def _strike_again(services: Services, tombstone: Tombstone | None) -> None:
    """The store is still down: what was not proven dead at the targets is tried again."""
    tombstones, judge = services.node.tombstones, services.node.judge
    if judge is None or tombstone is None:
        return
    try:
        judge.judge(tombstone, services.rules.last_proven)
        order = _order(tombstone)
    except CallpointError:
        return  # nobody may give this order; the store will hear of it
    seen = await strike(services, order, tombstones.settled(tombstone.id))
    tombstones.settle(tombstone.id, (one.target for one in seen if one.is_settled))


async def _tell(services: Services, caller: Caller, tombstone: Tombstone, ended: int) -> None:
    what = f"{tombstone.scope} {printable(tombstone.about)}".rstrip()
    text = (
        f"the store is back: the kill of {what} by {caller.principal.id}, ordered at"
        f" {tombstone.at:%Y-%m-%d %H:%M:%S} UTC, is in force; activations ended: {ended}"
    )
    await _notify(services, "tombstone:merged", tombstone.about or tombstone.scope, text)


async def _notify(services: Services, kind: str, about: str, text: str) -> None:
    notice = Notice(
        kind=kind, about=printable(about), to=watchers(services), text=text, urgent=True
    )
    await services.notifier.notify(notice)
