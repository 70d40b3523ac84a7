"""Step 3: one dedicated credential for each target role, and never a row that is trusted (I1, I9).

1. Prove request, votes and incident from the log; the rows must agree with it.
2. Count the quorum again, under the configuration in force.
3. Ask the PDP; check clocks, residual access, and that enough witnesses have seen the log.
4. Write the intent: ``not_after``, handles, frozen undo plans, under a checkpoint (I1).
5., 6. Make it, and write ``live``: ``mint``.
"""

from datetime import datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.asked import Decided
from callpoint.domain.decision import Action
from callpoint.domain.eligibility import parse_opening
from callpoint.domain.errors import (
    ClockError,
    ConflictError,
    DeniedError,
    TamperError,
)
from callpoint.domain.ids import activation_stream, handle, incident_stream
from callpoint.domain.incident import Incident, fold_incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease
from callpoint.domain.undo_plan import UndoPlan
from callpoint.lifecycle import budget, custody
from callpoint.lifecycle.announce import announce, standing
from callpoint.lifecycle.epoch import must_know
from callpoint.lifecycle.facts import Moment
from callpoint.lifecycle.fit import must_fit
from callpoint.lifecycle.gate import enforce_on, moment_of
from callpoint.lifecycle.mint import Planned, mint_all
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.proof import must_agree
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.residual import connector, must_be_accepted
from callpoint.lifecycle.rules import Rules, must_be_in_force
from callpoint.lifecycle.seen_by import must_be_witnessed
from callpoint.lifecycle.services import Services, must_keep_time, must_share_time
from callpoint.lifecycle.votes import verify_vote
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View
from callpoint.ports.targets import MintRequest, Residual


class Case(msgspec.Struct, frozen=True):
    """An activation and its incident, as the log proves them and the rows repeat."""

    activation: Activation
    incident: Incident | None


async def issue(services: Services, caller: Caller, activation: str) -> Activation:
    """Turn an approved activation into live credentials.

    Returns:
        The active activation; its credentials are fetched with ``use.reveal``.

    Raises:
        DeniedError: Not the requester, quorum not met any more, or policy says no now.
        ConflictError: Not approved, lapsed, incident closed, or configuration changed since.
        TamperError: A row, a vote or an entry was changed by hand.
        LogUnavailableError, ClockError: No issue now (I2, I4).
        UnavailableError: A kill waits to be merged, or this could not be killed without the store.
        TargetError: A target failed; what may exist there is being revoked.
    """
    must_be_able_to_take_away(services.node)
    async with on_record(services, caller, Action.ACTIVATION_ISSUE, activation):
        rules, (case, moment) = await services.rules.beside(
            lambda view: _prove(view, services, activation)
        )
        must_be_due(services, caller, case, rules)
    decided = await enforce_on(
        services,
        caller,
        rules,
        Action.ACTIVATION_ISSUE,
        case.activation,
        quorum_met=True,
        moment=moment,
    )
    async with on_record(services, caller, Action.ACTIVATION_ISSUE, activation):
        residuals = await _check_targets(services, rules, case.activation)

    def work(tx: Transaction) -> tuple[Activation, tuple[Planned, ...]]:
        _must_still_be_due(tx, services, rules, case)
        return _intend(tx, services, rules, case.activation, decided)

    active, planned = await services.store.transact(work)
    made = await mint_all(services, active, planned, residuals)
    await announce(
        services,
        made,
        "activation:activated",
        f"{activation} is active until {made.not_after:%Y-%m-%d %H:%M:%S} UTC",
    )
    return made


def _prove(view: View, services: Services, activation: str) -> tuple[Case, Moment]:
    """Step 1: the rows say what the log says."""
    row = view.get(Activation, activation)
    moment = moment_of(view, row)
    if row.state is not ActivationState.APPROVED:
        return Case(activation=row, incident=None), moment  # a row that says no needs no proof
    return proven_case(view, services, row), moment


def proven_case(view: View, services: Services, row: Activation) -> Case:
    """The row and its incident, which are exactly what the log says; else TamperError."""
    stream, other = activation_stream(row.id), incident_stream(row.request.incident)
    events = services.log.proven(view, services.installation, [stream, other])
    must_agree(row, events[stream])
    incident = view.find(Incident, row.request.incident)
    if incident is not None:
        logged = fold_incident((item.event, item.at) for item in events[other])
        if msgspec.structs.replace(incident, version=0) != logged:
            raise TamperError(f"incident {incident.id} in the database is not the one in the log")
    return Case(activation=row, incident=incident)


def must_be_due(services: Services, caller: Caller, case: Case, rules: Rules) -> None:
    """Step 2: approved, by enough distinct persons, under the very rules that are in force."""
    found = case.activation
    request = found.request
    if caller.principal.id != request.principal:
        raise DeniedError(f"only {request.principal} can take up activation {found.id}")
    if found.state is not ActivationState.APPROVED:
        raise ConflictError(f"activation {found.id} is {found.state}, not approved")
    if not rules.covers(request):
        raise ConflictError(
            "the configuration changed after this request, so its votes no longer count",
            way_out="ask again with `callpoint request`",
        )
    must_fit(request, rules.configuration)
    for approval in found.approvals:
        verify_vote(found, approval, rules.configuration, services.verifier)
    tally = standing(found, case.incident, rules.configuration)
    if not tally.met:
        raise DeniedError(
            f"the quorum of {found.id} is not met under the configuration in force",
            way_out="ask one of: " + ", ".join(tally.can_still_approve),
        )


async def _check_targets(
    services: Services, rules: Rules, found: Activation
) -> dict[str, Residual]:
    """Step 3: each target answers, keeps our time (I4), and bounds what we cannot (I3).

    Returns:
        What was seen to bound each of them: the lease's event says what it was issued on.
    """
    await must_share_time(services)
    eligibility = rules.configuration.eligibility(found.request.eligibility)
    residuals: dict[str, Residual] = {}
    for target in sorted({parse_opening(text).target for text in found.request.opens}):
        port = connector(services, target)
        skew = await port.skew()
        if abs(skew) > services.limits.skew:
            raise ClockError(
                f"the clock of {target} is off by {skew.total_seconds():+.1f} s",
                way_out="set its clock (NTP); nothing is issued while expiry there is not exact",
            )
        residuals[target] = await port.residual()
        must_be_accepted(eligibility, target, residuals[target])
    return residuals


def _must_still_be_due(tx: Transaction, services: Services, rules: Rules, case: Case) -> None:
    """Step 4, first half: one atomic check on the store's clock (I4)."""
    found = tx.get(Activation, case.activation.id)
    if found != case.activation:
        raise ConflictError(f"activation {found.id} moved meanwhile")
    must_be_givable(tx, services, rules, found)


def must_be_givable(view: View, services: Services, rules: Rules, found: Activation) -> None:
    """Nothing but time and other activations stands in the way of what was found to be due."""
    must_be_able_to_take_away(services.node)
    must_keep_time(view, services)
    must_be_in_force(view, rules)
    must_be_witnessed(view, services.installation, rules.configuration.watched)
    if view.now() > found.lapse_at():
        raise ConflictError(f"activation {found.id} lapsed", way_out="ask again")
    must_have_incident(view, found)
    must_know(view, {parse_opening(text).target for text in found.request.opens})
    eligibility = rules.configuration.eligibility(found.request.eligibility)
    budget.must_not_be_spent(view, eligibility, found.request)


def _intend(
    tx: Transaction,
    services: Services,
    rules: Rules,
    found: Activation,
    decided: Decided,
) -> tuple[Activation, tuple[Planned, ...]]:
    """Step 4, second half: the intent, before any call to a target (I1).

    Raises:
        ConflictError: Somebody else has an account checked out (I12).
    """
    now = tx.now()
    not_after = now + found.request.ttl
    plans = tuple(
        _plan(services, rules, found, n, text, not_after)
        for n, text in enumerate(found.request.opens)
    )
    event = ev.ActivationActivated(
        actor=found.request.principal,
        not_after=not_after,
        plans=plans,
        decisions=decided.decisions,
        asked=decided.asked,
    )
    tx.append(activation_stream(found.id), event)
    planned = [
        tx.put(
            Lease(
                id=plan.handle,
                activation=found.id,
                principal=found.request.principal,
                plan=plan,
                due_at=now + services.limits.issue_within,
            )
        )
        for plan in plans
    ]
    taken = tuple(Planned(lease, custody.take(tx, services, lease)) for lease in planned)
    return tx.put(found.apply(event, now)), taken


def must_have_incident(view: View, found: Activation) -> None:
    """The incident still justifies it, by the store's clock."""
    incident = view.find(Incident, found.request.incident)
    state = incident.state_at(view.now()) if incident else IncidentState.NONE
    if found.request.incident and state is not IncidentState.OPEN:
        raise ConflictError(
            f"incident {found.request.incident} is {state}",
            way_out="an activation needs an open incident",
        )


def _plan(
    services: Services,
    rules: Rules,
    found: Activation,
    n: int,
    text: str,
    not_after: datetime,
) -> UndoPlan:
    opening = parse_opening(text)
    request = found.request
    plan = connector(services, opening.target).plan(
        MintRequest(
            handle=handle(request.installation, found.id, n),
            target=opening.target,
            role=opening.role,
            not_after=not_after,
            sources=request.sources,
        )
    )
    target = rules.configuration.target(opening.target)
    privilege = next(role.privilege for role in target.roles if role.id == opening.role)
    return msgspec.structs.replace(plan, privilege=privilege, gateway=target.behind)
