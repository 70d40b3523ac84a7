"""Steps 3.5 and 3.6: call the target, then write ``live`` under a checkpoint (I2).

Whatever fails here puts the lease to ``ending`` at once: the account may exist, so it is revoked.
"""

import asyncio

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState, EndReason
from callpoint.domain.errors import CallpointError, ConflictError, TargetError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.ending import end, leases
from callpoint.lifecycle.removal import remove
from callpoint.lifecycle.residual import connector
from callpoint.lifecycle.revoke import revoke_now
from callpoint.lifecycle.sealing import Sealed, seal
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import Transaction
from callpoint.ports.targets import Issued, Residual

_ERROR_LENGTH = 500


class _Minted(msgspec.Struct, frozen=True):
    """What the target made, sealed: the secret itself goes no further."""

    lease: Lease
    sealed: Sealed
    baseline: dict[str, list[str]]
    residual: Residual


async def mint_all(services: Services, found: Activation, planned: tuple[Lease, ...]) -> None:
    """Steps 5 and 6 for each lease; if one fails, all of them end: half an access helps nobody."""
    try:
        results = await asyncio.gather(
            *(_mint(services, found, lease) for lease in planned), return_exceptions=True
        )
    except asyncio.CancelledError:  # nobody waits for it any more: the caller or the process goes
        await asyncio.shield(_give_up(services, found.id))
        raise
    errors = [result for result in results if isinstance(result, BaseException)]
    if not errors:
        return
    await _give_up(services, found.id)
    # Rather the cause than that the others were ended because of it.
    raise next((e for e in errors if not isinstance(e, ConflictError)), errors[0])


async def _mint(services: Services, found: Activation, lease: Lease) -> None:
    port = connector(services, lease.plan.target)
    try:
        issued: Issued = await port.issue(lease.plan)
        minted = _Minted(
            lease=lease,
            sealed=seal(services, found.request, lease.plan, issued.credential),
            baseline=issued.baseline,
            residual=await port.residual(),
        )
        await services.store.transact(lambda tx: _go_live(tx, found, minted))
    except BaseException as error:
        await _fail(services, lease, error)
        raise


def _go_live(tx: Transaction, found: Activation, minted: _Minted) -> Lease:
    """Step 6: live, under a checkpoint, unless somebody ended it while the target worked."""
    lease = tx.get(Lease, minted.lease.id)
    now_active = tx.get(Activation, found.id).state is ActivationState.ACTIVE
    if lease.state is not LeaseState.PLANNED or not now_active:
        raise ConflictError(f"activation {found.id} was ended while its credential was made")
    event = ev.LeaseIssued(
        actor=found.request.principal,
        lease=lease.id,
        target=lease.plan.target,
        box_sha256=minted.sealed.box_digest,
        residual=minted.residual.bound,
        residual_because=minted.residual.because,
    )
    tx.append(activation_stream(found.id), event)
    live = msgspec.structs.replace(
        lease.moved(LeaseState.LIVE),
        box=minted.sealed.box,
        probe=minted.sealed.probe,
        baseline=minted.baseline,
        due_at=lease.plan.not_after,
    )
    return tx.put(live)


async def _fail(services: Services, lease: Lease, error: BaseException) -> None:
    """The account may exist: the activation ends at once and is revoked by its plans.

    When somebody ended it while the target worked, its revocation may have looked before the
    account was there. So whoever made it removes it too; should that fail, reconciliation finds it.
    """
    words = error.message if isinstance(error, CallpointError) else type(error).__name__
    code = error.code if isinstance(error, TargetError) else ""

    def work(tx: Transaction) -> bool:
        found = tx.get(Lease, lease.id)
        if found.state not in (LeaseState.PLANNED, LeaseState.LIVE):
            return False
        event = ev.LeaseFailed(
            lease=lease.id,
            target=lease.plan.target,
            error=printable(words, _ERROR_LENGTH),
            code=code,
        )
        tx.append(activation_stream(lease.activation), event)
        end(tx, tx.get(Activation, lease.activation), EndReason.ISSUE_FAILED)
        return True

    if not await asyncio.shield(services.store.transact(work, urgent=True)):
        port = connector(services, lease.plan.target)
        await asyncio.shield(remove(port, lease.plan, None, None))


async def _give_up(services: Services, activation: str) -> None:
    """End the activation whose issue failed, and revoke now."""

    def work(tx: Transaction) -> tuple[Lease, ...]:
        end(tx, tx.get(Activation, activation), EndReason.ISSUE_FAILED)
        return leases(tx, activation)

    ended = await services.store.transact(work, urgent=True)
    await revoke_now(services, ended)
