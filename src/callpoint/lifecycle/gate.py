"""Ask the gate about an existing activation, from what is stored now."""

from callpoint.domain.activation import Activation
from callpoint.domain.asked import Decided
from callpoint.domain.decision import Action, DecisionRequest
from callpoint.domain.incident import Incident
from callpoint.lifecycle import facts
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.stores import View


async def enforce_on(
    services: Services,
    caller: Caller,
    rules: Rules,
    action: Action,
    found: Activation,
    *,
    quorum_met: bool = False,
    moment: facts.Moment | None = None,
) -> Decided:
    """One decision for each target role of the activation; all must allow.

    Args:
        services: As for every step.
        caller: Who asks.
        rules: In force.
        action: What is asked for.
        found: The activation.
        quorum_met: Whether the votes were counted and are enough.
        moment: As ``moment_of`` found it in the view that ``found`` was just read from; None to
            look now.

    Raises:
        DeniedError: Policy says no.
    """
    if moment is None:
        moment = await services.store.read(lambda view: moment_of(view, found))
    asked = questions(caller, rules, action, found, moment, quorum_met=quorum_met)
    return await services.pep.enforce(rules, asked)


def may_view(
    view: View, services: Services, caller: Caller, rules: Rules, found: Activation
) -> bool:
    """Whether the activation may stand in a list that the caller reads; records nothing."""
    moment = moment_of(view, found)
    asked = questions(caller, rules, Action.ACTIVATION_VIEW, found, moment, quorum_met=False)
    return services.pep.may(rules, asked)


def moment_of(view: View, found: Activation) -> facts.Moment:
    """The store's clock, and the incident as it is by it."""
    return facts.Moment(incident=view.find(Incident, found.request.incident), now=view.now())


def questions(
    caller: Caller,
    rules: Rules,
    action: Action,
    found: Activation,
    moment: facts.Moment,
    *,
    quorum_met: bool,
) -> tuple[DecisionRequest, ...]:
    """One question for each target role of the activation, as it is at that moment."""
    configuration = rules.configuration
    return facts.questions(
        action,
        facts.actor(caller, configuration),
        found.request,
        configuration,
        incident=facts.incident_facts(moment.incident, moment.now),
        activation=facts.activation_facts(
            found.request,
            configuration.eligibilities.get(found.request.eligibility),
            configuration,
            activation=found,
            quorum_met=quorum_met,
            now=moment.now,
        ),
        at=moment.now,
    )
