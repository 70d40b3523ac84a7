"""Which names a search looks at: those that could be found, in order."""

from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action
from callpoint.domain.evaluation import Evaluation, Search, Sought
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.lifecycle import inquiry
from callpoint.ports.stores import View, Where

_ALL = 1_000_000
_CONCERNED = {
    Action.ACTIVATION_APPROVE: (ActivationState.REQUESTED,),
    Action.ACTIVATION_ISSUE: (ActivationState.APPROVED,),
    Action.CREDENTIAL_REVEAL: (ActivationState.ACTIVE,),
    Action.REVIEW_RECORD: (ActivationState.ENDED,),
}
"""In all other states the answer is no, so a search need not look there."""


def candidates(
    view: View, configuration: Configuration, installation: str, search: Search
) -> list[str]:
    """Every name that could be found, after where the page before ended, in order."""
    question, names = search.question, list[str]()
    match search.sought:
        case Sought.SUBJECT:
            kind = question.subject.type
            everybody = configuration.principals.values()
            names = [who.id for who in everybody if who.kind == kind]
        case Sought.RESOURCE:
            names = _resources(view, configuration, installation, question)
        case Sought.ACTION:
            names = list(Action)
    return sorted(name for name in names if name > search.after)


def _resources(
    view: View, configuration: Configuration, installation: str, question: Evaluation
) -> list[str]:
    match question.resource.type:
        case inquiry.TARGET_ROLE:
            targets = configuration.targets.values()
            return [f"{target.id}:{role.id}" for target in targets for role in target.roles]
        case inquiry.INSTALLATION:
            return [installation]
        case inquiry.INCIDENT:
            declared = Where(states=(IncidentState.DECLARED,), limit=_ALL)
            return [found.id for found in view.select(Incident, declared)]
        case inquiry.ACTIVATION:
            if question.action.name not in set(Action):
                return []
            states = _CONCERNED.get(Action(question.action.name), ())
            return [a.id for a in view.select(Activation, Where(states=states, limit=_ALL))]
        case _:
            return []
