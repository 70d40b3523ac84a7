"""The stage: a throwaway PostgreSQL with an owner, an installation, and ``callpoint serve``.

What an operator does once, in the order of the documents.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from callpoint.cli.demo import cast
from callpoint.cli.demo.errors import UnexpectedError
from callpoint.cli.demo.narrator import Narrator
from callpoint.cli.demo.repaired_host import RepairedHost, repaired_host
from callpoint.cli.demo.shell import Shell
from callpoint.cli.demo.timer import owners_timer
from callpoint.cli.loopback import free_port
from callpoint.cli.postgres_server import choose_server, find_servers
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.errors import UnavailableError

INSTALLATION_FILE = "home/installation.json"
"""Below the demo's folder, where everybody's terminal is."""

_READY_WITHIN_SECONDS = 30.0
_REAP_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Stage:
    """What the acts are played on.

    Attributes:
        shell: The terminals of the people.
        folder: Everything of the demo.
        owner_url: The database as its owner, to look from the outside.
        server: The address of ``callpoint serve``.
        has_psql: Whether ``callpoint connect`` can run psql.
        host: The second target; None on a machine that cannot play one.
    """

    narrator: Narrator
    shell: Shell
    folder: Path
    owner_url: str
    server: str
    has_psql: bool
    host: RepairedHost | None

    @property
    def configuration(self) -> Path:
        """The governed files."""
        return self.folder / "configuration"

    @property
    def installation(self) -> Path:
        """The installation's public file: what an outsider trusts."""
        return self.folder / INSTALLATION_FILE


@contextlib.contextmanager
def stage(narrator: Narrator, folder: Path) -> Iterator[Stage]:
    """Set it, and clear it away."""
    narrator.act("The stage")
    chosen = choose_server(find_servers())
    major, minor = chosen.version
    narrator.line(f"A throwaway PostgreSQL {major}.{minor} ({chosen.origin}) is the target.")
    with ThrowawayPostgres(chosen) as postgres, contextlib.ExitStack() as ends:
        host = host_or_reason(narrator, folder / "host", ends)
        password = secrets.token_urlsafe(18)
        owner_url = _orders_database(postgres, password)
        address = f"127.0.0.1:{free_port()}"
        psql = shutil.which("psql") or _bundled_psql(chosen.bindir)
        shell = Shell(
            narrator,
            folder,
            {
                "CALLPOINT_SERVER": f"http://{address}",
                cast.DSN_VARIABLE: postgres.url("orders", "orders_broker", password),
                **(host.secrets() if host else {}),
                "PATH": os.pathsep.join([os.environ.get("PATH", ""), str(chosen.bindir)]),
            },
        )
        made = Stage(narrator, shell, folder, owner_url, f"http://{address}", bool(psql), host)
        _install(made)
        _prepare_target(made)
        ends.enter_context(_reaper(owner_url))
        if host is not None:
            _prepare_host(made, host)
            ends.enter_context(host.reaping())
        ends.enter_context(_serving(made, address))
        yield made


def _orders_database(postgres: ThrowawayPostgres, password: str) -> str:
    """The database that will need repair, as its owner has it."""
    with psycopg.connect(postgres.superuser_url(), autocommit=True) as owner:
        owner.execute("CREATE DATABASE orders")
    url = postgres.superuser_url("orders")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(cast.ORDERS.format(password=password).encode())
    return url


def host_or_reason(
    narrator: Narrator, folder: Path, ends: contextlib.ExitStack
) -> RepairedHost | None:
    """The second target, or a sentence why there is none here: the first does not need it."""
    try:
        host = ends.enter_context(repaired_host(folder))
    except UnavailableError as error:
        narrator.line(f"Left out is the host under repair: {error}")
        return None
    narrator.line(f"A throwaway sshd of {host.sshd.binaries} is the second target.")
    return host


def _bundled_psql(bindir: Path) -> str | None:
    found = bindir / "psql"
    return str(found) if found.exists() else None


def _install(made: Stage) -> None:
    """Keys for everybody, a configuration, and an installation that two governors sign."""
    made.narrator.line("Eight people make their keys; two of them govern. They sign the rules.")
    keys: dict[str, str] = {}
    for who in cast.PEOPLE:
        (made.folder / who).mkdir(mode=0o700)
        facts = made.shell.json(who, "keygen", who, "--out", str(made.shell.key_file(who)))
        keys[who] = facts["public_key"]
    host = made.host.target() if made.host else ""
    made.configuration.mkdir()
    port = free_port()
    (made.configuration / "callpoint.toml").write_text(cast.configuration(keys, port, host))
    signs = [word for g in cast.GOVERNORS for word in ("--sign", str(made.shell.key_file(g)))]
    home = str(made.folder / "home")
    made.shell.run(
        "gina", "init", "--home", home, "--config", str(made.configuration), *signs, show=False
    )
    with (made.folder / "home" / "server.toml").open("a") as settings:
        settings.write(cast.LISTENER.format(port=port))
    made.narrator.good("genesis and configuration 1 are in the log")


def _prepare_target(made: Stage) -> None:
    """The owner of the database reads and runs the script that Callpoint prints."""
    installation = json.loads(made.installation.read_text())["id"]
    script = made.shell.run(
        "gina",
        *("target", "prepare", cast.TARGET, "--config", str(made.configuration)),
        *("--installation", installation),
        show=False,
    )
    with psycopg.connect(made.owner_url, autocommit=True) as owner:
        owner.execute(script.encode())
    made.narrator.good(
        "the database's owner ran the script of `callpoint target prepare orders-db`:"
        " Callpoint's own account may only call its functions"
    )


def _prepare_host(made: Stage, host: RepairedHost) -> None:
    """The owner of the host lets Callpoint admit certificates for one account and one program."""
    host.prepare(json.loads(made.installation.read_text())["id"])
    made.narrator.good(
        f"the host's owner prepared sshd: it admits whom Callpoint names, to the account"
        f" {host.account} and one program"
    )


@contextlib.contextmanager
def _reaper(owner_url: str) -> Iterator[None]:
    """The timer of the database's owner: ends what is over, also when Callpoint is dead."""
    with psycopg.connect(owner_url, autocommit=True) as owner:

        def reap() -> None:
            owner.execute("SELECT callpoint.reap()")

        with owners_timer("the database's reaper", _REAP_EVERY_SECONDS, reap):
            yield


@contextlib.contextmanager
def _serving(made: Stage, address: str) -> Iterator[None]:
    """``callpoint serve`` as a process of its own."""
    log = made.folder / "serve.log"
    with log.open("wb") as written:
        words = ["serve", "--home", str(made.folder / "home"), "--listen", address]
        process = subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, "-m", "callpoint", *words],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            env=made.shell.environment_of("gina"),
        )
        try:
            _await_ready(made.server, process, log)
            made.narrator.good(f"`callpoint serve` answers at {made.server}, its gateway beside it")
            yield
        finally:
            process.terminate()
            process.wait(timeout=_READY_WITHIN_SECONDS)


def _await_ready(server: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{server}/healthz", trust_env=False).is_success:
                return
        time.sleep(0.05)  # noqa: TID251 -- real time passes for a real process
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise UnexpectedError(f"`callpoint serve` does not answer:\n{tail}")


@contextlib.contextmanager
def folder(*, keep: bool) -> Iterator[Path]:
    """The demo's own folder, deleted afterwards unless it is to be kept."""
    path = Path(tempfile.mkdtemp(prefix="callpoint-demo-"))
    try:
        yield path
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)
