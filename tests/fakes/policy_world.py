"""A small configuration for tests of policy, and requests that the default pack allows."""

from datetime import UTC, datetime, timedelta

from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action, ActivationFacts, DecisionRequest, IncidentFacts
from callpoint.domain.eligibility import Lane, Mode, Opening, Severity
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.principal import PrincipalKind
from callpoint.policy import question
from callpoint.policy.world import (
    World,
    WorldEligibility,
    WorldPrincipal,
    WorldTarget,
    configured,
)

ORDERS = Opening("orders-db", "repair")
BILLING = Opening("billing-db", "repair")
AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)

OPEN_INCIDENT = IncidentFacts(
    state=IncidentState.OPEN,
    ref="INC-7",
    severity=Severity.SEV1,
    targets=("orders-db",),
    age=timedelta(minutes=5),
    confirmed=True,
)


def small_world() -> Configuration:
    """Three persons, a workload and an agent; two databases; one eligibility for each mode."""
    both = ("orders-db:repair", "billing-db:repair")
    severe = (Severity.SEV1, Severity.SEV2)
    return configured(
        World(
            principals={
                "ann": WorldPrincipal(PrincipalKind.HUMAN, groups=("oncall",)),
                "ben": WorldPrincipal(PrincipalKind.HUMAN, groups=("commanders",)),
                "sam": WorldPrincipal(PrincipalKind.HUMAN, groups=("security",)),
                "restorer": WorldPrincipal(PrincipalKind.WORKLOAD, ("ann",), ("machines",)),
                "helper": WorldPrincipal(PrincipalKind.AGENT, ("ben",), ("machines",)),
            },
            targets={
                "orders-db": WorldTarget(("repair",)),
                "billing-db": WorldTarget(("repair",)),
            },
            eligibilities={
                "repair": WorldEligibility(("group:oncall",), both, severity=severe),
                "restore": WorldEligibility(
                    ("group:machines",), both, mode=Mode.AUTOMATED, severity=severe
                ),
                "upkeep": WorldEligibility(("group:oncall",), both, lane=Lane.ELEVATION),
            },
            governors=("grace",),
        ),
        "small world",
    )


def asked(
    world: Configuration,
    who: str,
    action: Action,
    *,
    opening: Opening | None = ORDERS,
    incident: IncidentFacts | None = OPEN_INCIDENT,
    activation: ActivationFacts | None = None,
) -> DecisionRequest:
    """A request of ``who``, described as the configuration does."""
    return DecisionRequest(
        actor=question.actor(world, world.principal(who)),
        action=action,
        resource=question.resource(world, opening),
        at=AT,
        incident=incident,
        activation=activation,
    )


def activation_of(world: Configuration, who: str, eligibility: str = "repair") -> ActivationFacts:
    """An activation that ``who`` asks for."""
    return question.activation(world, world.eligibility(eligibility), world.principal(who))
