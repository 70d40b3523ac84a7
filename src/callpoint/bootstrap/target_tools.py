"""``callpoint target``: what an owner installs on a target, and whether the broker can do its job.

Neither opens the store: a server may be running on it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from callpoint.bootstrap.connectors import Site, postgresql_settings, ssh_settings
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.outside import Outside
from callpoint.domain.configuration import Configuration, Target
from callpoint.domain.errors import RequestError, UnavailableError
from callpoint.ports.targets import SelfTest


def _postgresql_script(target: Target, site: Site) -> str:
    from callpoint.adapters.targets.postgresql.owner_script import render

    return render(postgresql_settings(target, site))


def _postgresql_part(target: Target, site: Site) -> str:
    from callpoint.adapters.targets.postgresql.owner_script import render_database_part

    return render_database_part(postgresql_settings(target, site))


def _ssh_script(target: Target, site: Site) -> str:
    from callpoint.adapters.targets.ssh.owner_script import render

    return render(ssh_settings(target, site))


SCRIPTS: Mapping[str, Callable[[Target, Site], str]] = {
    "postgresql": _postgresql_script,
    "ssh": _ssh_script,
}
PARTS: Mapping[str, Callable[[Target, Site], str]] = {"postgresql": _postgresql_part}


def owner_script(
    configuration: Configuration,
    target: str,
    installation: str,
    outside: Outside,
    *,
    database_part: bool = False,
) -> str:
    """The script that the target's owner reads and runs.

    Raises:
        NotFoundError: No such target is configured.
        RequestError: Its connector needs no script.
        UnavailableError: A variable with the broker's DSN or keys is not set; no secret is printed.
    """
    found = configuration.target(target)
    write = (PARTS if database_part else SCRIPTS).get(found.connector)
    if write is None:
        raise RequestError(
            f"connector {found.connector} of {target} needs no script of the owner",
            way_out=f"there is nothing to prepare: `callpoint target selftest {target}` tries it",
        )
    return write(found, _site(installation, outside))


def installation_of(home: Path) -> str:
    """The id that accounts of this home's installation begin with. Raises ConfigError."""
    return Home(home).installation().id


async def selftest(home: Path, target: str, outside: Outside) -> SelfTest:
    """Can the broker do everything, and no more, by the configuration in force?

    Raises:
        NotFoundError: No such target is in force.
        UnavailableError: Its connector cannot be built here.
        TargetUnknownError: It does not answer.
    """
    place = Home(home)
    installation = place.installation()
    bundle = place.pinned()
    if bundle is None:
        raise UnavailableError(
            "no configuration is in force here", way_out="finish `callpoint init` first"
        )
    found = bundle.configuration.target(target)
    build = outside.registry.get(found.connector)
    if build is None:
        raise UnavailableError(f"this program has no connector {found.connector!r}")
    return await build(found, _site(installation.id, outside)).selftest()


def _site(installation: str, outside: Outside) -> Site:
    return Site(installation, outside.environment, outside.clock, outside.random)
