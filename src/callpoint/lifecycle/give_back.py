"""Giving back early: ``withdraw`` before it begins, ``return`` after. Always possible (I12)."""

from callpoint.domain.activation import PENDING, Activation, ActivationState, EndReason
from callpoint.domain.errors import ConflictError, DeniedError
from callpoint.domain.lease import Lease
from callpoint.domain.principal import PrincipalKind
from callpoint.lifecycle.announce import announce
from callpoint.lifecycle.ending import end, leases
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.revoke import revoke_now
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction


async def withdraw(services: Services, caller: Caller, activation: str) -> Activation:
    """Take a pending request back. The PDP is not asked (I11)."""

    def work(tx: Transaction) -> Activation:
        found = tx.get(Activation, activation)
        _must_be_own(caller, found)
        if found.state not in PENDING:
            raise ConflictError(
                f"activation {found.id} is {found.state}, not pending", way_out=_instead(found)
            )
        return end(tx, found, EndReason.RETURNED, caller.principal.id)

    async with on_record(services, caller, "activation:withdraw", activation):
        made = await services.store.transact(work, urgent=True)
    await announce(services, made, "activation:withdrawn", f"{activation} was withdrawn")
    return made


async def give_back(
    services: Services, caller: Caller, activation: str, *, used: bool = False
) -> Activation:
    """End it now and revoke before answering; what a failing target keeps is due for retry.

    ``used`` says that the session or task is over, rather than handed back unused.
    """
    reason = EndReason.USED if used else EndReason.RETURNED

    def work(tx: Transaction) -> tuple[Lease, ...]:
        found = tx.get(Activation, activation)
        _must_be_own(caller, found)
        if found.state is not ActivationState.ACTIVE:
            raise ConflictError(
                f"activation {found.id} is {found.state}, not active", way_out=_instead(found)
            )
        end(tx, found, reason, caller.principal.id)
        return leases(tx, activation)

    async with on_record(services, caller, "activation:return", activation):
        ended = await services.store.transact(work, urgent=True)
    await revoke_now(services, ended)
    made = await services.store.read(lambda view: view.get(Activation, activation))
    await announce(services, made, "activation:ended", f"{activation} was {reason}")
    return made


def _instead(found: Activation) -> str:
    """What ends it in the state that it is in, or that nothing is left to end."""
    if found.state in PENDING:
        return f"it opened nothing yet: take it back with `callpoint withdraw {found.id}`"
    if found.state is ActivationState.ACTIVE:
        return f"end it with `callpoint return {found.id}`"
    if found.state in (ActivationState.ENDED, ActivationState.REVIEWED):
        return f"`callpoint status {found.id}` says whether each credential is proven dead"
    return "nothing: it opened nothing, and never will"


def is_own(caller: Caller, found: Activation) -> bool:
    """Whether the caller asked for it, or is a person who answers for who did."""
    who = caller.principal
    answers = who.kind is PrincipalKind.HUMAN and set(who.persons) & set(found.request.persons)
    return who.id == found.request.principal or bool(answers)


def _must_be_own(caller: Caller, found: Activation) -> None:
    if not is_own(caller, found):
        raise DeniedError(
            f"{found.id} belongs to {found.request.principal}",
            way_out="to stop somebody else's access use `callpoint kill`",
        )
