"""An SSH target on a real sshd: an owner who installed the host side, a broker, an open account.

Run as root, the account is another one than root's, as on a real host; run by an ordinary user it
is that user's own, and so is the broker's.
"""

import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import asyncssh
import msgspec
import pytest

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.targets.ssh import keys, owner_script
from callpoint.adapters.targets.ssh.connector import SshConnector
from callpoint.adapters.targets.ssh.owner_script import Place
from callpoint.adapters.targets.ssh.settings import SshRole, SshSettings
from callpoint.cli.sshd_server import check_account, own_account
from callpoint.cli.throwaway_sshd import ThrowawaySshd
from callpoint.domain.errors import TargetRefusedError, UnavailableError
from callpoint.domain.undo_plan import UndoPlan
from callpoint.host import processes, wire
from callpoint.host.connections import key_id
from callpoint.ports.targets import Credential, MintRequest
from tests.servers import need_sshd

INSTALLATION = "tssh01"
SLEEP = "sleep 4711"
"""What tests leave running on the account: told apart from everybody else's."""

_LOOPBACK = "127.0.0.1"


@dataclass
class SshSite:
    """One prepared host.

    Attributes:
        server: The real sshd.
        folder: Everything of ours on the "host".
        place: Where the pieces are in it.
        settings: As the configuration would say.
        account: The unix account that certificates open.
        connector: Over those settings.
    """

    server: ThrowawaySshd
    folder: Path
    place: Place
    settings: SshSettings
    account: str
    connector: SshConnector
    opened: list[asyncssh.SSHClientConnection] = field(default_factory=list)
    changed: dict[Path, bytes | None] = field(default_factory=dict)
    made: list[Path] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return Path(self.place.state)

    @property
    def krl(self) -> Path:
        return self.state / "revoked.krl"

    @property
    def home(self) -> Path:
        return Path(pwd.getpwnam(self.account).pw_dir)

    def with_settings(self, **changes: object) -> "SshSite":
        """The same place seen through other settings."""
        settings = msgspec.structs.replace(self.settings, **changes)
        return replace(self, settings=settings, connector=connector_for(settings))

    def plan(
        self, role: str = "repair", minutes: float = 30, sources: tuple[str, ...] = ()
    ) -> UndoPlan:
        """A plan for a new handle."""
        return self.connector.plan(
            MintRequest(
                handle=INSTALLATION + SystemRandom().ident(14),
                target=self.settings.name,
                role=role,
                not_after=datetime.now(UTC) + timedelta(minutes=minutes),
                sources=sources,
            )
        )

    async def login(
        self, credential: Credential, username: str = ""
    ) -> asyncssh.SSHClientConnection:
        """Connect as the actor."""
        where = credential.endpoint
        key = asyncssh.import_private_key(credential.secret)
        certificate = asyncssh.import_certificate(where["certificate"])
        return await self._connect(username or credential.username, (key, certificate))

    def forged(self, credential: Credential) -> Credential:
        """The same certificate in all but its CA."""
        name = key_id(credential.endpoint["certificate"].split()[1])
        plan = self.plan()
        plan = msgspec.structs.replace(plan, handle=str(name)[3:], account=str(name))
        ca = asyncssh.import_private_key(new_key())
        pair = keys.actors(ca, plan, new_key(), datetime.now(UTC), "/bin/true")
        endpoint = credential.endpoint | {"certificate": pair.certificate}
        return msgspec.structs.replace(credential, secret=pair.private, endpoint=endpoint)

    async def short_lived(
        self, role: str = "repair"
    ) -> tuple[UndoPlan, Credential, asyncssh.SSHClientConnection]:
        """Somebody logged in with a certificate that ends in as few seconds as the machine can."""
        for seconds in (3, 6, 12, 24):
            end = datetime.now(UTC) + timedelta(seconds=seconds)
            plan = msgspec.structs.replace(self.plan(role), not_after=end)
            try:
                credential = (await self.connector.issue(plan)).credential
                connection = await self.login(credential)
            except (TargetRefusedError, asyncssh.PermissionDenied):
                continue  # the machine was slower than that
            if end - datetime.now(UTC) > timedelta(seconds=seconds) / 2:
                return plan, credential, connection
        raise AssertionError("this machine is too slow to log in within seconds")

    async def broker(self) -> asyncssh.SSHClientConnection:
        """Connect as whoever stole the broker's key."""
        key = asyncssh.import_private_key(self.settings.broker_key)
        return await self._connect(self.settings.broker, key)

    async def _connect(self, username: str, key: object) -> asyncssh.SSHClientConnection:
        connection = await asyncssh.connect(
            _LOOPBACK,
            self.server.port,
            username=username,
            client_keys=[key],
            known_hosts=([asyncssh.import_public_key(self.server.host_key)], [], []),
            config=None,
            agent_path=None,
            login_timeout=10,
        )
        # Closed at the end, so that a test may leave a session for the connector to kill.
        self.opened.append(connection)
        return connection

    async def ask(
        self, raw: bytes, connection: asyncssh.SSHClientConnection | None = None
    ) -> dict[str, object]:
        """Say something to the host side with the broker's key, as a thief would."""
        connection = connection or await self.broker()
        process = await connection.create_process("anything", encoding=None)
        process.stdin.write(raw)
        process.stdin.write_eof()
        answer: dict[str, object] = json.loads(await process.stdout.read())
        return answer

    async def verb(self, verb: str, **fields: object) -> dict[str, object]:
        return await self.ask(wire.request(verb, INSTALLATION, **fields))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The host side's program, as the owner or the timer runs it."""
        return subprocess.run(
            [self.place.program, *words, "--config", self.place.config],
            capture_output=True,
            text=True,
            check=False,
        )

    def reap(self, times: int = 1) -> None:
        """The timer."""
        for _ in range(times):
            done = self.run("reap")
            assert done.returncode == 0, done.stderr

    def change(self, path: Path, content: bytes | None, mode: int = 0o644) -> Path:
        """Write a file of the account's as it would itself, or delete it; undone by ``clean``."""
        self.changed.setdefault(path, path.read_bytes() if path.exists() else None)
        user = pwd.getpwnam(self.account)
        for folder in reversed([f for f in path.parents if f.is_relative_to(self.home)]):
            if not folder.exists():
                folder.mkdir(mode=0o700)
                self.made.append(folder)
                os.chown(folder, user.pw_uid, user.pw_gid)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
            os.chown(path, user.pw_uid, user.pw_gid)
            path.chmod(mode)
        return path

    def clean(self) -> None:
        """No entry, session or file of an earlier test."""
        for path, content in self.changed.items():
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
        self.changed.clear()
        for folder in reversed(self.made):
            folder.rmdir()
        self.made.clear()
        for process in [p for p in processes.table().values() if self._is_left(p)]:
            processes.send(process, signal.SIGKILL)
        shutil.rmtree(self.state)
        shutil.copytree(self.folder / "pristine", self.state)

    def prepare(self) -> None:
        """What the owner's script does last; kept, as each test begins with it."""
        done = self.run("prepare")
        assert done.returncode == 0, done.stderr
        shutil.copytree(self.state, self.folder / "pristine")

    def _is_left(self, process: processes.Process) -> bool:
        ours = f"{wire.PREFIX}{INSTALLATION}"
        return process.mark.startswith(ours) or SLEEP in process.title


def connector_for(settings: SshSettings) -> SshConnector:
    return SshConnector(settings, SystemClock(), SystemRandom())


def open_account() -> str:
    """Somebody who can log in: not root where that can be helped."""
    if os.geteuid() == 0:
        for entry in pwd.getpwall():
            try:
                check_account(entry, Path("/nowhere"))  # a locked password is PAM's affair
            except UnavailableError:
                continue
            if entry.pw_uid != 0:
                return entry.pw_name
    return own_account()


def need_another_account(site: SshSite) -> None:
    """Skip where actor and host side are one user: nothing on a host holds that one."""
    if pwd.getpwnam(site.account).pw_uid == os.geteuid():
        pytest.skip("needs root, and an account beside root's")


def new_key() -> str:
    return keys.new_private(SystemRandom().token(keys.SEED_SIZE))


@contextmanager
def alone_on_the_account() -> Iterator[None]:
    """Test files run side by side, but there is one account, and one home of it."""
    lock = Path(tempfile.gettempdir()) / f"callpoint-test-account-{os.geteuid()}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def fresh(site: SshSite) -> AsyncIterator[SshSite]:
    """Nobody enrolled; what the test opens and changes in the account's home is undone."""
    with alone_on_the_account():
        site.clean()
        try:
            yield site
        finally:
            for connection in site.opened:
                connection.abort()
                await connection.wait_closed()
            site.opened.clear()
            site.clean()


@contextmanager
def running_site(account: str = "", run_as: str = "") -> Iterator[SshSite]:
    """Prepare a host as its owner would; it is gone afterwards.

    Args:
        account: The unix account that roles open.
        run_as: Started by root: the account that sshd itself, and so all of it, runs as.
    """
    binaries = need_sshd()
    account = account or open_account()
    # Not pytest's own folder, which other accounts cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="callpoint-host-")).resolve()
    folder.chmod(0o755)
    place = Place(
        etc=PurePosixPath(folder / "etc"),
        state=PurePosixPath(folder / "state"),
        library=PurePosixPath(folder / "lib"),
        program=PurePosixPath(folder / "callpoint-host"),
        python=_python(),
        sshd=str(binaries.sshd),
    )
    settings = _settings(account, run_as or own_account(), place)
    lines = (
        f"AuthorizedKeysFile {place.etc}/keys/%u",
        "MaxStartups 100",
        # Or Debian's bash runs ~/.bashrc before each command; root's may take longer than we do.
        "SetEnv SHLVL=1",
        # With PAM, an account whose password is locked is open to certificates, as on most hosts.
        f"UsePAM {'yes' if os.geteuid() == 0 and not run_as else 'no'}",
        *owner_script.sshd_lines(settings, place).splitlines(),
    )
    try:
        _install(folder, settings, place)
        with ThrowawaySshd(binaries, lines, run_as=run_as) as server:
            place = msgspec.structs.replace(
                place,
                port=server.port,
                log=str(server.log_path),
                sshd_config=str(server.home / "sshd_config"),
            )
            settings = msgspec.structs.replace(
                settings, port=server.port, host_keys=(server.host_key,)
            )
            Path(place.config).write_text(owner_script.host_json(settings, place))
            site = SshSite(server, folder, place, settings, account, connector_for(settings))
            site.prepare()
            if run_as:
                _give(folder, pwd.getpwnam(run_as))
            yield site
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(account: str, broker: str, place: Place) -> SshSettings:
    ca = new_key()
    return SshSettings(
        name="web-1",
        installation=INSTALLATION,
        host=_LOOPBACK,
        # Until sshd has made its own.
        host_keys=(keys.public_line(asyncssh.import_private_key(ca)),),
        ca_key=ca,
        broker_key=new_key(),
        broker=broker,
        roles={
            "repair": SshRole(account, permit=("pty",)),
            "tunnel": SshRole(account, permit=("port-forwarding",)),
            "restart": SshRole(account, command="/bin/echo restarted --now"),
        },
        program=str(place.program),
    )


def _install(folder: Path, settings: SshSettings, place: Place) -> None:
    library = Path(place.library) / "callpoint" / "host"
    for path in (library, Path(place.etc) / "keys", Path(place.state)):
        path.mkdir(parents=True)
    for name, text in owner_script.sources().items():
        (library / name).write_text(text)
    subprocess.run([place.python, "-m", "compileall", "-q", library], check=True)
    program = Path(place.program)
    program.write_text(owner_script.launcher(place))
    program.chmod(0o755)
    Path(place.ca).write_text(owner_script.ca_line(settings))
    direct = f"{place.program} serve --config {place.config}"
    line = owner_script.broker_line(settings, place).replace(f"sudo -n {direct}", direct)
    (Path(place.etc) / "keys" / settings.broker).write_text(line)


def _give(folder: Path, user: pwd.struct_passwd) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)


def _python() -> str:
    """One that every account may run: a virtual environment may lie below root's home."""
    return shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable


def soon(seen, within: float = 10.0) -> None:
    """Wait until it is so; blocks."""
    deadline = time.monotonic() + within
    while not seen():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
