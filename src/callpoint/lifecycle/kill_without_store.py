"""The kill switch while the store is down: from what the node and the targets know (I13).

1. From this moment nothing is given on this node, whatever happens to its disk.
2. The order, as it was signed, goes to the disk as a tombstone, before the answer.
3. What it covers dies at the targets meanwhile; what does not is tried again (``merge.tend``).
4. When the store is back the tombstone is merged (``merge``), and only then something is given.
"""

import asyncio

from callpoint.domain.activation import EndReason
from callpoint.domain.errors import DeniedError, RequestError, StoreUnavailableError
from callpoint.domain.ids import activation_of
from callpoint.domain.kill import Killed, Scope
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.tombstone import MAX_ORDER, SignedOrder, Tombstone, tombstone_id
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.kill import kill, must_be_allowed, named
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.strike import Order, Seen, covers_known, strike
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.identity import Caller
from callpoint.ports.notifiers import Notice

_LISTED = 1000


async def kill_anyhow(
    services: Services,
    caller: Caller,
    scope: Scope,
    about: str,
    order: SignedOrder,
    *,
    store_answers: bool,
) -> Killed:
    """The kill switch as a server pulls it: in the store, or without it when it does not answer.

    Raises:
        DeniedError, RequestError: As ``kill``.
    """
    if store_answers:
        try:
            return await kill(services, caller, scope, about)
        except StoreUnavailableError:
            pass  # it fell silent on the way: what it did is done, and is done again at the targets
    return await kill_without_store(services, caller, scope, about, order)


async def kill_without_store(
    services: Services, caller: Caller, scope: Scope, about: str, order: SignedOrder
) -> Killed:
    """End all that the scope covers at the targets, and leave a tombstone.

    Args:
        services: The store among them is not asked.
        caller: Who signed ``order``, by the last rules that were proven.
        scope: What to kill.
        about: Its name.
        order: The request as it was received.

    Raises:
        DeniedError: A machine that would end what is not known here to be its own.
        RequestError: A scope that needs a name has none, or the order is too long to be kept.
    """
    wanted = Order(scope, named(scope, about))
    if len(order.body) > MAX_ORDER:
        raise RequestError(f"an order has at most {MAX_ORDER} bytes while the store is down")
    await _must_be_allowed(services, caller, wanted)
    services.live.cut(Cut(Reach(wanted.scope), wanted.about, EndReason.KILLED))
    tombstone = Tombstone(
        id=tombstone_id(order.headers),
        at=services.clock.now(),
        principal=caller.principal.id,
        scope=scope,
        about=wanted.about,
        order=order,
    )
    node = services.node.tombstones
    node.hold(tombstone)
    trouble, seen = await asyncio.gather(_keep(services), strike(services, wanted))
    node.settle(tombstone.id, (one.target for one in seen if one.is_settled))
    killed = _killed(seen, tombstone, trouble, is_cut=services.node.picture.is_cut)
    await _tell(services, caller, wanted, killed)
    return killed


async def _must_be_allowed(services: Services, caller: Caller, order: Order) -> None:
    """A machine ends only what the node knows to be its own: nobody else can be asked now."""
    if caller.principal.kind is PrincipalKind.HUMAN:
        return
    try:
        _must_be_own(services, caller, order)
    except DeniedError as error:
        what = f"{order.scope} {printable(order.about)}".rstrip()
        text = f"{caller.principal.id} may not kill {what}: {error.message}"
        await _notify(services, "kill:refused", order.about or order.scope, text)
        raise


def _must_be_own(services: Services, caller: Caller, order: Order) -> None:
    known = services.node.picture.leases()
    owners = {k.principal for k in known if covers_known(order, k)}
    must_be_allowed(caller, owners)
    is_own = order == Order(Scope.PRINCIPAL, caller.principal.id)
    if not is_own and not (order.scope is Scope.ACTIVATION and owners):
        raise DeniedError(
            "while the store is down nobody can say whether that is its own",
            way_out=f"`callpoint kill principal {caller.principal.id}`, or ask a person",
        )


async def _keep(services: Services) -> str:
    """Bring the tombstone to the disk; returns what went wrong."""
    try:
        await asyncio.to_thread(services.node.tombstones.write)
    except StoreUnavailableError as error:
        return f"no tombstone could be written, so a restart forgets this order: {error}"
    return ""


def _killed(seen: tuple[Seen, ...], tombstone: Tombstone, trouble: str, *, is_cut: bool) -> Killed:
    cut = "more leases were open than this node remembers: whose the others are nobody can say"
    handles = [handle for one in seen for handle in (*one.dead, *one.alive)]
    return Killed(
        activations=tuple(sorted({activation_of(handle) for handle in handles}))[:_LISTED],
        alive=tuple(sorted(handle for one in seen for handle in one.alive)),
        without_store=True,
        tombstone="" if trouble else tombstone.id,
        dead=tuple(f"{account} on {one.target}" for one in seen for account in one.dead.values()),
        unattributed=tuple(
            f"{account} on {one.target}" for one in seen for account in one.unattributed
        ),
        unreachable=tuple(one.target for one in seen if not one.is_complete),
        trouble=tuple(line for line in (trouble, cut if is_cut else "") if line),
    )


async def _tell(services: Services, caller: Caller, order: Order, killed: Killed) -> None:
    what = f"{order.scope} {printable(order.about)}".rstrip()
    kept = f"tombstone {killed.tombstone}" if killed.tombstone else "NO TOMBSTONE COULD BE WRITTEN"
    text = (
        f"{caller.principal.id} killed {what} while the store is down ({kept}): accounts proven"
        f" dead: {len(killed.dead)}, not yet: {len(killed.alive)}, not attributed:"
        f" {len(killed.unattributed)}, targets not looked at: {len(killed.unreachable)}"
    )
    await _notify(services, "kill:ordered", order.about or order.scope, text)


async def _notify(services: Services, kind: str, about: str, text: str) -> None:
    notice = Notice(
        kind=kind, about=printable(about), to=watchers(services), text=text, urgent=True
    )
    await services.notifier.notify(notice)
