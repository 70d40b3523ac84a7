"""Connectors of the configured targets: built by name, and rebuilt when a bundle is published.

A connector's libraries are loaded when the first target needs them, so that a program that has to
do with no such target starts without them.
"""

from collections.abc import Callable, ItemsView, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from callpoint.adapters.targets.postgresql.settings import (
    Between,
    Endpoint,
    EndpointKind,
    Mode,
    PostgresqlSettings,
    RoleSettings,
)
from callpoint.adapters.targets.script.settings import Between as ScriptBetween
from callpoint.adapters.targets.script.settings import ScriptRole, ScriptSettings
from callpoint.bootstrap.retired import RetiredConnector
from callpoint.domain.configuration import Configuration, Target, TargetRole
from callpoint.domain.errors import CallpointError, ConfigError, UnavailableError
from callpoint.ports.clock import Clock, Random
from callpoint.ports.targets import Connector

if TYPE_CHECKING:  # each takes a fifth of a second to import
    import structlog

    from callpoint.adapters.targets.ssh.settings import SshRole, SshSettings

_RETIRED = "it is no longer configured"
_OTHERS = 0o077


@dataclass(frozen=True)
class Site:
    """What a builder knows besides the target: whose accounts, which secrets, whose time."""

    installation: str
    environment: Mapping[str, str]
    clock: Clock
    random: Random


Build = Callable[[Target, Site], Connector]


def postgresql_settings(target: Target, site: Site) -> PostgresqlSettings:
    """The settings of a PostgreSQL target, with its secrets from the environment.

    Raises:
        UnavailableError: A variable is not set.
        ConfigError: A DSN, or another value, cannot be used.
    """
    given = dict(target.settings)
    variable = given.pop("dsn_env")
    endpoints = given.pop("endpoints_env", ())
    return PostgresqlSettings(
        name=target.id,
        installation=site.installation,
        dsn=_secret(site, str(variable), target.id),
        roles={role.id: _postgresql_role(role) for role in target.roles},
        endpoints=tuple(_endpoint(line, site, target.id) for line in _lines(endpoints)),
        mode=Mode(str(given.pop("mode", Mode.FUNCTIONS))),
        **given,  # type: ignore[arg-type]  # the configuration's reader held each to its type
    )


def build_postgresql(target: Target, site: Site) -> Connector:
    """A connector; it opens no connection yet."""
    from callpoint.adapters.targets.postgresql.connector import PostgresqlConnector

    return PostgresqlConnector(postgresql_settings(target, site), site.clock, site.random)


def _postgresql_role(role: TargetRole) -> RoleSettings:
    given = role.settings
    if "account" not in given:
        return RoleSettings(parent=given["parent"])
    between = Between(given.get("between", Between.LOCKED))
    return RoleSettings(account=given["account"], between=between)


def build_script(target: Target, site: Site) -> Connector:
    """A connector around the owner's program; it runs nothing yet."""
    from callpoint.adapters.targets.script.connector import ScriptConnector

    given = target.settings
    settings = ScriptSettings(
        name=target.id,
        installation=site.installation,
        program=str(given["program"]),
        roles={role.id: _script_role(role, site) for role in target.roles},
        host=str(given["host"]),
        port=int(str(given.get("port", 0))),
        limit=timedelta(seconds=int(str(given["seconds"]))),
    )
    return ScriptConnector(settings, site.clock, site.random)


def _script_role(role: TargetRole, site: Site) -> ScriptRole:
    given = role.settings
    variable = given.get("initial_env", "")
    return ScriptRole(
        account=given["account"],
        between=ScriptBetween(given.get("between", ScriptBetween.ROTATED)),
        # After the first rotation it is worth nothing, so that it may be unset then.
        initial=site.environment.get(variable, "") if variable else "",
    )


def ssh_settings(target: Target, site: Site) -> "SshSettings":
    """The settings of an SSH target, with its keys from the environment.

    Raises:
        UnavailableError: A variable is not set, or the file that it names cannot be read.
        ConfigError: A key, or another value, cannot be used.
    """
    from callpoint.adapters.targets.ssh.settings import SshSettings

    given = dict(target.settings)
    ca_key, broker_key = str(given.pop("ca_key_env")), str(given.pop("broker_key_env"))
    return SshSettings(
        name=target.id,
        installation=site.installation,
        ca_key=_key(site, ca_key, target.id),
        broker_key=_key(site, broker_key, target.id),
        host_keys=_lines(given.pop("host_key")),
        roles={role.id: _ssh_role(role) for role in target.roles},
        **given,  # type: ignore[arg-type]  # the configuration's reader held each to its type
    )


def build_ssh(target: Target, site: Site) -> Connector:
    """A connector; it opens no connection yet."""
    from callpoint.adapters.targets.ssh.connector import SshConnector

    return SshConnector(ssh_settings(target, site), site.clock, site.random)


def _ssh_role(role: TargetRole) -> "SshRole":
    from callpoint.adapters.targets.ssh.settings import SshRole

    given = role.settings
    permit = tuple(word for word in given.get("permit", "").split(",") if word)
    return SshRole(account=given["account"], command=given.get("command", ""), permit=permit)


REGISTRY: Mapping[str, Build] = {
    "postgresql": build_postgresql,
    "script": build_script,
    "ssh": build_ssh,
}


class Connectors(Mapping[str, Connector]):
    """The connectors by target: what ``Services.targets`` is. It is replaced as a whole.

    Attributes:
        unusable: Configured targets without a usable connector, and why.
    """

    def __init__(
        self,
        site: Site,
        logger: "structlog.typing.FilteringBoundLogger",
        registry: Mapping[str, Build] = REGISTRY,
    ) -> None:
        self.unusable: Mapping[str, str] = {}
        self._site = site
        self._logger = logger
        self._registry = registry
        self._current: Mapping[str, Connector] = {}
        self._built: dict[str, tuple[Target, Connector]] = {}

    def __getitem__(self, name: str) -> Connector:
        return self._current[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current)

    def __len__(self) -> int:
        return len(self._current)

    def items(self) -> ItemsView[str, Connector]:
        """Of one moment, so that a bundle may be published while somebody goes through them."""
        return self._current.items()

    def follow(self, configuration: Configuration) -> None:
        """Build what is new or changed, and retire what is gone or cannot be built.

        A target that cannot be used is said aloud and leaves the others alone.
        """
        current: dict[str, Connector] = {}
        unusable: dict[str, str] = {}
        for name, target in configuration.targets.items():
            built = self._built.get(name)
            if built is not None and built[0] == target:
                current[name] = built[1]
                continue
            made, why = self._attempt(target)
            if made is not None:
                self._built[name] = (target, made)
                current[name] = made
                continue
            unusable[name] = why
            if self.unusable.get(name) != why:
                self._logger.error("target_unusable", target=name, why=why)
            if built is not None:
                current[name] = RetiredConnector(built[1], why)
        for name, (_, connector) in self._built.items():
            current.setdefault(name, RetiredConnector(connector, _RETIRED))
        self._current, self.unusable = current, unusable

    def adopt(self, target: Target) -> None:
        """A target of an earlier bundle, on which leases are still open: only to take away."""
        if target.id in self._current:
            return
        made, why = self._attempt(target)
        if made is None:
            self._logger.error("former_target_unusable", target=target.id, why=why)
            return
        self._logger.warning("former_target_adopted", target=target.id)
        self._current = {**self._current, target.id: RetiredConnector(made, _RETIRED)}

    def _attempt(self, target: Target) -> tuple[Connector | None, str]:
        """A connector, or why there is none."""
        try:
            return self._build(target), ""
        except CallpointError as error:
            return None, str(error)

    def _build(self, target: Target) -> Connector:
        build = self._registry.get(target.connector)
        if build is None:
            raise UnavailableError(
                f"this program has no connector {target.connector!r}",
                way_out=f"it has: {', '.join(sorted(self._registry))}",
            )
        return build(target, self._site)


def _secret(site: Site, variable: str, target: str) -> str:
    value = site.environment.get(variable, "")
    if not value:
        raise UnavailableError(
            f"the environment variable {variable} is not set",
            way_out=f"set it to the DSN of the broker on {target} and start again",
        )
    return value


def _key(site: Site, variable: str, target: str) -> str:
    """A private key that the variable holds, or whose file it names."""
    value = site.environment.get(variable, "")
    if not value:
        raise UnavailableError(
            f"the environment variable {variable} is not set",
            way_out=f"set it to the file of the private key for {target} and start again",
        )
    if value.lstrip().startswith("-----BEGIN"):
        return value
    path = Path(value)
    try:
        if path.stat().st_mode & _OTHERS:
            raise ConfigError(
                f"others may read the private key that {variable} names",
                key=f"targets.{target}",
                way_out="chmod 600, and replace the key if it was seen",
            )
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        # Without the path: the variable may hold a key that was pasted wrongly (I14).
        raise UnavailableError(
            f"{variable} names no private key that can be read",
            way_out="write the file's absolute path into it",
        ) from error


def _lines(value: object) -> tuple[str, ...]:
    return tuple(str(line) for line in value) if isinstance(value, tuple | list) else ()


def _endpoint(line: str, site: Site, target: str) -> Endpoint:
    """``NAME KIND VARIABLE``, as ``config.connectors`` writes it."""
    parts = line.split(" ")
    try:
        name, kind, variable = parts
        return Endpoint(name=name, dsn=_secret(site, variable, target), kind=EndpointKind(kind))
    except ValueError as error:
        raise ConfigError(
            f"endpoint {line[:80]!r} cannot be read", key=f"targets.{target}.endpoints"
        ) from error
