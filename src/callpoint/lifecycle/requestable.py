"""Whether an approval would change a denial: then it can be asked for.

The denied question is "may this subject have a credential of this target role?"; it is requestable
where the life cycle and policy would let the subject ask for an activation now.
"""

import msgspec

from callpoint.domain.access_request import REQUESTABLE_FOR
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action
from callpoint.domain.errors import (
    CallpointError,
    LogUnavailableError,
    StoreUnavailableError,
    TamperError,
)
from callpoint.domain.evaluation import Evaluation, Requestable, Verb
from callpoint.lifecycle.inquiry import ACTIVATION, TARGET_ROLE, Desk
from callpoint.lifecycle.pep import Pep
from callpoint.lifecycle.rules import Rules
from callpoint.ports.stores import View

CANDIDATES = 8
"""Most eligibilities that are tried when the question names none."""


def requestable(
    desk: Desk, pep: Pep, rules: Rules, view: View, asked: Evaluation
) -> Requestable | None:
    """What would have to be asked for, or None where asking would not help."""
    is_about_access = asked.action.name == Action.CREDENTIAL_REVEAL
    if not is_about_access or asked.resource.type != TARGET_ROLE or ACTIVATION in asked.context:
        return None
    for eligibility in _eligibilities(rules.configuration, asked):
        if _would_be_accepted(desk, pep, rules, asked, eligibility):
            return Requestable(
                eligibility=eligibility,
                expires_at=view.now() + REQUESTABLE_FOR,
                configuration_digest=rules.configuration_digest,
                policy_digest=rules.policy_digest,
            )
    return None


def _eligibilities(configuration: Configuration, asked: Evaluation) -> list[str]:
    """The one that is named, else those of the subject that open the target role, by name."""
    named = asked.context.get("eligibility")
    if named is not None:
        return [named] if isinstance(named, str) else []
    who = configuration.principals.get(asked.subject.id)
    if who is None:
        return []
    held = [
        eligibility.id
        for eligibility in configuration.eligibilities.values()
        if asked.resource.id in {str(opening) for opening in eligibility.opens}
        and configuration.is_among(who, eligibility.who)
    ]
    return sorted(held)[:CANDIDATES]


def _would_be_accepted(
    desk: Desk, pep: Pep, rules: Rules, asked: Evaluation, eligibility: str
) -> bool:
    question = msgspec.structs.replace(
        asked,
        action=Verb(Action.ACTIVATION_REQUEST),
        context={**asked.context, "eligibility": eligibility},
    )
    try:
        made = desk.inquire(question)
    except (StoreUnavailableError, LogUnavailableError, TamperError):
        raise
    except CallpointError:
        return False  # it would be turned away, so it is no way out
    return all(decision.allowed for decision in pep.decisions(rules, made.questions))
