"""From what an enforcement point asks to what policy is asked, by stored facts alone.

The asker's words only name things: a configured principal, a target role, an activation, an
incident. Whatever they claim beside that (``properties``, other members of ``context``) has no
effect. What the life cycle itself would refuse now is refused here, before policy is asked, by the
same functions: a yes means that the step would not be turned away at this moment.
"""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action, DecisionRequest
from callpoint.domain.eligibility import Opening, parse_opening
from callpoint.domain.errors import ConflictError, DeniedError, NotFoundError, RequestError
from callpoint.domain.evaluation import Entity, Evaluation
from callpoint.domain.ids import parse_activation
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.untrusted import printable
from callpoint.lifecycle import (
    approval_reference,
    approve,
    facts,
    gate,
    incidents,
    issue,
    request,
    review,
    use,
    votes,
)
from callpoint.lifecycle.ending import leases
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services, must_keep_time
from callpoint.ports.identity import Caller
from callpoint.ports.stores import View

ACTIVATION, INCIDENT, INSTALLATION, TARGET_ROLE = (
    "activation",
    "incident",
    "installation",
    "target_role",
)
RESOURCES = (ACTIVATION, INCIDENT, INSTALLATION, TARGET_ROLE)
"""Types of resource that can be asked about."""

_SHOWN = 80
_INCIDENT_LIMIT = 128
_MOMENT = timedelta(microseconds=1)


class Inquiry(msgspec.Struct, frozen=True):
    """What policy is asked, and the rows that it was made from.

    Attributes:
        questions: All must be allowed; never empty.
        activation: As it was read; None where none is concerned.
        incident: Likewise.
        leases: Likewise; only where a credential is concerned.
        until: The last moment of these facts: then they are other ones, whatever the rows say.
    """

    questions: tuple[DecisionRequest, ...]
    activation: Activation | None = None
    incident: Incident | None = None
    leases: tuple[Lease, ...] = ()
    until: datetime | None = None

    def must_hold(self, view: View) -> None:
        """What it was made from has not moved.

        Raises:
            ConflictError: It has; make it again.
        """
        is_over = self.until is not None and view.now() > self.until
        seen = [row for row in (self.activation, self.incident, *self.leases) if row is not None]
        stored = view.versions([(type(row), row.key()) for row in seen])
        if is_over or stored != tuple(row.version for row in seen):
            raise ConflictError("what was asked about moved meanwhile", way_out="ask again")


class Desk:
    """Makes inquiries for one asker, in one view.

    Args:
        is_trusted: The asker may ask about everybody. Who may not learns of an activation only
            what it may view.
    """

    def __init__(
        self, view: View, services: Services, rules: Rules, asker: Caller, *, is_trusted: bool
    ) -> None:
        self._view = view
        self._services = services
        self._rules = rules
        self._asker = asker
        self._is_trusted = is_trusted

    def inquire(self, asked: Evaluation) -> Inquiry:
        """What policy is to be asked.

        Raises:
            NotFoundError: A name is unknown, or not one that the asker may know of.
            DeniedError, ConflictError, RequestError, UnavailableError: The life cycle would refuse
                it now.
            TamperError: What is stored does not agree with the log.
        """
        who = self._subject(asked.subject)
        action = _action(asked.action.name)
        match action:
            case Action.LOG_READ | Action.INCIDENT_DECLARE | Action.DECISION_EVALUATE:
                self._must_be_installation(action, asked.resource)
                return self._plain(action, who)
            case Action.INCIDENT_CONFIRM:
                return self._confirm(who, asked.resource)
            case Action.ACTIVATION_REQUEST:
                return self._request(who, asked)
            case Action.SESSION_ACT | Action.SESSION_RESUME:
                raise RequestError(
                    f"{action} is decided inside a session, when it is done",
                    way_out="ask about credential:reveal to learn whether a session can begin",
                )
            case (
                Action.ACTIVATION_APPROVE
                | Action.ACTIVATION_ISSUE
                | Action.ACTIVATION_VIEW
                | Action.CREDENTIAL_REVEAL
                | Action.REVIEW_RECORD
            ):
                return self._on_activation(action, who, asked)

    @property
    def _configuration(self) -> Configuration:
        return self._rules.configuration

    def _subject(self, subject: Entity) -> Caller:
        """The configured principal. How it authenticated is known of the asker alone."""
        own = self._asker.principal
        if (subject.type, subject.id) == (own.kind, own.id):
            return self._asker
        if subject.type not in set(PrincipalKind):
            raise NotFoundError(
                f"no subject is of type {_quoted(subject.type)}",
                way_out=f"ask about: {', '.join(PrincipalKind)}",
            )
        principal = self._configuration.principals.get(subject.id)
        if principal is None or principal.kind != subject.type:
            raise NotFoundError(f"no {subject.type} is called {_quoted(subject.id)}")
        return Caller(principal, key_id="")

    def _must_be_installation(self, action: Action, resource: Entity) -> None:
        _must_be(action, resource, INSTALLATION)
        if resource.id != self._services.installation.id:
            raise NotFoundError(f"this is not installation {_quoted(resource.id)}")

    def _plain(self, action: Action, who: Caller, incident: Incident | None = None) -> Inquiry:
        now = self._view.now()
        about = facts.incident_facts(incident, now) if incident else None
        actor = facts.actor(who, self._configuration)
        question = facts.plain_question(action, actor, now, about)
        return Inquiry((question,), incident=incident)

    def _confirm(self, who: Caller, resource: Entity) -> Inquiry:
        _must_be(Action.INCIDENT_CONFIRM, resource, INCIDENT)
        found = self._incident(resource.id)
        if found.state is not IncidentState.DECLARED:
            raise ConflictError(f"incident {found.id} is {found.state}: nothing to confirm")
        incidents.must_be_another(who, found)
        return self._plain(Action.INCIDENT_CONFIRM, who, found)

    def _incident(self, name: str) -> Incident:
        # A store need not be able to look for every character (PostgreSQL: not for NUL).
        is_name = name.isprintable() and len(name) <= _INCIDENT_LIMIT
        found = self._view.find(Incident, name.lower()) if is_name else None
        if found is None:
            raise NotFoundError(f"there is no incident {_quoted(name)}")
        return found

    def _request(self, who: Caller, asked: Evaluation) -> Inquiry:
        """A request that nobody has made: for its longest time, and its first purpose."""
        opening = self._opening(Action.ACTIVATION_REQUEST, asked.resource)
        eligibility = _named(asked, "eligibility")
        if not eligibility:
            raise NotFoundError(
                "the context names no eligibility", way_out="say under which one it is asked for"
            )
        name = _named(asked, INCIDENT)
        incident = self._incident(name) if name else None
        questions = request.supposed(
            self._view,
            self._services,
            self._rules,
            who,
            eligibility=eligibility,
            incident=incident.id if incident else "",
            opens=(str(opening),),
        )
        request.must_be_justified(
            self._configuration.eligibility(eligibility), name, incident, self._view.now()
        )
        return Inquiry(questions, incident=incident, until=self._fresh_until(incident))

    def _fresh_until(self, incident: Incident | None) -> datetime | None:
        """When its state will read as unknown; None if it does already, or never will."""
        end = incident.fresh_until if incident else None
        return end if end is not None and end >= self._view.now() else None

    def _opening(self, action: Action, resource: Entity) -> Opening:
        _must_be(action, resource, TARGET_ROLE)
        try:
            opening = parse_opening(resource.id)
        except ValueError as error:
            raise NotFoundError(f"{_quoted(resource.id)} is not target:role") from error
        if not self._configuration.has_opening(opening):
            raise NotFoundError(f"no target role is called {_quoted(resource.id)}")
        return opening

    def _on_activation(self, action: Action, who: Caller, asked: Evaluation) -> Inquiry:
        found = self._activation(asked)
        incident = self._view.find(Incident, found.request.incident)
        opens = self._opens(found, asked)
        held = self._held(found, opens) if action is Action.CREDENTIAL_REVEAL else ()
        until = self._must_be_possible(action, who, found, incident, held)
        narrowed = msgspec.structs.replace(
            found, request=msgspec.structs.replace(found.request, opens=opens)
        )
        questions = gate.questions(
            who,
            self._rules,
            action,
            narrowed,
            facts.Moment(incident=incident, now=self._view.now()),
            # Both steps need the votes counted; what was not raised until here is that.
            quorum_met=action in (Action.ACTIVATION_ISSUE, Action.CREDENTIAL_REVEAL),
        )
        return Inquiry(questions, found, incident, held, until)

    def _activation(self, asked: Evaluation) -> Activation:
        """The one that is the resource, or that the context names, itself or as an approval."""
        if approval_reference.is_presented(asked):
            return self._approved(asked)
        is_resource = asked.resource.type == ACTIVATION
        name = asked.resource.id if is_resource else _named(asked, ACTIVATION)
        if not name:
            raise NotFoundError(
                f"{_quoted(asked.action.name)} is about an activation, and none is named",
                way_out="name it as the resource, or in the context of a target role",
            )
        found = self._view.find(Activation, name) if _is_id(name) else None
        if found is None or not self._may_know(found):
            raise NotFoundError(f"there is no activation {_quoted(name)}")
        return found

    def _approved(self, asked: Evaluation) -> Activation:
        """The one that the approval is of, if that applies to this question now."""
        name = approval_reference.named_approval(asked)
        found = self._view.find(Activation, name) if _is_id(name) else None
        if found is None or not self._may_know(found):
            raise approval_reference.unverifiable(f"there is no approval {_quoted(name)}")
        approval_reference.must_apply(self._view, found, asked)
        return found

    def _may_know(self, found: Activation) -> bool:
        return self._is_trusted or gate.may_view(
            self._view, self._services, self._asker, self._rules, found
        )

    def _opens(self, found: Activation, asked: Evaluation) -> tuple[str, ...]:
        if asked.resource.type == ACTIVATION:
            return found.request.opens
        opening = str(self._opening(Action(asked.action.name), asked.resource))
        if opening not in found.request.opens:
            raise DeniedError(f"activation {found.id} does not open {opening}")
        return (opening,)

    def _held(self, found: Activation, opens: tuple[str, ...]) -> tuple[Lease, ...]:
        """The live lease of each of these target roles."""
        live = {
            f"{lease.plan.target}:{lease.plan.role}": lease
            for lease in leases(self._view, found.id)
            if lease.state is LeaseState.LIVE
        }
        if lacking := [text for text in opens if text not in live]:
            raise ConflictError(f"activation {found.id} has no live credential for {lacking[0]}")
        return tuple(live[text] for text in opens)

    def _must_be_possible(
        self,
        action: Action,
        who: Caller,
        found: Activation,
        incident: Incident | None,
        held: tuple[Lease, ...],
    ) -> datetime | None:
        """The life cycle's own rules of the step; returns until when they hold untouched."""
        fresh = self._fresh_until(incident)
        match action:
            case Action.ACTIVATION_APPROVE:
                person = votes.must_be_person(who.principal)
                approve.must_be_open(found, self._view.now())
                approve.must_count(self._rules, found)
                approve.must_be_eligible(found, incident, self._configuration, person)
                return _first(found.lapse_at(), fresh)
            case Action.ACTIVATION_ISSUE:
                self._must_be_issuable(who, found)
                return _first(found.lapse_at(), fresh)
            case Action.CREDENTIAL_REVEAL:
                self._must_be_revealable(who, found, held)
                return _first(found.not_after - _MOMENT if found.not_after else None, fresh)
            case Action.REVIEW_RECORD:
                review.must_be_independent(who, found, self._rules)
                return None
            case _:
                # To be looked at, an activation need be in no particular state.
                return fresh

    def _must_be_issuable(self, who: Caller, found: Activation) -> None:
        """As at ``issue.issue``, but that no target is asked whether it answers."""
        view, services = self._view, self._services
        case = issue.Case(activation=found, incident=None)  # a row that says no needs no proof
        if found.state is ActivationState.APPROVED:
            case = issue.proven_case(view, services, found)
        issue.must_be_due(services, who, case, self._rules)
        issue.must_be_givable(view, services, self._rules, found)

    def _must_be_revealable(self, who: Caller, found: Activation, held: tuple[Lease, ...]) -> None:
        """As at ``use.reveal``, for each of the leases."""
        view, services = self._view, self._services
        if who.principal.id != found.request.principal:
            raise DeniedError(f"only {found.request.principal} can fetch credentials of {found.id}")
        must_be_able_to_take_away(services.node)
        must_keep_time(view, services)
        for lease in held:
            use.must_be_live(*use.proven_use(view, services, lease.id))
        use.must_not_be_over(found, view.now())
        use.must_be_justified(view, found)


def _action(name: str) -> Action:
    try:
        return Action(name)
    except ValueError as error:
        raise NotFoundError(
            f"no action is called {_quoted(name)}", way_out=f"ask about: {', '.join(Action)}"
        ) from error


def _must_be(action: Action, resource: Entity, kind: str) -> None:
    if resource.type != kind:
        raise NotFoundError(f"{action} is not about a resource of type {_quoted(resource.type)}")


def _named(asked: Evaluation, member: str) -> str:
    """What the context names there; empty when it does not."""
    named = asked.context.get(member, "")
    if not isinstance(named, str):
        raise NotFoundError(f"context.{member} is not a string")
    return named


def _is_id(name: str) -> bool:
    try:
        parse_activation(name)
    except RequestError:
        return False
    return True


def _first(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _quoted(text: str) -> str:
    return repr(printable(text, _SHOWN))
