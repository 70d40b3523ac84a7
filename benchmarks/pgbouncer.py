"""PgBouncer in front of a throwaway PostgreSQL: a proxy that passes on and decides nothing."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import await_port
from callpoint.cli.loopback import free_port

_SETTINGS = """\
[databases]
{database} = host=127.0.0.1 port={target} dbname={database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = session
default_pool_size = 100
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
"""


def binary() -> str | None:
    """The program (Debian: pgbouncer); None when it is not there."""
    named = os.environ.get("CALLPOINT_BENCH_PGBOUNCER")
    return named or shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def version(program: str) -> str:
    """As it says."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 -- the package's own program
    return said.stdout.splitlines()[0]


@contextmanager
def running(program: str, target: int, database: str, user: str, password: str) -> Iterator[int]:
    """In session mode, which is what a session with prepared statements needs; yields its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        users, settings = folder / "users", folder / "settings"
        users.write_text(f'"{user}" "{password}"\n')
        settings.write_text(
            _SETTINGS.format(database=database, target=target, port=port, users=users)
        )
        steps_down = _stepping_down(folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 -- the package's own program
                [program, "-q", *steps_down, str(settings)], stdout=log, stderr=subprocess.STDOUT
            )
            try:
                await_port(process, port, folder / "log", name="PgBouncer")
                yield port
            finally:
                process.terminate()
                process.wait()


def _stepping_down(folder: Path) -> list[str]:
    """It refuses to run as root; the files are then the other user's."""
    if os.geteuid() != 0:
        return []
    other = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, other.pw_uid, other.pw_gid)
    return ["-u", "nobody"]
