"""Questions for the PDP, built from stored facts only: never from what a caller claims."""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain.activation import Activation
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import (
    Action,
    ActivationFacts,
    Actor,
    DecisionRequest,
    IncidentFacts,
    Resource,
)
from callpoint.domain.eligibility import Eligibility, Opening, parse_opening
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.request import Request
from callpoint.ports.identity import Caller


class Moment(msgspec.Struct, frozen=True):
    """The incident and the store's clock, read together."""

    incident: Incident | None
    now: datetime


def actor(caller: Caller, configuration: Configuration) -> Actor:
    """The asking principal as policy sees it."""
    principal = caller.principal
    return Actor(
        principal=principal.id,
        kind=principal.kind,
        persons=principal.persons,
        groups=tuple(sorted(configuration.groups_of(principal))),
        acts_for=caller.acts_for,
        strength=caller.strength,
    )


def incident_facts(incident: Incident | None, now: datetime) -> IncidentFacts:
    """The incident as it counts now; *none* when we hold no such incident."""
    if incident is None:
        return IncidentFacts(state=IncidentState.NONE)
    return IncidentFacts(
        state=incident.state_at(now),
        ref=incident.id,
        severity=incident.severity,
        targets=incident.targets,
        age=incident.age_at(now),
        confirmed=bool(incident.confirmed_by) or not incident.declared_by,
    )


def activation_facts(
    request: Request,
    eligibility: Eligibility | None,
    configuration: Configuration,
    *,
    activation: Activation | None = None,
    quorum_met: bool = False,
    budget_left: int = 0,
    now: datetime,
) -> ActivationFacts:
    """The activation, or the one that is asked for, as policy sees it."""
    principal = configuration.principals.get(request.principal)
    rule = eligibility.incident if eligibility else None
    return ActivationFacts(
        id=request.activation,
        eligibility=request.eligibility,
        lane=request.lane,
        mode=request.mode,
        purpose=request.purpose,
        ttl=request.ttl,
        requester=request.principal,
        persons=request.persons,
        quorum_needed=request.quorum.total,
        quorum_met=quorum_met,
        age=max(now - request.requested_at, timedelta(0)),
        uses=activation.uses if activation else 0,
        budget_left=budget_left,
        eligible=principal is not None
        and eligibility is not None
        and configuration.is_among(principal, eligibility.who),
        allowed_severity=rule.severity if rule else (),
        must_name_target=rule.must_name_target if rule else False,
        remaining=activation.not_after - now if activation and activation.not_after else None,
    )


def questions(
    action: Action,
    who: Actor,
    request: Request,
    configuration: Configuration,
    *,
    incident: IncidentFacts,
    activation: ActivationFacts,
    at: datetime,
) -> tuple[DecisionRequest, ...]:
    """One question for each target role that the request opens: all must be allowed."""
    return tuple(
        DecisionRequest(
            actor=who,
            action=action,
            resource=_resource(parse_opening(text), configuration),
            at=at,
            incident=incident,
            activation=activation,
        )
        for text in request.opens
    )


def plain_question(
    action: Action, who: Actor, at: datetime, incident: IncidentFacts | None = None
) -> DecisionRequest:
    """A question about the installation itself."""
    return DecisionRequest(actor=who, action=action, resource=Resource(), at=at, incident=incident)


def _resource(opening: Opening, configuration: Configuration) -> Resource:
    target = configuration.targets.get(opening.target)
    return Resource(opening=opening, environment=target.environment if target else "")
