"""The small world that a policy test file may bring along, turned into a configuration."""

from datetime import timedelta

import msgspec

from callpoint.domain.configuration import (
    GROUP,
    Configuration,
    Governance,
    Group,
    Target,
    TargetRole,
)
from callpoint.domain.eligibility import (
    ApprovalRule,
    BudgetRule,
    Eligibility,
    IncidentRule,
    Lane,
    Mode,
    Purpose,
    ReviewRule,
    Severity,
    parse_opening,
)
from callpoint.domain.errors import ConfigError
from callpoint.domain.principal import Person, Principal, PrincipalKind
from callpoint.domain.span import parse_span

_SECURITY = "security"


class WorldPrincipal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A principal; ``persons`` of a human is itself unless it is stated."""

    kind: PrincipalKind
    persons: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class WorldTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A target and the names of its roles."""

    roles: tuple[str, ...]
    environment: str = "production"
    connector: str = "postgresql"


class WorldEligibility(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An eligibility; ``severity`` empty means that it asks for no incident."""

    who: tuple[str, ...]
    opens: tuple[str, ...]
    lane: Lane = Lane.BREAK_GLASS
    mode: Mode = Mode.HUMAN
    ttl: str = msgspec.field(default="30m", name="for")
    severity: tuple[Severity, ...] = ()
    must_name_target: bool = True
    quorum: int = 2
    purposes: tuple[Purpose, ...] = (Purpose.RECOVER, Purpose.INVESTIGATE, Purpose.CONTAIN)


class World(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Principals, targets and eligibilities by name.

    The group ``security`` is what governance calls security; ``governors`` are person ids.
    """

    principals: dict[str, WorldPrincipal]
    targets: dict[str, WorldTarget] = {}
    eligibilities: dict[str, WorldEligibility] = {}
    governors: tuple[str, ...] = ()


def configured(world: World, filename: str) -> Configuration:
    """The world as a configuration.

    Raises:
        ConfigError: A span or a target role is written wrongly.
    """
    principals = {name: _principal(name, told) for name, told in world.principals.items()}
    persons = {person for p in principals.values() for person in p.persons} | {*world.governors}
    try:
        eligibilities = {n: _eligibility(n, told) for n, told in world.eligibilities.items()}
    except ValueError as error:
        raise ConfigError(
            str(error), file=filename, key="world.eligibilities", way_out="mend the world"
        ) from error
    return Configuration(
        governance=Governance(dict.fromkeys(world.governors, ""), 1, (GROUP + _SECURITY,)),
        persons={name: Person(name) for name in sorted(persons)},
        groups=_groups(world, principals),
        principals=principals,
        targets={name: _target(name, told) for name, told in world.targets.items()},
        eligibilities=eligibilities,
    )


def _principal(name: str, told: WorldPrincipal) -> Principal:
    return Principal(name, told.kind, told.persons or (name,), key="")


def _groups(world: World, principals: dict[str, Principal]) -> dict[str, Group]:
    """Groups hold persons for humans, and the principal itself for machines."""
    members: dict[str, set[str]] = {_SECURITY: set()}
    for name, told in world.principals.items():
        human = told.kind is PrincipalKind.HUMAN
        for group in told.groups:
            members.setdefault(group, set()).update(principals[name].persons if human else {name})
    return {name: Group(name, tuple(sorted(found))) for name, found in members.items()}


def _target(name: str, told: WorldTarget) -> Target:
    roles = tuple(TargetRole(role) for role in told.roles)
    return Target(name, told.connector, told.environment, roles)


def _eligibility(name: str, told: WorldEligibility) -> Eligibility:
    day = timedelta(days=1)
    return Eligibility(
        id=name,
        lane=told.lane,
        mode=told.mode,
        who=told.who,
        opens=tuple(parse_opening(opening) for opening in told.opens),
        ttl=parse_span(told.ttl),
        incident=IncidentRule(told.severity, told.must_name_target) if told.severity else None,
        approval=ApprovalRule(told.quorum, (), within=timedelta(minutes=10)),
        budget=BudgetRule(incidents=2, per=90 * day),
        review=ReviewRule((), triage=day, close=5 * day),
        purposes=told.purposes,
    )
