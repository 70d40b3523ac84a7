"""Step 4: fetch the sealed credential, as often as needed, until the lease ends.

Use is one atomic check on the store's clock (I4): state, expiry, incident, box; the event is under
a checkpoint before the box leaves (I2). The box opens only with the requester's one-time key.
"""

import hashlib
from datetime import datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.asked import Decided
from callpoint.domain.decision import Action
from callpoint.domain.errors import ConflictError, DeniedError, TamperError
from callpoint.domain.ids import activation_stream
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.ending import leases
from callpoint.lifecycle.facts import Moment
from callpoint.lifecycle.gate import enforce_on, moment_of
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.proof import must_agree
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.rules import must_be_in_force
from callpoint.lifecycle.services import Services, must_keep_time
from callpoint.ports.box import Box
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View


async def reveal(services: Services, caller: Caller, lease: str) -> Box:
    """Hand out the sealed box of a live lease to who asked for it.

    Raises:
        DeniedError: Another principal, or policy says no now.
        ConflictError: The lease or the activation is over, or the incident is not open.
        TamperError: The box is not the one that was issued.
        LogUnavailableError, ClockError: No evidence, no secret (I2); nor while expiry is unsure.
        UnavailableError: A kill waits to be merged (I13).
    """

    def read(view: View) -> tuple[Activation, Lease, Moment]:
        found, held = proven_use(view, services, lease)
        return found, held, moment_of(view, found)

    async with on_record(services, caller, Action.CREDENTIAL_REVEAL, lease):
        rules, (found, held, moment) = await services.rules.beside(read)
        if caller.principal.id != found.request.principal:
            raise DeniedError(f"only {found.request.principal} can fetch credentials of {found.id}")
        if held.plan.gateway:
            raise DeniedError(
                f"the credential of {found.id} for {held.plan.target} stays in the gateway"
                f" {held.plan.gateway}",
                way_out=f"connect through it: `callpoint connect {found.id}`",
            )
    must_be_live(found, held)
    must_not_be_over(found, moment.now)
    opened = f"{held.plan.target}:{held.plan.role}"
    asked = msgspec.structs.replace(
        found, request=msgspec.structs.replace(found.request, opens=(opened,))
    )
    decided = await enforce_on(
        services,
        caller,
        rules,
        Action.CREDENTIAL_REVEAL,
        asked,
        quorum_met=True,
        moment=moment,
    )

    def work(tx: Transaction) -> Box:
        must_be_able_to_take_away(services.node)
        must_be_in_force(tx, rules)
        must_keep_time(tx, services)
        return _hand_out(tx, caller, held, decided)

    return await services.store.transact(work)


async def reveal_all(services: Services, caller: Caller, activation: str) -> tuple[Box, ...]:
    """Hand out every box of an activation; each is a use of its own, on record.

    Raises:
        ConflictError: It has no live lease.
    """

    def read(view: View) -> tuple[Activation, tuple[Lease, ...]]:
        return view.get(Activation, activation), leases(view, activation)

    found, held = await services.store.read(read)
    live = [lease for lease in held if lease.state is LeaseState.LIVE]
    if not live:
        raise ConflictError(
            f"activation {found.id} is {found.state} and has no live credential",
            way_out="see `callpoint status` for what happens next",
        )
    # What stays in a gateway is left out beside others; alone it is refused, with the way out.
    direct = [lease for lease in live if not lease.plan.gateway] or live[:1]
    return tuple([await reveal(services, caller, lease.id) for lease in direct])


def proven_use(view: View, services: Services, lease: str) -> tuple[Activation, Lease]:
    """The rows, as the log tells them, and the box as the log says it was issued."""
    held = view.get(Lease, lease)
    found = view.get(Activation, held.activation)
    if not _is_live(found, held):
        return found, held  # rows that say no need no proof
    stream = activation_stream(found.id)
    events = services.log.proven(view, services.installation, [stream])[stream]
    must_agree(found, events)
    plans = [
        plan
        for item in events
        if isinstance(item.event, ev.ActivationActivated)
        for plan in item.event.plans
    ]
    if held.plan not in plans:
        raise TamperError(f"the plan of {lease} in the database is not the one in the log")
    issued = {
        item.event.box_sha256
        for item in events
        if isinstance(item.event, ev.LeaseIssued) and item.event.lease == lease
    }
    digest = hashlib.sha256(held.box.encode()).hexdigest()
    if digest not in issued:
        raise TamperError(f"the box of {lease} is not the one that the log says was issued")
    return found, held


def _is_live(found: Activation, held: Lease) -> bool:
    return found.state is ActivationState.ACTIVE and held.state is LeaseState.LIVE


def must_be_live(found: Activation, held: Lease) -> None:
    """Neither is over. Raises ConflictError."""
    if not _is_live(found, held):
        why = f" ({found.end_reason})" if found.end_reason else ""
        raise ConflictError(
            f"the credential of {found.id} is over: activation {found.state}{why},"
            f" lease {held.state}",
            way_out="a further use needs a new, newly approved activation",
        )


def must_not_be_over(found: Activation, now: datetime) -> None:
    """Whatever its state says: by the clock it has not expired. Raises ConflictError."""
    if found.not_after is None or now >= found.not_after:
        raise ConflictError(f"activation {found.id} expired at {found.not_after}")


def must_be_justified(view: View, found: Activation) -> None:
    """Its incident is open still. Raises ConflictError."""
    must_be_open(view.find(Incident, found.request.incident), view.now())


def must_be_open(incident: Incident | None, now: datetime) -> None:
    """The incident, if there is one, justifies something now. Raises ConflictError."""
    if incident is not None and incident.state_at(now) is not IncidentState.OPEN:
        raise ConflictError(f"incident {incident.id} is {incident.state_at(now)}")


def _hand_out(tx: Transaction, caller: Caller, seen: Lease, decided: Decided) -> Box:
    held, found, now = tx.get(Lease, seen.id), tx.get(Activation, seen.activation), tx.now()
    must_be_live(found, held)
    if held.box != seen.box:
        raise ConflictError(f"lease {held.id} moved meanwhile")
    must_not_be_over(found, now)
    must_be_justified(tx, found)
    (decision,) = decided.decisions
    event = ev.CredentialRevealed(
        actor=caller.principal.id, lease=held.id, decision=decision, asked=decided.asked
    )
    tx.append(activation_stream(found.id), event)
    tx.put(found.apply(event, now))
    return Box(lease=held.id, target=held.plan.target, role=held.plan.role, box=held.box)
