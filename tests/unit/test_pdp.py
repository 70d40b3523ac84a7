"""The PDP: default deny, forbid wins, and every error denies (I11)."""

import cedarpy
import msgspec
import pytest

from callpoint.domain.decision import Action, Effect
from callpoint.domain.eligibility import Opening
from callpoint.domain.principal import PrincipalKind
from callpoint.policy.pdp import Pdp
from callpoint.policy.policy_set import PolicySet
from callpoint.ports.decider import Decider
from tests.fakes.policy_world import (
    AT,
    BILLING,
    OPEN_INCIDENT,
    activation_of,
    asked,
    small_world,
)

WORLD = small_world()
PERMIT = '@id("all") permit (principal, action, resource);'
FORBID = (
    '@id("not-billing") @reason("{incident} names {incident_targets}, you asked for {target}")'
    'forbid (principal, action in Action::"opening", resource in Target::"billing-db");'
)
REQUEST = asked(WORLD, "ann", Action.ACTIVATION_REQUEST, activation=activation_of(WORLD, "ann"))


def pdp_of(*policies: str) -> Pdp:
    """A PDP of validated policies."""
    files = {f"{n}.cedar": text for n, text in enumerate(policies)}
    return Pdp(PolicySet.load(files, WORLD), WORLD)


def answering(**answer: object):
    """A Cedar that gives this answer."""

    def authorize(*_: object) -> cedarpy.AuthzResult:
        return cedarpy.AuthzResult(answer)

    return authorize


def test_it_is_a_decider() -> None:
    """The PEP depends on the protocol alone."""
    decider: Decider = pdp_of(PERMIT)
    assert decider.evaluate(REQUEST).allowed


def test_an_allow_names_its_policies_and_the_digest() -> None:
    """The record says which policies allowed it, of which policy set."""
    pdp = pdp_of(PERMIT)
    decision = pdp.evaluate(REQUEST)
    assert decision.effect is Effect.ALLOW
    assert decision.policies == ("all",)
    assert decision.policy_digest == pdp.policy_set.digest
    assert not decision.reasons
    assert not decision.errors


def test_nothing_permits_means_deny() -> None:
    """Without any policy the answer is no, and says so."""
    decision = pdp_of().evaluate(REQUEST)
    assert decision.effect is Effect.DENY
    assert decision.reasons == ("no policy permits ann activation:request on orders-db:repair",)
    assert not decision.errors


def test_a_deny_names_the_permits_that_could_have_held() -> None:
    """Who is refused for want of a permit reads which one would hold, and when."""
    decision = pdp_of(
        '@id("security-only") @needs("{principal} were in security")'
        'permit (principal, action, resource) when { principal in Group::"security" };',
        '@id("machines") permit (principal is Agent, action, resource);',
        '@id("long-ago") permit (principal, action, resource) when { context.at < 5 };',
    ).evaluate(REQUEST)
    (sentence,) = decision.reasons
    assert sentence == (
        "no policy permits ann activation:request on orders-db:repair; "
        "`security-only` would, if ann were in security; `long-ago` could"
    )


def test_a_forbid_wins_and_speaks() -> None:
    """The refusal names the policy and the facts."""
    request = asked(
        WORLD,
        "ann",
        Action.ACTIVATION_REQUEST,
        opening=BILLING,
        activation=activation_of(WORLD, "ann"),
    )
    decision = pdp_of(PERMIT, FORBID).evaluate(request)
    assert decision.effect is Effect.DENY
    assert decision.policies == ("not-billing",)
    assert decision.reasons == (
        "denied by `not-billing`: INC-7 names orders-db, you asked for billing-db",
    )


def test_the_trap_cannot_lead_to_allow() -> None:
    """Bare Cedar skips a forbid that errors and allows; here it denies, even if not validated."""
    trap = (
        '@id("trap") @reason("no")'
        "forbid (principal, action, resource) when { context.missing == 1 };"
    )
    unchecked = PolicySet.assembled({"a.cedar": PERMIT + trap})
    pdp = Pdp(unchecked, WORLD)
    bare = pdp.ask(unchecked.cedar, REQUEST)
    assert bare.decision is cedarpy.Decision.Allow, "the trap exists"
    decision = pdp.evaluate(REQUEST)
    assert decision.effect is Effect.DENY
    assert not decision.allowed
    assert "missing" in decision.errors[0]
    assert decision.policies == ("all",)


@pytest.mark.parametrize(
    "answer",
    [
        {"decision": "Allow", "diagnostics": {"reason": ["all"], "errors": ["one"]}},
        {"decision": "NoDecision", "diagnostics": {"reason": [], "errors": []}},
        {"decision": "NoDecision", "diagnostics": {"reason": ["all"], "errors": []}},
        {"decision": "Allow", "diagnostics": {"reason": [], "errors": []}},
        {"decision": "Allow"},
        {"decision": "Perhaps", "diagnostics": {"reason": ["all"], "errors": []}},
        {"decision": "Deny", "diagnostics": {"reason": ["unheard-of"], "errors": []}},
        {},
    ],
)
def test_an_answer_that_is_not_plain_is_a_deny(answer) -> None:
    """Errors, no decision, an allow by nobody, an unknown word: each is a deny with an error."""
    pdp = Pdp(PolicySet.load({"a.cedar": PERMIT}, WORLD), WORLD, authorize=answering(**answer))
    decision = pdp.evaluate(REQUEST)
    assert decision.effect is Effect.DENY
    assert decision.errors
    assert decision.reasons


class PanicException(BaseException):
    """What a panic in the binding looks like: no Exception, and of no importable type."""


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError(), PanicException("x")])
def test_an_exception_is_a_deny(error) -> None:
    """Whatever the binding raises, a panic included, becomes a deny with its words."""

    def authorize(*_: object) -> cedarpy.AuthzResult:
        raise error

    pdp = Pdp(PolicySet.load({"a.cedar": PERMIT}, WORLD), WORLD, authorize=authorize)
    decision = pdp.evaluate(REQUEST)
    assert decision.effect is Effect.DENY
    assert decision.errors[0].startswith(("bad", f"{type(error).__name__}: "))


def test_being_stopped_is_not_an_answer() -> None:
    """A process that is told to stop stops."""

    def authorize(*_: object) -> cedarpy.AuthzResult:
        raise KeyboardInterrupt

    pdp = Pdp(PolicySet.load({"a.cedar": PERMIT}, WORLD), WORLD, authorize=authorize)
    with pytest.raises(KeyboardInterrupt):
        pdp.evaluate(REQUEST)


@pytest.mark.parametrize(
    "change, error",
    [
        ({"principal": "mallory"}, "no principal is called mallory"),
        ({"kind": PrincipalKind.AGENT}, "otherwise than it is configured"),
        ({"persons": ("ben",)}, "otherwise than it is configured"),
        ({"groups": ("oncall", "security")}, "otherwise than it is configured"),
        ({"groups": ()}, "otherwise than it is configured"),
    ],
)
def test_an_actor_that_is_not_as_configured_is_denied(change, error) -> None:
    """A claimed kind, person or group that the configuration does not know never counts."""
    actor = msgspec.structs.replace(REQUEST.actor, **change)
    decision = pdp_of(PERMIT).evaluate(msgspec.structs.replace(REQUEST, actor=actor))
    assert decision.effect is Effect.DENY
    assert error in decision.errors[0]


@pytest.mark.parametrize(
    "change",
    [
        {"opening": Opening("orders-db", "admin")},
        {"opening": Opening("nowhere", "repair")},
        {"environment": "test"},
        {"opening": None},
    ],
)
def test_a_resource_that_is_not_as_configured_is_denied(change) -> None:
    """An unknown role or target, a wrong environment, or a resource of the wrong type denies."""
    resource = msgspec.structs.replace(REQUEST.resource, **change)
    decision = pdp_of(PERMIT).evaluate(msgspec.structs.replace(REQUEST, resource=resource))
    assert decision.effect is Effect.DENY
    assert decision.errors


def test_words_from_outside_cannot_deface_a_reason() -> None:
    """A reference full of control characters, or endless, is escaped and cut."""
    incident = msgspec.structs.replace(OPEN_INCIDENT, ref="INC\x1b[2J\n" + "x" * 500)
    request = asked(
        WORLD,
        "ann",
        Action.ACTIVATION_REQUEST,
        opening=BILLING,
        incident=incident,
        activation=activation_of(WORLD, "ann"),
    )
    (sentence,) = pdp_of(PERMIT, FORBID).evaluate(request).reasons
    assert sentence.isprintable()
    assert len(sentence) < 250


def test_the_same_request_gets_the_same_answer() -> None:
    """A decision can be replayed from its record, later and elsewhere."""
    stored = msgspec.json.encode(REQUEST)
    replayed = msgspec.json.decode(stored, type=type(REQUEST))
    assert replayed.at == AT
    assert pdp_of(PERMIT, FORBID).evaluate(replayed) == pdp_of(PERMIT, FORBID).evaluate(REQUEST)
