"""Trap 7d: a session on a standby goes on after the drop on the primary."""

import asyncio
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass

import asyncpg
import pytest

from callpoint.adapters.targets.postgresql.settings import Endpoint, EndpointKind
from callpoint.cli import throwaway
from callpoint.cli.loopback import free_port
from callpoint.cli.postgres_server import find_servers
from callpoint.domain.errors import TargetUnknownError
from callpoint.ports.targets import Attempt
from tests.postgresql_site import BROKER_PASSWORD, login, open_site
from tests.servers import fifteen, fresh_database, missing, newest

pytestmark = pytest.mark.server("postgresql")


@dataclass
class Standby:
    """A streaming copy of a throwaway server, on a port of its own."""

    primary: throwaway.ThrowawayPostgres
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self):
        home = self.primary.home
        self.process = subprocess.Popen(
            [
                *(self.primary.binaries.bindir / "postgres", "-D", home / "standby"),
                *(f"--port={self.port}", "--listen_addresses=127.0.0.1"),
                *(f"--unix_socket_directories={home}", "--hot_standby=on", "--shared_buffers=16MB"),
            ],
            **throwaway._identity(throwaway._unprivileged_account()),
            cwd=home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self):
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    async def owner(self):
        """A superuser's connection to it, as soon as it answers."""
        url = self.primary.superuser_url().replace(f"port={self.primary.port}", f"port={self.port}")
        for _ in range(100):
            try:
                return await asyncpg.connect(url)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.1)
        raise AssertionError("the standby did not come up")


@pytest.fixture(scope="module", params=[fifteen, newest])
def standby(request):
    binaries = request.param(find_servers())
    if binaries is None:
        missing(f"no PostgreSQL that is {request.param.__name__} is on this machine")
    with throwaway.ThrowawayPostgres(binaries) as primary:
        rules = primary.home / "data" / "pg_hba.conf"
        rules.write_text(rules.read_text() + "local replication postgres trust\n")
        os.kill(
            int((primary.home / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGHUP
        )
        subprocess.run(
            [
                *(primary.binaries.bindir / "pg_basebackup", "-D", primary.home / "standby", "-R"),
                *("-X", "stream", "-c", "fast", "--no-sync", "-U", "postgres"),
                *("-h", primary.home, "-p", str(primary.port)),
            ],
            **throwaway._identity(throwaway._unprivileged_account()),
            cwd=primary.home,
            check=True,
            timeout=60,
        )
        copy = Standby(primary, free_port())
        copy.start()
        yield copy
        copy.stop()
        shutil.rmtree(primary.home / "standby")


@pytest.fixture
async def replica(standby):
    owner = await standby.owner()
    yield owner
    await owner.execute("SELECT pg_wal_replay_resume()")
    await owner.close()


@pytest.fixture
async def site(standby, replica):
    """A site whose standby is declared as an endpoint."""
    with fresh_database(standby.primary) as database:
        async with open_site(database) as prepared:
            dsn = database.url(prepared.settings.broker, BROKER_PASSWORD)
            there = dsn.replace(f":{standby.primary.port}/", f":{standby.port}/")
            endpoint = Endpoint("replica", there, EndpointKind.STANDBY)
            declared = prepared.with_settings(endpoints=(endpoint,))
            await _caught_up(declared, replica)
            yield declared


async def _caught_up(site, replica):
    position = await site.owner.fetchval("SELECT pg_current_wal_lsn()::text")
    for _ in range(100):
        if await replica.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", position):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the standby does not catch up")


async def _on_standby(site, standby, credential):
    there = credential.endpoint | {"port": str(standby.port)}
    moved = type(credential)(credential.username, credential.secret, there)
    return await login(moved)


async def test_7d_a_session_on_a_standby_is_seen_and_ended(site, standby, replica):
    """It survives the drop on the primary, so the account is not dead until it was ended there."""
    undeclared = site.with_settings(endpoints=())
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await _caught_up(site, replica)
    session = await _on_standby(site, standby, issued.credential)
    await undeclared.connector.revoke(plan)
    await _caught_up(site, replica)
    assert await session.fetchval("SELECT count(*) FROM orders") == 0
    assert (await undeclared.connector.verify_absent(plan, issued.credential)).dead
    absence = await site.connector.verify_absent(plan, issued.credential)
    assert (absence.in_catalogue, absence.sessions, absence.dead) == (False, 1, False)
    assert await site.connector.kill_sessions(plan) == 0
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.fetchval("SELECT 1")
    session.terminate()
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_7d_a_lagging_standby_is_not_dead(site, standby, replica):
    """Where the end has not been replayed yet, the old credential still works: said so."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await _caught_up(site, replica)
    await replica.execute("SELECT pg_wal_replay_pause()")
    await site.connector.disable(plan)
    with pytest.raises(TargetUnknownError, match="replica has not replayed"):
        await site.connector.kill_sessions(plan)
    await site.connector.revoke(plan)
    with pytest.raises(TargetUnknownError, match="replica has not replayed"):
        await site.connector.kill_sessions(plan)
    absence = await site.connector.verify_absent(plan, issued.credential)
    assert absence.in_catalogue
    assert absence.attempt is not None
    assert absence.attempt.attempt is Attempt.ACCEPTED
    assert not absence.dead
    await replica.execute("SELECT pg_wal_replay_resume()")
    await _caught_up(site, replica)
    assert await site.connector.kill_sessions(plan) == 0
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_7d_a_standby_that_does_not_answer_is_named(site, standby, replica):
    """The primary's sessions end all the same; the silent standby keeps it from being dead."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await login(issued.credential)
    closed = site.settings.endpoints[0].dsn.replace(f":{standby.port}/", ":1/")
    deaf = site.with_settings(endpoints=(Endpoint("far", closed), *site.settings.endpoints))
    await deaf.connector.disable(plan)
    with pytest.raises(TargetUnknownError, match="far"):
        await deaf.connector.kill_sessions(plan)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.fetchval("SELECT 1")
    session.terminate()
    await deaf.connector.revoke(plan)
    absence = await deaf.connector.verify_absent(plan, issued.credential)
    assert absence.unreachable == ("far",)
    assert not absence.dead


async def test_7d_a_pooler_is_tried_with_the_old_credential(site):
    """A pooler that does not answer leaves it unknown; one that refuses lets it be dead."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    door = site.settings.dsn
    through = site.with_settings(endpoints=(Endpoint("pool", door, EndpointKind.POOLER),))
    shut = door.replace(f":{site.database.server.port}/", ":1/")
    closed = site.with_settings(endpoints=(Endpoint("pool", shut, EndpointKind.POOLER),))
    await site.connector.revoke(plan)
    absence = await closed.connector.verify_absent(plan, issued.credential)
    assert absence.attempt is not None
    assert absence.attempt.attempt is Attempt.UNKNOWN
    assert not absence.dead
    assert (await through.connector.verify_absent(plan, issued.credential)).dead


async def test_the_selftest_looks_at_standbys_and_calls_the_residual_unbounded(site):
    """Sessions on a standby are beyond the owner's reaper, and approvers are told."""
    for _ in range(3):
        await site.owner.execute("SELECT callpoint.reap()")
    report = await site.connector.selftest()
    assert report.ok, [check for check in report.checks if not check.ok]
    assert "endpoint replica" in [check.name for check in report.checks]
    assert report.residual.bound is None
    assert "replica" in report.residual.because


async def test_the_selftest_refuses_a_primary_as_standby(site):
    """An endpoint that is not in recovery is another cluster, or the primary itself."""
    wrong = site.with_settings(endpoints=(Endpoint("twin", site.settings.dsn),))
    report = await wrong.connector.selftest()
    assert [check.name for check in report.checks if not check.ok] == ["endpoint twin"]
