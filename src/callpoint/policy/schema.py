"""The vocabulary of policies: entity types, actions and the context of each action.

Everything is stated once, in the tables below; the Cedar schema, the context of a request and the
tables in ``docs/policy.md`` come from it. Three choices, for speed and for safety:

* Activation and incident are *context*, not entities: entities are parsed once per configuration.
* Spans and moments are whole seconds (``Long``): exact, and a fifth faster than Cedar's datetime.
* No context attribute is optional. An absent incident has state ``none``, an absent severity is
  the empty string: a policy cannot fail on something that is missing, and needs no ``has``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import cedarpy

from callpoint.domain.decision import (
    Action,
    ActivationFacts,
    Actor,
    DecisionRequest,
    IncidentFacts,
)
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.operation import DESTRUCTIVE, VERBS, Impact, Operation
from callpoint.domain.principal import PrincipalKind

INSTALLATION = "callpoint"
"""Id of the only entity of type ``Installation``."""

OPENING = "opening"
"""Action group of everything on the way to a credential, and of its use through a gateway."""

USING = "using"
"""Action group of everything that is done through a gateway; inside ``OPENING``."""

Value: TypeAlias = "str | int | bool | list[str]"
Facts: TypeAlias = dict[str, Value]

PRINCIPAL_TYPES = {
    PrincipalKind.HUMAN: "Human",
    PrincipalKind.WORKLOAD: "Workload",
    PrincipalKind.AGENT: "Agent",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute that a policy can read: its name, its Cedar type, and what it says."""

    name: str
    type: str
    meaning: str


_NAMED = Attribute("name", "String", "the configured name, equal to the entity's id")
_PERSONS = Attribute(
    "persons",
    "Set<String>",
    "person ids: who it is (human) or who answers for it (workload, agent)",
)

ENTITIES: dict[str, tuple[str, tuple[Attribute, ...]]] = {
    "Group": ("", ()),
    "Human": ("Group", (_NAMED, _PERSONS)),
    "Workload": ("Group", (_NAMED, _PERSONS)),
    "Agent": ("Group", (_NAMED, _PERSONS)),
    "Target": (
        "",
        (
            Attribute("environment", "String", "as configured, for instance `production`"),
            Attribute("connector", "String", "as configured, for instance `postgresql`"),
        ),
    ),
    "TargetRole": (
        "Target",
        (
            Attribute("target", "String", "the target's name"),
            Attribute("role", "String", "the role's name"),
            Attribute("environment", "String", "its target's environment"),
        ),
    ),
    "Installation": (
        "",
        (
            Attribute("security", "Set<Group>", "the groups that governance calls security"),
            Attribute("governors", "Set<String>", "person ids of the governors"),
        ),
    ),
}
"""Entity type → (the type that its parents have, its attributes)."""

ACTOR = (
    Attribute("strength", "String", "how it authenticated, for instance `key`"),
    Attribute("acts_for", "Set<String>", "principals that it acts for; empty when for itself"),
)
INCIDENT = (
    Attribute(
        "state",
        "String",
        "`declared`, `open`, `resolved`, `unknown` (its feed is silent) or `none`",
    ),
    Attribute("ref", "String", "its id, for instance `INC-7`; empty when there is none"),
    Attribute("severity", "String", "`sev1` (worst) to `sev4`; empty when not known"),
    Attribute("targets", "Set<String>", "names of the targets that it names"),
    Attribute("age", "Long", "seconds since it was opened"),
    Attribute("confirmed", "Bool", "a second person, or a source, confirmed it"),
)
ACTIVATION = (
    Attribute("id", "String", "the activation's id"),
    Attribute("eligibility", "String", "name of the eligibility"),
    Attribute("lane", "String", "`break-glass` or `elevation`"),
    Attribute("mode", "String", "`human`, `assisted` or `automated`"),
    Attribute("purpose", "String", "`recover`, `investigate`, `contain`, `rotate` or `drill`"),
    Attribute("ttl", "Long", "seconds that are asked for"),
    Attribute("requester", "String", "name of the principal that asked"),
    Attribute("persons", "Set<String>", "person ids behind the requester"),
    Attribute("quorum_needed", "Long", "how many distinct persons must approve"),
    Attribute("quorum_met", "Bool", "they did, counted from signed votes"),
    Attribute("age", "Long", "seconds since it was asked for"),
    Attribute("uses", "Long", "how often a credential was revealed"),
    Attribute("budget_left", "Long", "incidents left in the eligibility's budget"),
    Attribute("eligible", "Bool", "the eligibility's `who` covers the requester now"),
    Attribute("allowed_severity", "Set<String>", "severities that the eligibility accepts"),
    Attribute("must_name_target", "Bool", "the incident must name the target"),
    Attribute("remaining", "Long", "seconds until it ends; 0 or less once it has"),
)
OPERATION = (
    Attribute("object", "String", "what it is done to, for instance `public.items`"),
    Attribute("destructive", "Bool", "something is gone after it: delete, truncate, drop, alter"),
)
RECORDS = {
    "Actor": ACTOR,
    "Incident": INCIDENT,
    "Activation": ACTIVATION,
    "Operation": OPERATION,
}

_ROLE = ("TargetRole",)
_WHOLE = ("Installation",)


@dataclass(frozen=True, slots=True)
class ActionRule:
    """What an action can be asked about, and which records its context has besides the actor.

    Attributes:
        groups: Every action group that it is in.
    """

    resources: tuple[str, ...]
    records: tuple[str, ...]
    groups: tuple[str, ...] = ()

    @property
    def opening(self) -> bool:
        """Whether it is on the way to access, or a use of it."""
        return OPENING in self.groups


_USED = ("incident", "activation", "operation")

OPERATIONS: dict[str, ActionRule] = {
    verb: ActionRule(_ROLE, _USED, (impact, USING, OPENING)) for verb, impact in VERBS.items()
}
"""What is done through a gateway: an action for each verb."""

ACTIONS: dict[str, ActionRule] = {
    Action.ACTIVATION_APPROVE: ActionRule(_ROLE, ("incident", "activation"), (OPENING,)),
    Action.ACTIVATION_ISSUE: ActionRule(_ROLE, ("incident", "activation"), (OPENING,)),
    Action.ACTIVATION_REQUEST: ActionRule(_ROLE, ("incident", "activation"), (OPENING,)),
    Action.ACTIVATION_VIEW: ActionRule(_ROLE + _WHOLE, ("incident", "activation")),
    Action.CREDENTIAL_REVEAL: ActionRule(_ROLE, ("incident", "activation"), (OPENING,)),
    Action.DECISION_EVALUATE: ActionRule(_WHOLE, ()),
    Action.INCIDENT_CONFIRM: ActionRule(_WHOLE, ("incident",)),
    Action.INCIDENT_DECLARE: ActionRule(_WHOLE, ("incident",)),
    Action.LOG_READ: ActionRule(_WHOLE, ()),
    Action.REVIEW_RECORD: ActionRule(_ROLE + _WHOLE, ("incident", "activation")),
    Action.SESSION_RESUME: ActionRule(_ROLE, ("incident", "activation")),
    **OPERATIONS,
}


def text() -> str:
    """The Cedar schema in Cedar's own syntax."""
    parts = [_entity(name, parent, attrs) for name, (parent, attrs) in ENTITIES.items()]
    parts += [f"type {name} = {_record(attrs)};" for name, attrs in RECORDS.items()]
    parts.append(f'action "{OPENING}";')
    parts.append(f'action "{USING}" in [Action::"{OPENING}"];')
    parts += [f'action "{impact}" in [Action::"{USING}"];' for impact in Impact]
    parts += [_action(action, rule) for action, rule in ACTIONS.items()]
    return "\n".join(parts) + "\n"


def parsed() -> cedarpy.Schema:
    """The schema as a handle, which costs about two milliseconds: make it once."""
    return cedarpy.Schema.from_str(text())


def context(request: DecisionRequest) -> dict[str, Facts | int]:
    """The Cedar context of a request.

    Raises:
        ValueError: The action needs the activation's facts and the request has none, or it has
            facts that the action knows nothing of; or there is no such verb.
    """
    rule = _rule(request)
    if request.incident is not None and "incident" not in rule.records:
        raise ValueError(f"{request.action} is not about an incident, but one was given")
    if (request.activation is None) is ("activation" in rule.records):
        if request.activation is None:
            raise ValueError(f"{request.action} is about an activation, and none was given")
        raise ValueError(f"{request.action} is not about an activation, but one was given")
    found: dict[str, Facts | int] = {"at": _moment(request.at), "actor": _actor(request.actor)}
    if "incident" in rule.records:
        found["incident"] = _incident(request.incident or IncidentFacts(state=IncidentState.NONE))
    if request.activation is not None:
        found["activation"] = _activation(request.activation)
    if request.operation is not None:
        found["operation"] = _operation(request.operation)
    return found


def _rule(request: DecisionRequest) -> ActionRule:
    if (request.operation is not None) is not (request.action is Action.SESSION_ACT):
        raise ValueError(f"{request.action} with or without an operation is no question")
    rule = ACTIONS.get(request.verb)
    if rule is None or (request.operation is not None and request.verb not in OPERATIONS):
        raise ValueError(f"there is no verb {request.verb!r}")
    return rule


def _entity(name: str, parent: str, attributes: Iterable[Attribute]) -> str:
    inside = f" in [{parent}]" if parent else ""
    return f"entity {name}{inside} = {_record(attributes)};"


def _record(attributes: Iterable[Attribute]) -> str:
    return "{ " + ", ".join(f"{a.name}: {a.type}" for a in attributes) + " }"


def _action(action: str, rule: ActionRule) -> str:
    group = f' in [Action::"{rule.groups[0]}"]' if rule.groups else ""
    records = "".join(f", {name}: {name.capitalize()}" for name in rule.records)
    who, what = ", ".join(PRINCIPAL_TYPES.values()), ", ".join(rule.resources)
    return (
        f'action "{action}"{group} appliesTo {{ principal: [{who}], resource: [{what}], '
        f"context: {{ at: Long, actor: Actor{records} }} }};"
    )


def _actor(actor: Actor) -> Facts:
    return {"strength": actor.strength, "acts_for": list(actor.acts_for)}


def _incident(facts: IncidentFacts) -> Facts:
    return {
        "state": facts.state,
        "ref": facts.ref,
        "severity": facts.severity or "",
        "targets": list(facts.targets),
        "age": _seconds(facts.age),
        "confirmed": facts.confirmed,
    }


def _operation(operation: Operation) -> Facts:
    return {"object": operation.object, "destructive": operation.verb in DESTRUCTIVE}


def _activation(facts: ActivationFacts) -> Facts:
    return {
        "id": facts.id,
        "eligibility": facts.eligibility,
        "lane": facts.lane,
        "mode": facts.mode,
        "purpose": facts.purpose,
        "ttl": _seconds(facts.ttl),
        "requester": facts.requester,
        "persons": list(facts.persons),
        "quorum_needed": facts.quorum_needed,
        "quorum_met": facts.quorum_met,
        "age": _seconds(facts.age),
        "uses": facts.uses,
        "budget_left": facts.budget_left,
        "eligible": facts.eligible,
        "allowed_severity": list(facts.allowed_severity),
        "must_name_target": facts.must_name_target,
        "remaining": _seconds(facts.ttl if facts.remaining is None else facts.remaining),
    }


def _seconds(span: timedelta) -> int:
    """Whole seconds, rounded up: a limit of an hour is not met by an hour and a microsecond."""
    return -(-span // timedelta(seconds=1))


def _moment(at: datetime) -> int:
    return int(at.timestamp())
