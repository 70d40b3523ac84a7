"""An OpenSSH server that lives as long as a demo or a test run, and leaves nothing behind.

It listens on a free port of 127.0.0.1 with a host key of its own, lets nobody in by password, and
otherwise does what the caller's lines of ``sshd_config`` say. Started by root it takes logins to
every account, started by another user to that user's account only.

Not for production, and not a target that Callpoint manages by itself.
"""

import itertools
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from callpoint.cli import process_tree
from callpoint.cli.loopback import LOOPBACK, free_port
from callpoint.cli.sshd_server import SshServer
from callpoint.domain.errors import UnavailableError

_DEFAULTS = {
    # PAM belongs to the machine, and needs root; without it an account is only its shell.
    "UsePAM": "no",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "PermitRootLogin": "prohibit-password",
    # Files lie in a temporary folder, below one that everybody may write to, as strict mode sees.
    "StrictModes": "no",
    "AuthorizedKeysFile": "none",
    "PidFile": "none",
    "LogLevel": "VERBOSE",
    "UseDNS": "no",
}
"""Each is left out when the caller's lines set it."""

_PENALTIES_SINCE = (9, 8)

_START_ATTEMPTS = 3
_READY_WITHIN_SECONDS = 30.0
_STOP_WITHIN_SECONDS = 30.0
_LOG_TAIL_LINES = 20
_MISSING_FOLDER = re.compile(r"Missing privilege separation directory: (\S+)")


@dataclass(slots=True)
class _Running:
    """The two processes of one start."""

    server: subprocess.Popen[bytes]
    watchdog: subprocess.Popen[bytes]


@dataclass(slots=True)
class ThrowawaySshd:
    """One throwaway server; use it as a context manager, or call `start` and `stop`.

    Attributes:
        binaries: The server to start, from `sshd_server`.
        settings: Lines of sshd_config: ``TrustedUserCAKeys FILE``, ``ExposeAuthInfo yes``, blocks.
        run_as: Started by root: the account that the server itself runs as; empty for root.
        port: TCP port on 127.0.0.1; 0 before the first start.
        host_key: Its public key as a client pins it: ``ssh-ed25519 AAAA…``, no comment.
    """

    binaries: SshServer
    settings: tuple[str, ...] = ()
    run_as: str = ""
    port: int = field(default=0, init=False)
    host_key: str = field(default="", init=False)
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
        """The server's directory: configuration, host key, log. Exists from `start` to `stop`."""
        if self._home is None:
            raise UnavailableError("this throwaway sshd has not been started")
        return self._home

    @property
    def log_path(self) -> Path:
        return self.home / "log"

    def log(self) -> str:
        """What the server wrote down so far."""
        return self.log_path.read_text(errors="replace")

    def start(self) -> None:
        """Make a host key, check the configuration, and wait until it listens.

        Raises:
            UnavailableError: It did not come up; the message ends with the server's own words.
        """
        if self._home is not None:
            raise UnavailableError("this throwaway sshd is already started")
        self._home = Path(tempfile.mkdtemp(prefix="callpoint-ssh-")).resolve()
        self._owner_pid = os.getpid()
        try:
            if self.run_as:
                entry = pwd.getpwnam(self.run_as)
                os.chown(self._home, entry.pw_uid, entry.pw_gid)
            self.host_key = self._make_host_key()
            self._start_on_free_port()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and every session, and delete its files; nothing when called again.

        In a forked child it does nothing either: the server belongs to the parent.

        Raises:
            UnavailableError: A process of it cannot be ended.
        """
        if self._home is None or os.getpid() != self._owner_pid:
            return
        try:
            self._end()
        finally:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def restart(self, settings: tuple[str, ...]) -> None:
        """End it with all sessions, and start it on the same port with other lines.

        Raises:
            UnavailableError: It did not come up.
        """
        self._end()
        self.settings = settings
        self._write_configuration()
        self._launch()

    def _make_host_key(self) -> str:
        key = self.home / "host_key"
        made = subprocess.run(  # noqa: S603 -- our own arguments, binaries found by find_sshd
            [self.binaries.keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key],
            **self._identity(),
            env=_environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise UnavailableError(f"{self.binaries.keygen} made no host key: {made.stderr}")
        return " ".join(key.with_suffix(".pub").read_text().split()[:2])

    def _start_on_free_port(self) -> None:
        # Between finding a free port and the server's bind another process may take it.
        for attempt in range(1, _START_ATTEMPTS + 1):
            self.port = free_port()
            self._write_configuration()
            try:
                self._launch()
            except UnavailableError as error:
                if attempt == _START_ATTEMPTS or "Address already in use" not in error.message:
                    raise
            else:
                return

    def _write_configuration(self) -> None:
        said = _keywords(self.settings)
        lines = [
            f"Port {self.port}",
            f"ListenAddress {LOOPBACK}",
            f"HostKey {self.home / 'host_key'}",
            *(f"{key} {value}" for key, value in self._defaults() if key.lower() not in said),
            *self.settings,  # last: they may end with a Match block
        ]
        self._configuration.write_text("\n".join(lines) + "\n")
        self._check()

    def _defaults(self) -> Iterator[tuple[str, str]]:
        yield from _DEFAULTS.items()
        if self.binaries.version >= _PENALTIES_SINCE:
            # All clients are at one address: refused logins, which are shown here, would close it.
            yield "PerSourcePenalties", "no"

    @property
    def _configuration(self) -> Path:
        return self.home / "sshd_config"

    def _check(self) -> None:
        """Ask sshd itself, and make the empty folder that root's sshd locks itself into.

        A distribution makes the folder when its own sshd starts. It stays: it is every sshd's.
        """
        said = self._tested()
        missing = _MISSING_FOLDER.search(said)
        if missing is not None and os.geteuid() == 0:
            Path(missing[1]).mkdir(mode=0o755, parents=True, exist_ok=True)
            said = self._tested()
        if said:
            raise UnavailableError(f"{self.binaries} refuses its configuration: {said}")

    def _tested(self) -> str:
        """Empty when sshd takes the configuration, else its words."""
        done = subprocess.run(  # noqa: S603 -- as above
            [self.binaries.sshd, "-t", "-f", self._configuration],
            **self._identity(),
            env=_environment(),
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"

    def _launch(self) -> None:
        already = self.log_path.stat().st_size if self.log_path.exists() else 0
        server = subprocess.Popen(  # noqa: S603 -- as above
            [self.binaries.sshd, "-D", "-f", self._configuration, "-E", self.log_path],
            **self._identity(),
            env=_environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the server
        )
        watchdog = subprocess.Popen(  # noqa: S603 -- our own program, alone
            [
                *(sys.executable, "-I", process_tree.__file__),
                *(str(server.pid), str(self.port), self.home),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        self._running = _Running(server, watchdog)
        self._wait_until_ready(server, already)

    def _wait_until_ready(self, server: subprocess.Popen[bytes], already: int) -> None:
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        listening = f"Server listening on {LOOPBACK} port {self.port}"
        while listening not in self._log_since(already):
            try:
                server.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
            lines = self._log_since(already).splitlines()
            self._end()
            tail = "\n".join(lines[-_LOG_TAIL_LINES:])
            raise UnavailableError(f"{self.binaries} did not start; its log ends with:\n{tail}")

    def _log_since(self, already: int) -> str:
        try:
            return self.log_path.read_bytes()[already:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _end(self) -> None:
        if self._running is None:
            return
        running, self._running = self._running, None
        try:
            gone = process_tree.end_sshd(running.server.pid, self.port)
            running.server.wait(_STOP_WITHIN_SECONDS)
        finally:
            running.watchdog.communicate(b"done\n")
        if not gone:
            raise UnavailableError(
                f"sessions of the throwaway sshd on port {self.port} cannot be ended",
                way_out=f"look for SSH_CONNECTION=… {LOOPBACK} {self.port} in /proc/*/environ",
            )

    def _identity(self) -> "_Identity":
        if not self.run_as:
            return {}
        entry = pwd.getpwnam(self.run_as)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class _Identity(TypedDict, total=False):
    """The part of `subprocess.run`'s arguments that steps down from root."""

    user: int
    group: int
    extra_groups: list[int]


def _keywords(settings: tuple[str, ...]) -> set[str]:
    """What the lines set for everybody: those before the first Match block."""
    words = (line.split(maxsplit=1)[0].lower() for line in settings if line.strip())
    return set(itertools.takewhile(lambda word: word != "match", words))


def _environment() -> dict[str, str]:
    # Nothing of the caller's, which sessions would inherit in part.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
