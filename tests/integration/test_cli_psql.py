"""A real psql on a real server, with a credential that is on no command line and in no file."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from callpoint.cli.machine import ThisMachine
from callpoint.cli.session_psql import environment
from callpoint.ports.box import SealedCredential
from callpoint.ports.targets import Credential
from tests.servers import FreshDatabase, missing

ROLE, SECRET = "cp_psqltest", "only-in-the-environment-7"


@pytest.fixture
def credential(database: FreshDatabase) -> SealedCredential:
    """A login role on the server, as a connector would hand it out."""
    name = sql.Identifier(ROLE)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(name))
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, SECRET))
    parts = psycopg.conninfo.conninfo_to_dict(database.url(ROLE, SECRET))
    endpoint = {
        "host": str(parts["host"]),
        "port": str(parts["port"]),
        "dbname": database.name,
        "options": "-c statement_timeout=4321",
    }
    inner = Credential(ROLE, SECRET, endpoint, "")
    return SealedCredential("tstinc", "abcdefghij01", "lease", "orders-db", "repair", "", inner)


def test_psql_logs_in_with_nothing_but_its_environment(
    credential: SealedCredential, tmp_path: Path
):
    """It reaches the right server as the right role, whatever the caller's PG* variables say."""
    program = ThisMachine().find_program("psql")
    if program is None:
        missing("psql is not on this machine")
    around = {**os.environ, "PGHOSTADDR": "192.0.2.1", "PGSERVICE": "other", "PGUSER": "nobody"}
    around["PGPASSFILE"] = str(tmp_path / "other")
    out = tmp_path / "out"
    asked = "SELECT current_user, current_setting('statement_timeout')"
    shows_itself = f"\\! tr '\\0' ' ' < /proc/$PPID/cmdline >> {out}"
    told = [program, "-X", "-A", "-t", "-w", "-o", str(out), "-c", asked, "-c", shows_itself]
    assert ThisMachine().run(told, environment(credential, around)) == 0
    lines = out.read_text()
    assert lines.startswith(f"{ROLE}|4321ms")
    assert "statement_timeout" in lines  # the command line was read
    assert SECRET not in lines


def test_a_refused_login_is_psqls_own_status(credential: SealedCredential):
    """A dead credential ends psql with its own status, and asks for no password."""
    program = ThisMachine().find_program("psql")
    if program is None:
        missing("psql is not on this machine")
    dead = environment(credential, os.environ) | {"PGPASSWORD": "wrong"}
    code = (
        "import os, sys; from callpoint.cli.machine import ThisMachine\n"
        f"sys.exit(ThisMachine().run([{program!r}, '-w', '-c', 'SELECT 1'], os.environ))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**dead, "PYTHONPATH": "src"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "password authentication failed" in done.stderr
