"""The actor fills the server's table of locks, so that nobody can log in: what holds even then."""

import os
import signal

import asyncpg
import pytest

from callpoint.cli.postgres_server import find_servers
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.errors import TargetError
from callpoint.lifecycle.removal import remove
from tests.postgresql_site import open_site
from tests.servers import fifteen, fresh_database, missing, newest

pytestmark = pytest.mark.server("postgresql")


@pytest.fixture(scope="module", params=[fifteen, newest])
def server(request):
    """A server of its own: while it is full, it serves nobody."""
    binaries = request.param(find_servers())
    if binaries is None:
        missing(f"no PostgreSQL that is {request.param.__name__} is on this machine")
    with ThrowawayPostgres(binaries, settings={"max_connections": "20"}) as running:
        yield running


@pytest.fixture
async def site(server):
    """A target with the owner's functions."""
    with fresh_database(server) as database:
        async with open_site(database) as prepared:
            yield prepared


async def test_a_server_without_room_for_locks_is_never_taken_for_a_dead_account(site):
    """Nobody can revoke then, and nobody says so; one signal at the host, and it is proven dead."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    pid = session.get_server_pid()
    with pytest.raises(asyncpg.OutOfMemoryError):
        await session.fetch("SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) n")
    first = await remove(site.connector, plan, issued.baseline, issued.credential)
    assert not first.dead
    assert isinstance(first.error, TargetError)
    assert first.error.code == "53200"
    os.kill(pid, signal.SIGTERM)
    second = await remove(site.connector, plan, issued.baseline, issued.credential)
    assert second.dead, second.error
