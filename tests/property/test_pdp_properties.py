"""Properties of the PDP under arbitrary facts: errors deny, forbids win, the pack's rules hold."""

from datetime import timedelta

import cedarpy
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callpoint.config.default_policies import default_pack
from callpoint.domain.decision import (
    Action,
    ActivationFacts,
    Decision,
    DecisionRequest,
    Effect,
    IncidentFacts,
)
from callpoint.domain.eligibility import Lane, Mode, Purpose, Severity
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.operation import Operation
from callpoint.policy import question, schema
from callpoint.policy.pdp import Pdp
from callpoint.policy.policy_set import FORBID, PolicySet
from tests.fakes.policy_world import BILLING, ORDERS, asked, small_world

WORLD = small_world()
PACK = PolicySet.load(default_pack(), WORLD)
PDP = Pdp(PACK, WORLD)
EVERYTHING = '@id("everything") permit (principal, action, resource);'
OPENED = Pdp(PolicySet.load({**default_pack(), "z.cedar": EVERYTHING}, WORLD), WORLD)

names = st.sampled_from(sorted(WORLD.principals))
spans = st.timedeltas(timedelta(0), timedelta(hours=12))
severities = st.sampled_from(Severity)
texts = st.text(max_size=30)
incidents = st.builds(
    IncidentFacts,
    state=st.sampled_from(IncidentState),
    ref=texts,
    severity=st.none() | severities,
    targets=st.lists(st.sampled_from(["orders-db", "billing-db"]) | texts, max_size=3).map(tuple),
    age=spans,
    confirmed=st.booleans(),
)
activations = st.builds(
    ActivationFacts,
    id=texts,
    eligibility=texts,
    lane=st.sampled_from(Lane),
    mode=st.sampled_from(Mode),
    purpose=st.sampled_from(Purpose),
    ttl=spans,
    requester=names | texts,
    persons=st.lists(st.sampled_from(sorted(WORLD.persons)), max_size=2).map(tuple),
    quorum_needed=st.integers(-1, 4),
    quorum_met=st.booleans(),
    age=spans,
    uses=st.integers(0, 5),
    budget_left=st.integers(-2, 2),
    eligible=st.booleans(),
    allowed_severity=st.lists(severities, max_size=4).map(tuple),
    must_name_target=st.booleans(),
)


@st.composite
def requests(draw: st.DrawFn, words: tuple[str, ...] = tuple(schema.ACTIONS)) -> DecisionRequest:
    """A well-formed request: its shape is right, its facts are anything."""
    action, operation = question.action(draw(st.sampled_from(words)))
    rule = schema.ACTIONS[operation.verb if operation else action]
    openings = [*([ORDERS, BILLING] if "TargetRole" in rule.resources else [])]
    made = asked(
        WORLD,
        draw(names),
        action,
        opening=draw(st.sampled_from(openings)) if openings else None,
        incident=draw(st.none() | incidents) if "incident" in rule.records else None,
        activation=draw(activations) if "activation" in rule.records else None,
    )
    if operation is None:
        return made
    at = draw(st.sampled_from(["", "public.items", 'audit."Odd"']))
    return msgspec.structs.replace(made, operation=Operation(operation.verb, at))


def right(who: str, action: Action) -> DecisionRequest:
    """A request to receive that the pack allows."""
    activation = ActivationFacts(
        id="A-1",
        eligibility="repair",
        lane=Lane.BREAK_GLASS,
        mode=Mode.AUTOMATED,
        purpose=Purpose.RECOVER,
        ttl=timedelta(minutes=30),
        requester=who,
        persons=WORLD.principals[who].persons,
        quorum_needed=2,
        quorum_met=True,
        eligible=True,
        allowed_severity=(Severity.SEV1,),
        must_name_target=True,
    )
    return asked(WORLD, who, action, activation=activation)


@st.composite
def nearly_right(draw: st.DrawFn, action: Action = Action.ACTIVATION_ISSUE) -> DecisionRequest:
    """A right request with up to two facts changed into anything."""
    made = right(draw(names), action)
    incident, activation = made.incident, made.activation
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            activation = _one_changed(draw, activation, draw(activations))
        else:
            incident = _one_changed(draw, incident, draw(incidents))
    return msgspec.structs.replace(made, incident=incident, activation=activation)


def _one_changed(draw: st.DrawFn, one, other):
    """``one`` with one field taken from ``other``."""
    name = draw(st.sampled_from(one.__struct_fields__))
    return msgspec.structs.replace(one, **{name: getattr(other, name)})


def evaluate(request: DecisionRequest) -> Decision:
    """The pack's decision, which is never one of error for a well-formed request."""
    decision = PDP.evaluate(request)
    assert not decision.errors
    return decision


@given(requests() | nearly_right())
def test_a_decision_is_whole(request) -> None:
    """An allow names permits only; a deny has a printable reason for each forbid, or says why."""
    decision = evaluate(request)
    effects = {PACK.policies[name].effect for name in decision.policies}
    if decision.allowed:
        assert effects == {"permit"}
        assert not decision.reasons
    else:
        assert effects <= {FORBID}
        assert len(decision.reasons) == max(len(decision.policies), 1)
        assert all(reason.isprintable() for reason in decision.reasons)


@given(requests((Action.ACTIVATION_APPROVE,)))
def test_only_people_approve_and_never_their_own(request) -> None:
    """Whatever the facts, agents and workloads get no `activation:approve`, nor does who asked."""
    decision = evaluate(request)
    if decision.allowed:
        assert request.actor.kind == "human"
        assert request.activation is not None
        assert not set(request.actor.persons) & set(request.activation.persons)


@pytest.mark.parametrize("who", sorted(WORLD.principals))
@pytest.mark.parametrize("action", [Action.ACTIVATION_ISSUE, Action.CREDENTIAL_REVEAL])
def test_the_right_request_is_allowed(who, action) -> None:
    """The properties below start from a request that is allowed, so they are not empty."""
    assert evaluate(right(who, action)).allowed


@settings(max_examples=300)
@given(
    nearly_right(Action.ACTIVATION_ISSUE)
    | nearly_right(Action.CREDENTIAL_REVEAL)
    | requests((Action.ACTIVATION_ISSUE, Action.CREDENTIAL_REVEAL))
)
def test_nothing_is_given_without_quorum_and_incident(request) -> None:
    """Whoever receives is the eligible requester, with a quorum, in an open incident that fits.

    The elevation lane may do without an incident when its eligibility names no severity.
    """
    if not evaluate(request).allowed:
        return
    activation, incident = request.activation, request.incident
    assert activation is not None
    assert activation.quorum_met
    assert activation.quorum_needed >= 1
    assert activation.eligible
    assert activation.requester == request.actor.principal
    assert activation.mode is not Mode.HUMAN or request.actor.kind == "human"
    state = incident.state if incident else IncidentState.NONE
    if activation.lane is Lane.ELEVATION and not activation.allowed_severity:
        assert state in {IncidentState.OPEN, IncidentState.NONE}
    else:
        assert incident is not None
        assert state is IncidentState.OPEN
        assert incident.confirmed
        assert incident.severity in activation.allowed_severity
    if incident is not None and state is IncidentState.OPEN and activation.must_name_target:
        assert request.resource.opening is not None
        assert request.resource.opening.target in incident.targets


@given(nearly_right() | requests())
def test_a_forbid_always_wins(request) -> None:
    """Adding a permit for everything opens nothing that a forbid closes."""
    before, after = evaluate(request), OPENED.evaluate(request)
    forbidden = bool(before.policies) and not before.allowed
    assert after.allowed is not forbidden
    if forbidden:
        assert after.policies == before.policies


# Conditions that fail to evaluate: a missing attribute, an overflow, a wrong type.
erring = st.sampled_from(
    [
        "context.missing == 1",
        "context.at + 9223372036854775807 > 0",
        "context.actor.nope",
        "principal.persons > 1",
        "context.actor.strength < 3",
        "resource.nope == 1",
        '(if context.actor.strength == "key" then context.missing else true)',
    ]
)


@given(requests() | nearly_right(), erring, st.sampled_from(["permit", "forbid"]))
@example(
    asked(WORLD, "ann", Action.LOG_READ, opening=None, incident=None),
    "context.missing == 1",
    "forbid",
)
def test_an_evaluation_error_denies(request, condition, effect) -> None:
    """A policy that fails to evaluate, permit or forbid, makes the answer no, validated or not."""
    policies = {
        "a.cedar": '@id("all") permit (principal, action, resource);',
        "b.cedar": f'@id("bad") @reason("no") {effect} (principal, action, resource)'
        f"when {{ {condition} }};",
    }
    decision = Pdp(PolicySet.assembled(policies), WORLD).evaluate(request)
    assert decision.effect is Effect.DENY
    assert decision.errors
    assert not decision.allowed


@given(
    st.sampled_from(["Allow", "Deny", "NoDecision", "Maybe"]),
    st.lists(st.sampled_from(["eligible-may-request", "quorum-must-be-met", "x"]), max_size=3),
    st.lists(texts, max_size=2),
)
def test_whatever_cedar_answers_only_a_plain_allow_is_one(decision, reason, errors) -> None:
    """Only Allow, by policies that there are, without a single error, is an allow."""

    def authorize(*_: object) -> cedarpy.AuthzResult:
        return cedarpy.AuthzResult(
            {"decision": decision, "diagnostics": {"reason": reason, "errors": errors}}
        )

    request = asked(WORLD, "ann", Action.LOG_READ, opening=None, incident=None)
    made = Pdp(PACK, WORLD, authorize=authorize).evaluate(request)
    is_known = bool(reason) and "x" not in reason
    assert made.allowed is (decision == "Allow" and is_known and not errors)
    plain_deny = decision == "Deny" and "x" not in reason and not errors
    assert bool(made.errors) is not (made.allowed or plain_deny)
