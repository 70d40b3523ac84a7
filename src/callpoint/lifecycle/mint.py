"""Steps 3.5 and 3.6: call the target, then write ``live`` under a checkpoint (I2).

Whatever fails here puts the lease to ``ending`` at once: the account may exist, so it is revoked.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState, EndReason
from callpoint.domain.errors import CallpointError, ConflictError, TargetError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.untrusted import printable
from callpoint.lifecycle import custody
from callpoint.lifecycle.check_out import check_out
from callpoint.lifecycle.custody import Held
from callpoint.lifecycle.ending import end, leases
from callpoint.lifecycle.node import known_of
from callpoint.lifecycle.removal import remove
from callpoint.lifecycle.residual import connector
from callpoint.lifecycle.revoke import revoke_now
from callpoint.lifecycle.sealing import Sealed, seal
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import Transaction
from callpoint.ports.targets import Issued, Residual

_ERROR_LENGTH = 500


class Planned(msgspec.Struct, frozen=True):
    """A lease whose intent is durable; of a checked-out account with the secret to set."""

    lease: Lease
    held: Held | None = None


class _Minted(msgspec.Struct, frozen=True):
    """What the target made, sealed: the secret itself goes no further."""

    lease: Lease
    sealed: Sealed
    baseline: dict[str, list[str]]
    residual: Residual
    generation: int = 0


async def mint_all(
    services: Services,
    found: Activation,
    planned: tuple[Planned, ...],
    residuals: Mapping[str, Residual],
) -> Activation:
    """Steps 5 and 6 for each lease; if one fails, all of them end: half an access helps nobody.

    Args:
        services: As for every step.
        found: The activation.
        planned: Its leases.
        residuals: What bounds each target, as it was when the issue was found to be allowed.

    Returns:
        The activation as it was when its last lease went live.
    """
    try:
        results = await asyncio.gather(
            *(_mint(services, found, one, residuals[one.lease.plan.target]) for one in planned),
            return_exceptions=True,
        )
    except asyncio.CancelledError:  # nobody waits for it any more: the caller or the process goes
        await asyncio.shield(_give_up(services, found.id))
        raise
    errors = [result for result in results if isinstance(result, BaseException)]
    if not errors:
        made = (result for result in results if isinstance(result, Activation))
        return max(made, key=lambda activation: activation.version)
    await _give_up(services, found.id)
    # Rather the cause than that the others were ended because of it.
    raise next((e for e in errors if not isinstance(e, ConflictError)), errors[0])


async def _mint(
    services: Services, found: Activation, planned: Planned, residual: Residual
) -> Activation:
    lease, held = planned.lease, planned.held
    port = connector(services, lease.plan.target)
    try:
        services.node.picture.add((known_of(lease, found),))
        issued: Issued = await (
            port.issue(lease.plan) if held is None else check_out(services, lease.plan, held)
        )
        minted = _Minted(
            lease=lease,
            sealed=seal(services, found.request, lease.plan, issued.credential),
            baseline=issued.baseline,
            residual=residual,
            generation=held.generation if held else 0,
        )
        return await services.store.transact(lambda tx: _go_live(tx, services, found, minted))
    except BaseException as error:
        await _fail(services, lease, error)
        raise


def _go_live(tx: Transaction, services: Services, found: Activation, minted: _Minted) -> Activation:
    """Step 6: live, under a checkpoint, unless somebody ended it while the target worked."""
    services.node.tombstones.must_be_merged()
    lease = tx.get(Lease, minted.lease.id)
    active = tx.get(Activation, found.id)
    if lease.state is not LeaseState.PLANNED or active.state is not ActivationState.ACTIVE:
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
    if minted.generation:
        custody.settle(tx, lease, minted.generation, release=False)
    live = msgspec.structs.replace(
        lease.moved(LeaseState.LIVE),
        box=minted.sealed.box,
        probe=minted.sealed.probe,
        baseline=minted.baseline,
        due_at=lease.plan.not_after,
    )
    tx.put(live)
    return active


async def _fail(services: Services, lease: Lease, error: BaseException) -> None:
    """The account may exist: the activation ends at once and is revoked by its plans.

    When somebody ended it while the target worked, its revocation may have looked before the
    account was there. So whoever made it removes it too; should that fail, reconciliation finds it.
    A checked-out account stays as it is: nobody was ever told the secret that came late, and it is
    stored.
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

    was_ended_before = not await asyncio.shield(services.store.transact(work, urgent=True))
    if was_ended_before and lease.plan.kind is LeaseKind.MINTED:
        port = connector(services, lease.plan.target)
        await asyncio.shield(remove(port, lease.plan, None, None))


async def _give_up(services: Services, activation: str) -> None:
    """End the activation whose issue failed, and revoke now."""

    def work(tx: Transaction) -> tuple[Lease, ...]:
        end(tx, tx.get(Activation, activation), EndReason.ISSUE_FAILED)
        return leases(tx, activation)

    ended = await services.store.transact(work, urgent=True)
    await revoke_now(services, ended)
