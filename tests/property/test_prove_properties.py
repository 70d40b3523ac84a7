"""The encoding and Cedar are one: random questions, also to random policies of the fragment."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("z3", reason="the extra `prove`: there is no wheel for this machine")

import z3

from callpoint.domain.decision import DecisionRequest
from callpoint.policy import schema
from callpoint.policy.pdp import Pdp
from callpoint.policy.policy_set import PolicySet
from callpoint.policy.prove.asked import Asked, Kind, asked
from callpoint.policy.prove.encoding import Encoder
from callpoint.policy.prove.terms import Many, Number, Text, Truth, Words
from tests.property.test_pdp_properties import PACK, PDP, WORLD, requests

CONDITIONS = st.recursive(
    st.sampled_from(
        [
            "context.actor.acts_for.isEmpty()",
            'context.actor.strength == "key"',
            "principal is Human",
            "principal is Agent || principal.persons.isEmpty()",
            'principal in Group::"oncall"',
            'principal is Human in Group::"oncall"',
            'principal == Human::"ann"',
            'principal in [Group::"machines", Human::"ben"]',
            "principal == resource",
            'principal.persons.contains("ann")',
            'principal.persons == ["ann"]',
            '["ann", "ben"].containsAll(principal.persons)',
            'principal.name != "sam"',
            'action in Action::"opening"',
            'action == Action::"activation:approve"',
            'action in [Action::"log:read", Action::"credential:reveal"]',
            "context has activation",
            "context has incident && context.incident.confirmed",
            'context has incident && ["open", "unknown"].contains(context.incident.state)',
            'context has incident && context.incident.severity == "sev1"',
            'context has incident && context.incident.targets.containsAny(["orders-db", ""])',
            "context has incident && context.incident.age < 3600",
            "context has activation && context.activation.ttl - 60 > context.activation.age",
            "context has activation && context.activation.uses * 2 >= 3",
            "context has activation && -context.activation.quorum_needed <= -2",
            "context has activation && context.activation.requester == principal.name",
            "context has activation && context.activation.persons.containsAny(principal.persons)",
            "context has activation && principal.persons.containsAll(context.activation.persons)",
            "context has activation && context.activation.persons == principal.persons",
            'context has activation && context.activation.allowed_severity.contains("sev1")',
            'context has activation && context.activation.allowed_severity == ["sev1"]',
            "context has activation && context.activation.remaining <= 0",
            "resource is TargetRole && [resource.target, resource.role].contains(principal.name)",
            'context has incident && context.incident.targets.containsAll(["orders-db"])',
            'resource in Target::"orders-db"',
            'resource == TargetRole::"orders-db:repair"',
            'resource is TargetRole && resource.environment == "production"',
            "resource is Installation && principal in resource.security",
            'resource is Installation && resource.security.contains(Group::"security")',
            "resource is Installation && resource.governors.containsAny(principal.persons)",
            "(if principal is Human then context.at else 0) > 5",
        ]
    ),
    lambda inner: st.one_of(
        st.builds("({}) && ({})".format, inner, inner),
        st.builds("({}) || ({})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("if {} then ({}) else ({})".format, inner.map("({})".format), inner, inner),
    ),
    max_leaves=4,
)
POLICIES = st.lists(
    st.builds(
        "{} ({}, {}, {}) {} {{ {} }};".format,
        st.sampled_from(["permit", "permit", "forbid"]),
        st.sampled_from(["principal", "principal is Human", 'principal in Group::"oncall"']),
        st.sampled_from(["action", 'action in Action::"opening"']),
        st.sampled_from(["resource", "resource is TargetRole", 'resource in Target::"orders-db"']),
        st.sampled_from(["when", "unless"]),
        CONDITIONS,
    ),
    min_size=1,
    max_size=3,
)


def path_values(request: DecisionRequest) -> dict[str, object]:
    """What the question says, by the paths of the encoding."""
    actor, opening, governance = request.actor, request.resource.opening, WORLD.governance
    found: dict[str, object] = {
        "principal.name": actor.principal,
        "principal.persons": list(actor.persons),
        "principal.groups": list(actor.groups),
    }
    if opening is None:
        found["resource.security"] = [g.removeprefix("group:") for g in governance.security]
        found["resource.governors"] = list(governance.governors)
    else:
        found["resource.target"], found["resource.role"] = opening.target, opening.role
        found["resource.environment"] = request.resource.environment
    for name, value in schema.context(request).items():
        if isinstance(value, dict):
            found |= {f"context.{name}.{key}": fact for key, fact in value.items()}
        else:
            found[f"context.{name}"] = value
    return found


def pinned(question: Asked, words: Words, values: dict[str, Any]) -> list[Any]:
    """The symbols of the question, each equal to what this one says."""
    assert question.symbols.keys() == values.keys()
    found: list[Any] = []
    for path, symbol in question.symbols.items():
        value = values[path]
        match symbol:
            case Text(term):
                found.append(term == words.word(value))
            case Number(term) | Truth(term):
                found.append(term == value)
            case Many(_, array):
                whole = z3.EmptySet(words.sort)
                for item in value:
                    whole = z3.SetAdd(whole, words.word(item))
                found.append(array == whole)
            case _:
                raise AssertionError(path)
    return found


def encoded(policies: PolicySet, request: DecisionRequest) -> bool:
    """The encoding's answer to one question."""
    kind = Kind(
        schema.PRINCIPAL_TYPES[request.actor.kind],
        request.verb,
        "Installation" if request.resource.opening is None else "TargetRole",
    )
    words = Words()
    question = asked(kind, words)
    allowed = Encoder(question, words).allowed(policies.cedar.to_pst().static_policies.values())
    facts = pinned(question, words, path_values(request))
    solver = z3.Solver()
    solver.add(words.different(), *question.assumed, *facts)
    assert solver.check() == z3.sat, "what is assumed of every question does not hold of this one"
    answers = {allow: solver.check(allowed == allow) for allow in (True, False)}
    assert sorted(map(str, answers.values())) == ["sat", "unsat"], "one question, one answer"
    return bool(answers[True] == z3.sat)


@given(request=requests())
@settings(max_examples=60, deadline=None)
def test_the_pack_encoded_answers_as_cedar_does(request) -> None:
    """For any question to the default pack the formula and the PDP agree."""
    assert encoded(PACK, request) is PDP.evaluate(request).allowed


@given(texts=POLICIES, request=requests())
@settings(max_examples=150, deadline=None)
def test_any_policy_of_the_fragment_answers_as_cedar_does(texts, request) -> None:
    """For any policies of the fragment, and any question, the formula and the PDP agree."""
    text = "\n".join(f'@id("p{n}")\n{policy}' for n, policy in enumerate(texts))
    policies = PolicySet.assembled({"own.cedar": text})
    decision = Pdp(policies, WORLD).evaluate(request)
    assert not decision.errors
    assert encoded(policies, request) is decision.allowed
