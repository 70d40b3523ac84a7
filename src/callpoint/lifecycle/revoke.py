"""Step 5: kill one lease, and prove it dead at the target (I5, I6, I7).

1. Claim it, with a deadline: a worker that dies is taken over.
2. Control attempt: the credential still works (or not); it may not hold up step 3.
3. Disable, so that no new session begins.
4. Kill live sessions until none is left, on every declared endpoint.
5. Look what the use left behind.
6. Revoke: remove the account and what it owns.
7. Verify: gone from the catalogue, no session, refused for authentication.
8. Record; erase what was kept for the attempt.
A checked-out account is not removed: ``check_out.check_in`` gives it a new secret in 3 to 7.
Each step is tried even when an earlier one was refused (the ladder); what is not proven is retried
for ever, capped and with jitter. It never asks the PDP and never waits for the log.
"""

import asyncio
import base64
from collections import defaultdict, deque
from collections.abc import Awaitable, Iterable
from datetime import timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.errors import (
    CallpointError,
    TargetError,
    TargetUnknownError,
    UnavailableError,
)
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease, LeaseState, Rung
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.review import Finding
from callpoint.domain.untrusted import bounded, printable
from callpoint.lifecycle import custody
from callpoint.lifecycle.announce import announce_stuck
from callpoint.lifecycle.check_out import check_in
from callpoint.lifecycle.ending import row_of
from callpoint.lifecycle.removal import NOT_TRIED, Removal, remove
from callpoint.lifecycle.residual import connector
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import Transaction, Where
from callpoint.ports.targets import Attempt, Credential, ProbeResult

_DOUBLINGS = 20
_RESIDUE_LISTED = 50
_RESIDUE_LENGTH = 300
_ERROR_LENGTH = 500


async def revoke_now(services: Services, leases: Iterable[Lease]) -> None:
    """Try every lease once, now and together; what fails stays due and the sweep goes on.

    As many at a time as a target's lane takes, the most privileged first (I7). What a target that
    does not answer keeps from its turn for ``begin_within`` is left to the sweep as well: somebody
    waits for this answer.
    """
    until = services.clock.monotonic() + services.limits.begin_within.total_seconds()
    queues: dict[str, deque[str]] = defaultdict(deque)
    due = (lease for lease in leases if lease.state is LeaseState.ENDING)
    for lease in sorted(due, key=lambda x: (-x.plan.privilege.priority, x.plan.not_after)):
        queues[lease.plan.target].append(lease.id)
    errors: list[CallpointError] = []

    async def work(target: str, queue: deque[str]) -> None:
        while queue and services.clock.monotonic() < until:
            try:
                await revoke(services, queue.popleft(), target)
            except CallpointError as error:  # of one; it must not leave the others alone
                errors.append(error)

    most = services.limits.per_target
    await together(
        work(target, queue)
        for target, queue in queues.items()
        for _ in range(min(most, len(queue)))
    )
    if errors:
        raise errors[0]


async def together(works: Iterable[Awaitable[None]]) -> None:
    """Wait for all of them; only then raise what one of them raised."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def revoke_all(services: Services, activation: str) -> None:
    """Try every lease of an activation once, now and together."""
    found = await services.store.read(lambda view: view.select(Lease, Where(parent=activation)))
    await revoke_now(services, found)


async def revoke(services: Services, lease: str, target: str = "") -> bool:
    """One attempt at one lease; True when it is proven dead. Target failures do not raise.

    Args:
        services: As for every step.
        lease: Its id.
        target: Where it is, if the caller knows: a lease never moves.
    """
    if not target:
        found = await services.store.read(lambda view: view.find(Lease, lease))
        if found is None or found.state is not LeaseState.ENDING:
            return False
        target = found.plan.target
    async with services.lane(target):  # first the lane: a claim must not run out in it
        held = await services.store.transact(lambda tx: _claim(tx, services, lease), urgent=True)
        if held is None:
            return False
        try:
            return await _attempt(services, held)
        except CallpointError as error:
            await _retry_later(services, held, Rung.REVOKE, error)
        except Exception as error:  # noqa: BLE001 -- a defect is retried and loud, like silence (I6)
            broken = UnavailableError(f"revocation failed: {type(error).__name__}")
            await _retry_later(services, held, Rung.REVOKE, broken)
        return False


def _claim(tx: Transaction, services: Services, lease: str) -> Lease | None:
    """Step 1: nobody else works on it, or whoever did is dead."""
    held = tx.find(Lease, lease)
    now = tx.now()
    if held is None or held.state is not LeaseState.ENDING:
        return None
    if held.claimed_until is not None and now < held.claimed_until:
        return None
    until = now + services.limits.claim_for
    return tx.put(
        msgspec.structs.replace(held, claimed_until=until, due_at=until, attempts=held.attempts + 1)
    )


async def _attempt(services: Services, held: Lease) -> bool:
    port = connector(services, held.plan.target)
    credential = _kept(services, held)
    control = await _control(services, held, credential)
    if control is not None and held.probed != control.attempt:
        held = await services.store.transact(
            lambda tx: _note_control(tx, held, control), urgent=True
        )
    within = services.limits.step_within
    if held.plan.kind is LeaseKind.CHECKED_OUT:
        removal = await check_in(services, held, credential, within=within)
    else:
        removal = await remove(port, held.plan, held.baseline, credential, within=within)
    if removal.dead:
        await services.store.transact(lambda tx: _bury(tx, held, removal), urgent=True)
        return True
    await _retry_later(services, held, removal.rung, removal.error, _findings(held, removal))
    return False


def _kept(services: Services, held: Lease) -> Credential | None:
    """The credential that was kept for the attempt; None when it was erased or never was."""
    if not held.probe:
        return None
    try:
        return msgspec.json.decode(
            services.vault.open(base64.b64decode(held.probe)), type=Credential
        )
    except (UnavailableError, msgspec.MsgspecError, ValueError):
        return None  # revocation goes on without the attempt; the evidence says "not tried"


async def _control(
    services: Services, held: Lease, credential: Credential | None
) -> ProbeResult | None:
    """Step 2: once, and never longer than the limit (I5)."""
    if credential is None or held.probed in (Attempt.ACCEPTED, Attempt.REFUSED):
        return None
    port = connector(services, held.plan.target)
    limit = services.limits.probe_within.total_seconds()
    try:
        async with asyncio.timeout(limit):
            return await port.probe(held.plan, credential)
    except Exception:  # noqa: BLE001 -- the attempt is evidence; it never holds up disabling
        return ProbeResult(Attempt.UNKNOWN)


def _note_control(tx: Transaction, held: Lease, control: ProbeResult) -> Lease:
    found = tx.get(Lease, held.id)
    if found.state is not LeaseState.ENDING:
        return found  # another worker buried it meanwhile; its stream may be closed
    event = ev.LeaseProbed(lease=held.id, control=control.attempt, control_code=control.code)
    tx.append(activation_stream(held.activation), event)
    return tx.put(msgspec.structs.replace(found, probed=control.attempt))


def _bury(tx: Transaction, held: Lease, removal: Removal) -> Lease:
    """Step 8: ended, with the proof; the kept secret is erased."""
    found = tx.get(Lease, held.id)
    if found.state is not LeaseState.ENDING:
        return found
    now = tx.now()
    activation = row_of(tx, held)
    known = activation.findings if activation else ()
    residue = tuple(f for f in _findings(held, removal) if f not in known)
    event = ev.LeaseEnded(
        lease=held.id,
        target=held.plan.target,
        evidence=removal.evidence,
        control=found.probed or NOT_TRIED,
        code=removal.code,
        residue=residue,
    )
    tx.append(activation_stream(held.activation), event)
    if activation is not None:
        tx.put(activation.apply(event, now))
    if removal.generation:
        custody.settle(tx, held, removal.generation, release=True)
    return tx.put(found.buried(now, removal.evidence))


def _findings(held: Lease, removal: Removal) -> tuple[Finding, ...]:
    """What was left behind, cut so that it fits into one entry whatever the actor did."""
    lines = [f"{held.plan.target}: {r.kind} {r.name} {r.detail}" for r in removal.residue]
    if len(lines) > _RESIDUE_LISTED:
        lines[_RESIDUE_LISTED:] = [f"and {len(lines) - _RESIDUE_LISTED} more on {held.plan.target}"]
    return tuple(Finding(kind="residue", text=bounded(line, _RESIDUE_LENGTH)) for line in lines)


async def _retry_later(
    services: Services,
    held: Lease,
    rung: Rung,
    error: CallpointError,
    residue: tuple[Finding, ...] = (),
) -> None:
    """Not dead yet: due again soon, louder each time the number of attempts doubles (I6).

    What this attempt saw was left behind is evidence now: it may be gone at the next one.
    """

    def work(tx: Transaction) -> Lease:
        found = tx.get(Lease, held.id)
        if found.state is not LeaseState.ENDING:
            return found
        now = tx.now()
        late = found.plan.not_after + services.limits.probe_kept_for < now
        stuck = msgspec.structs.replace(
            found.due(now + backoff(services, found.attempts)),
            rung=rung,
            last_error=printable(error.message, _ERROR_LENGTH),
            is_silent=isinstance(error, TargetUnknownError),
            probe="" if late else found.probe,
        )
        if _is_power_of_two(found.attempts):
            tx.append(activation_stream(found.activation), _stuck(stuck, error))
        _raise_findings(tx, found, residue)
        return tx.put(stuck)

    stuck = await services.store.transact(work, urgent=True)
    if stuck.state is LeaseState.ENDING and _is_power_of_two(stuck.attempts):
        await announce_stuck(services, stuck, stuck.last_error)


def _raise_findings(tx: Transaction, held: Lease, residue: tuple[Finding, ...]) -> None:
    """Record what is new of it."""
    row = row_of(tx, held)
    activation = row
    for finding in residue:
        if activation is None or finding not in activation.findings:
            event = ev.FindingRaised(finding=finding, lease=held.id)
            tx.append(activation_stream(held.activation), event)
            activation = activation and activation.apply(event, tx.now())
    if activation is not None and activation != row:
        tx.put(activation)


def _stuck(lease: Lease, error: CallpointError) -> ev.LeaseStuck:
    return ev.LeaseStuck(
        lease=lease.id,
        target=lease.plan.target,
        attempts=lease.attempts,
        rung=lease.rung,
        error=lease.last_error,
        code=error.code if isinstance(error, TargetError) else "",
    )


def backoff(services: Services, attempts: int) -> timedelta:
    """Doubling, capped, with full jitter over the upper half; never a limit on attempts."""
    limits = services.limits
    factor: int = 1 << min(max(attempts - 1, 0), _DOUBLINGS)
    span = min(limits.backoff_base * factor, limits.backoff_cap)
    return span * (0.5 + services.random.fraction() / 2)


def _is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
