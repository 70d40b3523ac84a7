"""The schema is Cedar, covers every action, and says the same as the context that is built."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from callpoint.domain.decision import Action, ActivationFacts, IncidentFacts
from callpoint.domain.operation import VERBS, Impact, Operation
from callpoint.domain.principal import PrincipalKind
from callpoint.policy import schema
from tests.fakes.policy_world import AT, activation_of, asked, small_world

DOCUMENT = Path(__file__).parents[2] / "docs" / "policy.md"
WORLD = small_world()


def test_the_schema_is_cedar() -> None:
    """Cedar parses the generated schema and renders it back."""
    assert "TargetRole" in str(schema.parsed())


def test_every_action_and_kind_of_principal_is_covered() -> None:
    """A new action or kind of principal cannot be forgotten here."""
    assert set(schema.ACTIONS) == set(Action) - {Action.SESSION_ACT} | set(VERBS)
    assert set(schema.OPERATIONS) == set(VERBS)
    assert set(schema.PRINCIPAL_TYPES) == set(PrincipalKind)


@pytest.mark.parametrize(
    "record, attributes",
    [(IncidentFacts, schema.INCIDENT), (ActivationFacts, schema.ACTIVATION)],
)
def test_records_are_those_of_the_domain(record, attributes) -> None:
    """Each fact of the domain is an attribute, in the same order, under the same name."""
    assert [a.name for a in attributes] == list(record.__struct_fields__)


@pytest.mark.parametrize("action", sorted(set(Action) - {Action.SESSION_ACT}))
def test_the_context_has_exactly_the_attributes_of_the_schema(action) -> None:
    """What is built for an action holds what the schema promises, no more and no less."""
    rule = schema.ACTIONS[action]
    activation = activation_of(WORLD, "ann") if "activation" in rule.records else None
    request = asked(WORLD, "ann", action, incident=None, activation=activation)
    built = schema.context(request)
    assert set(built) == {"at", "actor", *rule.records}
    for name in ("actor", *rule.records):
        facts = built[name]
        assert isinstance(facts, dict)
        assert set(facts) == {a.name for a in schema.RECORDS[name.capitalize()]}


def test_an_operation_is_asked_as_its_verb() -> None:
    """The context of what is done through a gateway says to what, and whether it destroys."""
    request = asked(WORLD, "ann", Action.SESSION_ACT, activation=activation_of(WORLD, "ann"))
    request = msgspec.structs.replace(request, operation=Operation("sql:delete", "public.items"))
    assert request.verb == "sql:delete"
    built = schema.context(request)
    assert built["operation"] == {"object": "public.items", "destructive": True}
    assert set(built) == {"at", "actor", "incident", "activation", "operation"}


@pytest.mark.parametrize(
    "action, operation",
    [
        (Action.SESSION_ACT, None),
        (Action.ACTIVATION_ISSUE, Operation("sql:select", "public.items")),
        (Action.SESSION_ACT, Operation("sql:conjure", "public.items")),
        (Action.SESSION_ACT, Operation("log:read", "public.items")),
        (Action.SESSION_ACT, Operation("opening", "public.items")),
    ],
)
def test_an_operation_that_is_none_never_becomes_a_question(action, operation) -> None:
    """A missing, unknown or misplaced verb is refused before Cedar sees it."""
    request = asked(WORLD, "ann", action, activation=activation_of(WORLD, "ann"))
    with pytest.raises(ValueError, match=r"no question|no verb"):
        schema.context(msgspec.structs.replace(request, operation=operation))


def test_an_absent_incident_is_none_and_not_missing() -> None:
    """Without an incident the context says state `none` and an empty severity."""
    request = asked(
        WORLD,
        "ann",
        Action.ACTIVATION_REQUEST,
        incident=None,
        activation=activation_of(WORLD, "ann"),
    )
    built = schema.context(request)["incident"]
    assert isinstance(built, dict)
    assert (built["state"], built["severity"], built["targets"]) == ("none", "", [])


def test_spans_round_up() -> None:
    """An hour and a microsecond is more than an hour."""
    facts = msgspec.structs.replace(
        activation_of(WORLD, "ann"), ttl=timedelta(hours=1, microseconds=1)
    )
    request = asked(WORLD, "ann", Action.ACTIVATION_REQUEST, activation=facts)
    built = schema.context(request)["activation"]
    assert isinstance(built, dict)
    assert built["ttl"] == 3601


def test_the_moment_is_in_whole_seconds() -> None:
    """`context.at` counts seconds since 1970, UTC."""
    request = asked(WORLD, "ann", Action.LOG_READ, opening=None, incident=None)
    assert schema.context(request)["at"] == AT.timestamp()


def test_an_action_without_its_activation_is_refused() -> None:
    """Asking to issue without an activation is a mistake and never becomes a question."""
    with pytest.raises(ValueError, match="none was given"):
        schema.context(asked(WORLD, "ann", Action.ACTIVATION_ISSUE))


def test_facts_that_the_action_knows_nothing_of_are_refused() -> None:
    """An incident for reading the log, or an activation for declaring, is a mistake."""
    with pytest.raises(ValueError, match="not about an incident"):
        schema.context(asked(WORLD, "ann", Action.LOG_READ, opening=None))
    with pytest.raises(ValueError, match="but one was given"):
        schema.context(
            asked(
                WORLD,
                "ann",
                Action.INCIDENT_DECLARE,
                opening=None,
                activation=activation_of(WORLD, "ann"),
            )
        )


def test_the_document_lists_the_whole_vocabulary() -> None:
    """docs/policy.md has a row for each attribute and each action, with type and meaning."""
    text = DOCUMENT.read_text()
    for record, attributes in schema.RECORDS.items():
        for a in attributes:
            assert f"| `context.{record.lower()}.{a.name}` | {a.type} | {a.meaning} |" in text
    for name, (parent, attributes) in schema.ENTITIES.items():
        assert f"| `{name}` | {f'`{parent}`' if parent else ''} |" in text
        for a in attributes:
            assert f"`{a.name}` ({a.type}): {a.meaning}" in text
    for impact in Impact:
        verbs = ", ".join(f"`{verb}`" for verb, its in VERBS.items() if its is impact)
        assert f"| `{impact}` | {verbs} |" in text
    for action, rule in schema.ACTIONS.items():
        if action in VERBS:
            continue
        resources = " or ".join(f"`{r}`" for r in rule.resources)
        records = ", ".join(f"`{r}`" for r in rule.records)
        assert f"| `{action}` | {resources} | {records} |" in text
