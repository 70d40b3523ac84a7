"""The configuration as Cedar entities: parsed once, however many there are."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import cedarpy
import msgspec

from callpoint.domain.configuration import Configuration, Target
from callpoint.domain.decision import Resource
from callpoint.domain.eligibility import Opening
from callpoint.domain.operation import Impact
from callpoint.domain.principal import Principal
from callpoint.policy.schema import ACTIONS, INSTALLATION, OPENING, PRINCIPAL_TYPES, USING

Uid: TypeAlias = dict[str, str]


def parsed(configuration: Configuration, schema: cedarpy.Schema) -> cedarpy.Entities:
    """All entities as a handle, checked against the schema; it brings the action groups along.

    Raises:
        ValueError: An entity does not fit the schema (a defect of ours).
    """
    found = msgspec.json.encode(list(_all(configuration))).decode()
    return cedarpy.Entities.from_json_str(found, schema)


def principal_uid(principal: Principal) -> Uid:
    """Cedar's id of a principal."""
    return _uid(PRINCIPAL_TYPES[principal.kind], principal.id)


def resource_uid(resource: Resource) -> Uid:
    """Cedar's id of what is acted upon."""
    if resource.opening is None:
        return _uid("Installation", INSTALLATION)
    return _uid("TargetRole", str(resource.opening))


def names_of(configuration: Configuration) -> Mapping[str, frozenset[str]]:
    """Entity type → the ids that a policy may name."""
    people: dict[str, set[str]] = {kind: set() for kind in PRINCIPAL_TYPES.values()}
    for principal in configuration.principals.values():
        people[PRINCIPAL_TYPES[principal.kind]].add(principal.id)
    targets = configuration.targets.values()
    roles = {str(Opening(target.id, role.id)) for target in targets for role in target.roles}
    return {
        **{kind: frozenset(ids) for kind, ids in people.items()},
        "Group": frozenset(configuration.groups),
        "Target": frozenset(configuration.targets),
        "TargetRole": frozenset(roles),
        "Installation": frozenset({INSTALLATION}),
        "Action": frozenset({*ACTIONS, *Impact, OPENING, USING}),
    }


def _all(configuration: Configuration) -> Iterator[dict[str, Any]]:
    for group in configuration.groups:
        yield _entity(_uid("Group", group))
    for principal in configuration.principals.values():
        parents = [_uid("Group", g) for g in sorted(configuration.groups_of(principal))]
        attributes = {"name": principal.id, "persons": list(principal.persons)}
        yield _entity(principal_uid(principal), attributes, parents)
    for target in configuration.targets.values():
        yield from _target(target)
    yield _installation(configuration)


def _target(target: Target) -> Iterator[dict[str, Any]]:
    whole = _uid("Target", target.id)
    yield _entity(whole, {"environment": target.environment, "connector": target.connector})
    for role in target.roles:
        attributes = {"target": target.id, "role": role.id, "environment": target.environment}
        yield _entity(_uid("TargetRole", str(Opening(target.id, role.id))), attributes, [whole])


def _installation(configuration: Configuration) -> dict[str, Any]:
    governance = configuration.governance
    security = [g.removeprefix("group:") for g in governance.security if g.startswith("group:")]
    attributes = {
        "security": [{"__entity": _uid("Group", group)} for group in security],
        "governors": sorted(governance.governors),
    }
    return _entity(_uid("Installation", INSTALLATION), attributes)


def _entity(
    uid: Uid, attrs: dict[str, Any] | None = None, parents: list[Uid] | None = None
) -> dict[str, Any]:
    return {"uid": uid, "attrs": attrs or {}, "parents": parents or []}


def _uid(kind: str, name: str) -> Uid:
    return {"type": kind, "id": name}
