"""Whether a ``Configuration`` that did not come from a file obeys the rules of a file.

A bundle arrives as JSON and was perhaps never read from TOML: one governor alone could sign a
"tightening" that lifts the governors' quorum beyond their number and so locks everybody out. It is
therefore written out as a document and read again, strictly; what comes back must be equal.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

import msgspec

from callpoint.config.connectors import CONNECTORS
from callpoint.config.document import Document
from callpoint.config.keys import (
    ELIGIBILITY,
    GATEWAY,
    GOVERNANCE,
    GROUP_SHAPE,
    INNER,
    KNOWN_ACCOUNT,
    ROLE,
    SOURCE,
    WITNESS,
    WITNESSED_LOG,
    WITNESSING,
)
from callpoint.config.kinds import SECRET
from callpoint.config.positions import Lines
from callpoint.config.reader import read_configuration
from callpoint.config.shape import Key, Shape
from callpoint.config.signals import SIGNAL
from callpoint.config.ssh import PERMIT
from callpoint.domain.allowance import Rate
from callpoint.domain.configuration import Configuration, Target, TargetRole
from callpoint.domain.eligibility import Opening
from callpoint.domain.errors import ConfigError, ConfigErrors
from callpoint.domain.governance import Bundle
from callpoint.domain.principal import Principal, PrincipalKind
from callpoint.domain.signal_stream import SignalStream
from callpoint.domain.span import format_span
from callpoint.policy import pap

FILE = "bundle"


def verify_sound(configuration: Configuration) -> None:
    """Check a configuration as strictly as `callpoint check` checks files.

    Raises:
        ConfigErrors: What a file must not say, with its key.
        ConfigError: It says something that no file can say.
    """
    document = Document(FILE, as_document(configuration), Lines(), without_lines=True)
    if read_configuration([document]) != configuration:
        raise ConfigError(
            "the configuration says something that no configuration file can say",
            file=FILE,
            way_out="make the bundle from files with `callpoint publish`",
        )


def check_bundle(bundle: Bundle) -> None:
    """Check all of a bundle before it may be published: configuration, then policies.

    Raises:
        ConfigError: What is wrong; ConfigErrors when it is more than one thing.
    """
    verify_sound(bundle.configuration)
    if problems := pap.check(bundle.policies, bundle.configuration):
        raise ConfigErrors(tuple(problems))


def as_document(configuration: Configuration) -> dict[str, object]:
    """The configuration in the form of its file: what `tomllib` would have read."""
    c = configuration
    return {
        "governance": _written(GOVERNANCE, c.governance),
        "persons": {n: {"name": p.name} if p.name else {} for n, p in c.persons.items()},
        "groups": {n: _written(GROUP_SHAPE, group) for n, group in c.groups.items()},
        "principals": {n: _principal(p) for n, p in c.principals.items()},
        "targets": {n: _target(target) for n, target in c.targets.items()},
        "gateways": {n: _written(GATEWAY, g) for n, g in c.known_gateways.items()},
        "eligibilities": {n: _written(ELIGIBILITY, e) for n, e in c.eligibilities.items()},
        **({"signals": {n: _signal(s) for n, s in c.streams.items()}} if c.streams else {}),
        "sources": {n: _written(SOURCE, source) for n, source in c.sources.items()},
        "witnessing": _witnessing(c),
    }


def _witnessing(configuration: Configuration) -> dict[str, object]:
    said = configuration.witnessing
    if isinstance(said, msgspec.UnsetType):
        return {}
    whole = _written(WITNESSING, msgspec.structs.replace(said, witnesses={}, logs={}))
    return {
        **whole,
        "witnesses": {n: _written(WITNESS, witness) for n, witness in said.witnesses.items()},
        "logs": {n: _written(WITNESSED_LOG, log) for n, log in said.logs.items()},
    }


def _written(shape: Shape, struct: msgspec.Struct) -> dict[str, object]:
    return {
        key.name: _value(key.name, value)
        for key in shape
        if (value := getattr(struct, key.field)) not in _LEFT_OUT
    }


_LEFT_OUT = (None, "", msgspec.UNSET)


def _value(name: str, value: object) -> object:
    match value:
        case StrEnum() | Opening() | Rate():
            return str(value)
        case timedelta():
            return format_span(value)
        case list() | tuple():
            return [_value(name, item) for item in value]
        case dict():
            return {key: _value(name, item) for key, item in value.items()}
        case msgspec.Struct():
            return _written(INNER[f"eligibilities.NAME.{name}"], value)
        case _:
            return value


def _principal(principal: Principal) -> dict[str, object]:
    own = {"kind": str(principal.kind), "key": principal.key}
    if principal.kind is PrincipalKind.HUMAN:
        # More than one, which no file can say, comes back different.
        return {**own, "person": next(iter(principal.persons), None)}
    return {**own, "answers": list(principal.persons)}


def _signal(stream: SignalStream) -> dict[str, object]:
    """What is empty is not written; a secret is written as where it is."""
    said = {name: value for name, value in _written(SIGNAL, stream).items() if value}
    if "authorization" in said:
        said["authorization"] = {"env": said["authorization"]}
    return said


def _target(target: Target) -> dict[str, object]:
    shape = CONNECTORS.get(target.connector)
    settings = _settings(shape.settings if shape else (), target.settings)
    roles = {role.id: _role(shape.role if shape else (), role) for role in target.roles}
    own = {"connector": target.connector, "environment": target.environment, "roles": roles}
    if known := target.known_accounts:
        own["accounts"] = {name: _written(KNOWN_ACCOUNT, one) for name, one in known.items()}
    for key in ("gateway", "evidence", "recording"):
        if isinstance(said := getattr(target, key), str):
            own[key] = str(said)
    # Own keys last: a setting of the same name must not take their place.
    return {**settings, **own, **({"owner": target.owner} if target.owner else {})}


def _role(shape: Shape, role: TargetRole) -> dict[str, object]:
    # Own key last, as above.
    return {**_settings(shape, role.settings), **_written(ROLE, role)}


def _settings(shape: Shape, settings: Mapping[str, object]) -> dict[str, object]:
    """Settings under the names of the file; one that the connector lacks stays and is refused."""
    keys = {key.field: key for key in shape}
    return {
        keys[field].name if field in keys else field: _setting(keys.get(field), value)
        for field, value in settings.items()
    }


def _setting(key: Key | None, value: object) -> object:
    if key is None:
        return value
    if key.kind is SECRET:
        return {"env": value}
    if key.name == "endpoints" and isinstance(value, tuple):
        return dict(_endpoint(str(line)) for line in value)
    if key.name == PERMIT:
        return str(value).split(",")
    return list(value) if isinstance(value, tuple) else value


def _endpoint(line: str) -> tuple[str, dict[str, object]]:
    name, _, rest = line.partition(" ")
    kind, _, variable = rest.partition(" ")
    return name, {"kind": kind, "dsn": {"env": variable}}
