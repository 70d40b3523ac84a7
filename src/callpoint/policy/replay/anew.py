"""The same question under another configuration: what configuration says is said anew.

What happened stays (when, which incident, how old, for how long, how often used); what the
configuration of that time said about it (persons, groups, environment, eligibility) is what the
proposed one says. Who or what it does not know stays as described, and the PDP refuses it by name.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action, ActivationFacts, Actor, DecisionRequest, Resource
from callpoint.domain.eligibility import Eligibility


def asked_under(
    question: DecisionRequest, then: Configuration, proposed: Configuration
) -> DecisionRequest:
    """The question as it would have been asked under ``proposed``.

    Args:
        question: As it was asked.
        then: The configuration that described it; what the question has beyond it was not the
            configuration's to say, and is kept.
        proposed: The one that describes it now.
    """
    return replace(
        question,
        actor=_actor(question.actor, proposed),
        resource=_resource(question.resource, proposed),
        activation=_activation(question, then, proposed),
    )


def _actor(actor: Actor, proposed: Configuration) -> Actor:
    principal = proposed.principals.get(actor.principal)
    if principal is None:
        return actor
    return replace(
        actor,
        kind=principal.kind,
        persons=principal.persons,
        groups=tuple(sorted(proposed.groups_of(principal))),
    )


def _resource(resource: Resource, proposed: Configuration) -> Resource:
    if resource.opening is None:
        return resource
    target = proposed.targets.get(resource.opening.target)
    return resource if target is None else replace(resource, environment=target.environment)


def _activation(
    question: DecisionRequest, then: Configuration, proposed: Configuration
) -> ActivationFacts | None:
    facts = question.activation
    if facts is None:
        return None
    requester = proposed.principals.get(facts.requester)
    eligibility = proposed.eligibilities.get(facts.eligibility)
    if requester is not None:
        before = then.principals.get(facts.requester)
        # Behind the requester may stand others, whom it acted for when it asked.
        behind = _without(facts.persons, before.persons if before else ())
        facts = replace(facts, persons=tuple(dict.fromkeys((*requester.persons, *behind))))
    if eligibility is None:
        return replace(facts, eligible=False, allowed_severity=(), must_name_target=False)
    covered = requester is not None and proposed.is_among(requester, eligibility.who)
    described = _under(replace(facts, eligible=covered), then, eligibility)
    if question.action is not Action.ACTIVATION_REQUEST:
        return described  # only who asks is told what is left of the budget
    return replace(described, budget_left=_left(facts, then, eligibility))


def _under(
    facts: ActivationFacts, then: Configuration, eligibility: Eligibility
) -> ActivationFacts:
    rule, before = eligibility.incident, then.eligibilities.get(facts.eligibility)
    # What a spent budget or a late review had added (I16) is added to the proposed quorum too.
    added = max(facts.quorum_needed - before.approval.quorum, 0) if before else 0
    needed = eligibility.approval.quorum + added
    return replace(
        facts,
        lane=eligibility.lane,
        mode=eligibility.mode,
        quorum_needed=needed,
        # A vote is over once the quorum is met, so no more voted than were needed.
        quorum_met=facts.quorum_met and needed <= facts.quorum_needed,
        allowed_severity=rule.severity if rule else (),
        must_name_target=rule.must_name_target if rule else False,
    )


def _left(facts: ActivationFacts, then: Configuration, eligibility: Eligibility) -> int:
    """What would have been left; of a budget that was overdrawn, at most so many."""
    before = then.eligibilities.get(facts.eligibility)
    used = max(before.budget.incidents - facts.budget_left, 0) if before else 0
    return max(eligibility.budget.incidents - used, 0)


def _without(persons: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    left_out = frozenset(known)
    return tuple(person for person in persons if person not in left_out)
