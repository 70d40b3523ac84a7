"""Facts of a made-up request, as the configuration describes them: for tests and explanations.

The questions of production are built from stored state (``lifecycle/facts.py``); here the rest is
stated by whoever asks. Both mean the same by every field.
"""

from datetime import timedelta

from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action, ActivationFacts, Actor, Resource
from callpoint.domain.eligibility import Eligibility, Opening
from callpoint.domain.operation import VERBS, Operation
from callpoint.domain.principal import Principal


def actor(configuration: Configuration, principal: Principal, strength: str = "key") -> Actor:
    """The principal as policy sees it."""
    return Actor(
        principal=principal.id,
        kind=principal.kind,
        persons=principal.persons,
        groups=tuple(sorted(configuration.groups_of(principal))),
        strength=strength,
    )


def resource(configuration: Configuration, opening: Opening | None) -> Resource:
    """The target role as policy sees it, or the installation itself; NotFoundError if unknown."""
    if opening is None:
        return Resource()
    return Resource(opening, configuration.target(opening.target).environment)


def action(word: str, to: str = "") -> tuple[Action, Operation | None]:
    """An action as policies write it: one of ours, or a verb on an object through a gateway.

    Raises:
        ValueError: There is no such action.
    """
    if word in VERBS:
        return Action.SESSION_ACT, Operation(word, to)
    if word not in set(Action) - {Action.SESSION_ACT}:
        raise ValueError(f"there is no action {word[:80]!r} (docs/policy.md lists them)")
    if to:
        raise ValueError(f"{word} is done to nothing inside a target")
    return Action(word), None


def activation(
    configuration: Configuration,
    eligibility: Eligibility,
    requester: Principal,
    *,
    activation_id: str = "new",
    ttl: timedelta | None = None,
) -> ActivationFacts:
    """An activation of the eligibility as it stands when it is asked for.

    Args:
        configuration: Who is in which group.
        eligibility: What is activated.
        requester: Who asks.
        activation_id: The activation's id; a new one has none yet.
        ttl: How long it is asked for; the eligibility's longest if None.
    """
    rule = eligibility.incident
    return ActivationFacts(
        id=activation_id,
        eligibility=eligibility.id,
        lane=eligibility.lane,
        mode=eligibility.mode,
        purpose=eligibility.purposes[0],
        ttl=eligibility.ttl if ttl is None else ttl,
        requester=requester.id,
        persons=requester.persons,
        quorum_needed=eligibility.approval.quorum,
        budget_left=eligibility.budget.incidents,
        eligible=configuration.is_among(requester, eligibility.who),
        allowed_severity=rule.severity if rule else (),
        must_name_target=rule.must_name_target if rule else False,
    )
