"""The kill switch: an activation, a principal, a target, an incident, or everything.

Any configured person may pull it; a machine may only end its own. It is authenticated and recorded
and never asks the PDP: with a denying or broken PDP it must succeed (I11).
"""

from callpoint.domain import event as ev
from callpoint.domain.activation import UNFINISHED, Activation, EndReason
from callpoint.domain.eligibility import parse_opening
from callpoint.domain.errors import DeniedError, RequestError
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.kill import Killed, Scope
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.request_signature import MAX_AHEAD
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.ending import end, end_lease, row_of
from callpoint.lifecycle.killed import mark_killed
from callpoint.lifecycle.live_sessions import signal
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.revoke import revoke_now
from callpoint.lifecycle.services import Services
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.identity import Caller, Recognised
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Transaction, View, Where

_ALL = 1_000_000
_LISTED = 1000


async def kill(services: Services, caller: Caller, scope: Scope, about: str = "") -> Killed:
    """End all that the scope covers, now, and revoke before answering.

    What ended earlier and is not proven dead yet is tried again too, and told.

    Raises:
        DeniedError: A machine that would end what is not its own.
        RequestError: A scope that needs a name has none.
        StoreUnavailableError: The store does not answer; ``kill_without_store`` needs none.
    """
    about = named(scope, about)

    def work(tx: Transaction) -> tuple[str, ...]:
        return end_covered(tx, caller, scope, about)

    cut_at_once(services, caller, scope, about)
    async with on_record(services, caller, f"kill:{scope}", about):
        ended = await services.answered(services.store.transact(work, urgent=True))
    alive = await _revoke_all(services, scope, about)
    what = f"{scope} {printable(about)}".rstrip()
    await services.notifier.notify(
        Notice(
            kind="kill:ordered",
            about=about or scope,
            to=watchers(services),
            text=f"{caller.principal.id} killed {what}: activations ended: {len(ended)},"
            f" credentials not yet proven dead: {len(alive)}",
            urgent=True,
        )
    )
    return Killed(activations=ended, alive=alive)


def cut_on_sight(services: Services, seen: Recognised, scope: Scope, about: str) -> bool:
    """Cut what a person's signed order names before it is known whether it is a copy of one.

    It ends no more than connections, and none that began after the order was signed: whatever a
    copy of it can reach was cut when the order itself came (docs/adr/0027). ``kill`` does the rest
    when the nonce is settled.

    Returns:
        Whether an order went out.
    """
    if seen.caller.principal.kind is not PrincipalKind.HUMAN:
        return False
    try:
        about = named(scope, about)
    except RequestError:
        return False  # whoever reads the request tells
    # Whole seconds, and two clocks that may differ.
    begun_by = seen.signed_at + MAX_AHEAD
    services.live.cut(Cut(Reach(scope), about, EndReason.KILLED, begun_by))
    return True


def cut_at_once(services: Services, caller: Caller, scope: Scope, about: str) -> None:
    """Cut live sessions on this node before anything is written: a person may end anything.

    Of a machine it is first to be seen what is its own; its sessions are cut by ``end``.
    """
    if caller.principal.kind is PrincipalKind.HUMAN:
        services.live.cut(Cut(Reach(scope), about, EndReason.KILLED))


def named(scope: Scope, about: str) -> str:
    """The name of what to kill, as the installation writes it.

    Raises:
        RequestError: The scope needs one.
    """
    if scope is not Scope.EVERYTHING and not about:
        raise RequestError(f"kill {scope} needs a name", way_out=f"`callpoint kill {scope} NAME`")
    return about.lower() if scope is Scope.INCIDENT else about  # as it was declared or reported


def end_covered(tx: Transaction, caller: Caller, scope: Scope, about: str) -> tuple[str, ...]:
    """End all that the scope covers, on record; returns the activations.

    Raises:
        DeniedError: A machine that would end what is not its own.
    """
    found = [a for a in _unfinished(tx) if _covers(scope, about, a)]
    rowless = _rowless(tx, scope, about)
    owners = {a.request.principal for a in found} | {lease.principal for lease in rowless}
    must_be_allowed(caller, owners)
    if owners:
        signal(tx, Cut(Reach(scope), about, EndReason.KILLED))  # one order, before many
    for activation in found:
        end(tx, activation, EndReason.KILLED, caller.principal.id)
    for lease in rowless:
        end_lease(tx, lease, EndReason.KILLED)
    is_person = caller.principal.kind is PrincipalKind.HUMAN
    if scope is Scope.PRINCIPAL and (is_person or about == caller.principal.id):
        mark_killed(tx, about)
    ended = tuple(activation.id for activation in found)
    order = ev.KillOrdered(
        actor=caller.principal.id,
        scope=scope,
        about=printable(about),
        activations=ended[:_LISTED],
        count=len(ended),
    )
    tx.append(INSTALLATION_STREAM, order)
    return ended


def _unfinished(tx: Transaction) -> tuple[Activation, ...]:
    return tx.select(Activation, Where(states=UNFINISHED, limit=_ALL, skip_spoilt=True))


def _covers(scope: Scope, about: str, found: Activation) -> bool:
    request = found.request
    match scope:
        case Scope.ACTIVATION:
            return found.id == about
        case Scope.PRINCIPAL:
            return about == request.principal or about in request.persons
        case Scope.TARGET:
            return about in {parse_opening(text).target for text in request.opens}
        case Scope.INCIDENT:
            return request.incident == about
        case Scope.EVERYTHING:
            return True


def must_be_allowed(caller: Caller, owners: set[str]) -> None:
    """A person may end anything, a machine its own. Raises DeniedError."""
    if caller.principal.kind is PrincipalKind.HUMAN:
        return
    if owners - {caller.principal.id}:
        raise DeniedError(
            f"{caller.principal.id} is a {caller.principal.kind} and can only end its own",
            way_out="ask a person to run `callpoint kill`",
        )


async def _revoke_all(services: Services, scope: Scope, about: str) -> tuple[str, ...]:
    """Revoke what the scope covers; returns the leases that are not yet proven dead."""

    def ending(view: View) -> tuple[Lease, ...]:
        where = Where(states=(LeaseState.ENDING,), limit=_ALL, skip_spoilt=True)
        return tuple(x for x in view.select(Lease, where) if _covers_lease(view, scope, about, x))

    await revoke_now(services, await services.store.read(ending))
    return tuple(lease.id for lease in await services.store.read(ending))


def _rowless(tx: Transaction, scope: Scope, about: str) -> tuple[Lease, ...]:
    """Live leases whose activation's row was spoilt, as far as the scope covers them."""
    where = Where(states=(LeaseState.PLANNED, LeaseState.LIVE), limit=_ALL, skip_spoilt=True)
    return tuple(
        lease
        for lease in tx.select(Lease, where)
        if row_of(tx, lease) is None and _covers_lease(tx, scope, about, lease)
    )


def _covers_lease(view: View, scope: Scope, about: str, lease: Lease) -> bool:
    """By its activation, or, where that row is spoilt, by what the lease itself tells."""
    activation = row_of(view, lease)
    if activation is not None:
        return _covers(scope, about, activation)
    match scope:
        case Scope.ACTIVATION:
            return lease.activation == about
        case Scope.PRINCIPAL:
            return lease.principal == about
        case Scope.TARGET:
            return lease.plan.target == about
        case Scope.INCIDENT:
            return False  # nobody can say for which it was
        case Scope.EVERYTHING:
            return True
