"""A host under repair: a throwaway sshd on this machine, prepared as its owner would.

The owner's part is real: the CA is trusted by sshd, the host side answers the broker, a timer runs,
and a role opens one program of the owner's. Only the places differ from an owner's host: all lies
in the demo's folder, and the demo's own account plays broker and actor alike.
"""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import callpoint
from callpoint.cli.demo import cast
from callpoint.cli.demo.errors import UnexpectedError
from callpoint.cli.demo.timer import owners_timer
from callpoint.cli.machine import ThisMachine
from callpoint.cli.sshd_server import SshServer, find_sshd, own_account
from callpoint.cli.throwaway_sshd import ThrowawaySshd
from callpoint.domain.errors import UnavailableError
from callpoint.host import processes

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_LONGEST_SECONDS = 3600
_REAP_EVERY_SECONDS = 5.0

# What the owner lets a repair do. The words are the actor's, so they are compared and never run.
_TOOL = """\
#!/bin/sh
case "$SSH_ORIGINAL_COMMAND" in
    status) exec cat {folder}/worker ;;
    "restart worker") echo running > {folder}/worker && echo "worker: restarted" ;;
    follow) echo "worker: following"; exec sleep 300 ;;
    *) echo "not in scope: $SSH_ORIGINAL_COMMAND" >&2; exit 126 ;;
esac
"""

# -I: nothing of the actor's environment decides what Python loads.
_HOST_SIDE = """\
#!/bin/sh
exec {python} -I -c '
import sys
sys.path.insert(0, "{source}")
from callpoint.host.command import main
sys.exit(main(sys.argv[1:]))
' "$@"
"""


@dataclass(frozen=True)
class RepairedHost:
    """The host, from its sshd's start to its stop.

    Attributes:
        folder: What its owner keeps: keys, the host side's state, the role's tool.
        account: The unix account that the role opens.
        sshd: Its server.
    """

    folder: Path
    account: str
    sshd: ThrowawaySshd

    @property
    def program(self) -> Path:
        """The host side."""
        return self.folder / "callpoint-host"

    @property
    def tool(self) -> Path:
        """The one program that the role opens."""
        return self.folder / "worker-tool"

    @property
    def worker(self) -> Path:
        """What needs repair: a file that says how the worker is."""
        return self.folder / "worker"

    @property
    def settings(self) -> Path:
        """The host side's configuration."""
        return self.folder / "host.json"

    def target(self) -> str:
        """Itself, as the governed file says it."""
        return cast.HOST_TARGET.format(
            port=self.sshd.port,
            host_key=self.sshd.host_key,
            account=self.account,
            program=self.program,
            tool=self.tool,
        )

    def secrets(self) -> dict[str, str]:
        """What the server has in its environment."""
        return {
            cast.CA_KEY_VARIABLE: (self.folder / "ca").read_text(),
            cast.BROKER_KEY_VARIABLE: (self.folder / "broker").read_text(),
        }

    def prepare(self, installation: str) -> None:
        """What the owner does once the installation is known."""
        content = {
            "installation": installation,
            "accounts": [self.account],
            "longest": _LONGEST_SECONDS,
            "state": str(self.folder / "state"),
            "ca": str(self.folder / "ca.pub"),
            "ports": [self.sshd.port],
            "log": str(self.sshd.log_path),
            "sshd": str(self.sshd.binaries.sshd),
            "sshd_config": str(self.sshd.home / "sshd_config"),
            "keygen": str(self.sshd.binaries.keygen),
            "revoked": str(self.folder / "revoked"),
        }
        self.settings.write_text(json.dumps(content, indent=2))
        self.settings.chmod(0o600)
        self._host_side("prepare")

    def has_processes_of(self, account: str) -> bool:
        """Whether anything still runs that a certificate opened."""
        return any(process.mark == account for process in processes.table().values())

    @contextlib.contextmanager
    def reaping(self) -> Iterator[None]:
        """The owner's timer on the host."""

        def reap() -> None:
            self._host_side("reap")

        with owners_timer("the host's reaper", _REAP_EVERY_SECONDS, reap):
            yield

    def _host_side(self, verb: str) -> None:
        done = subprocess.run(  # noqa: S603 -- our own program
            [self.program, verb, "--config", self.settings],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise UnexpectedError(f"callpoint-host {verb}: {done.stderr}")


@contextlib.contextmanager
def repaired_host(folder: Path) -> Iterator[RepairedHost]:
    """Start its sshd; stop it and all sessions in the end.

    Raises:
        UnavailableError: There can be none on this machine; the message says why.
    """
    server, account = _fitting(folder)
    folder.mkdir(mode=0o700)
    for name in ("ca", "broker"):
        _make_key(server, folder / name)
    sshd = ThrowawaySshd(
        server,
        (
            f"TrustedUserCAKeys {folder / 'ca.pub'}",
            f"AuthorizedPrincipalsFile {folder / 'state' / 'principals'}/%u",
            f"RevokedKeys {folder / 'state' / 'revoked.krl'}",
            f"AuthorizedKeysFile {folder / 'broker_login'}",
            "ExposeAuthInfo yes",
        ),
    )
    made = RepairedHost(folder, account, sshd)
    _write_programs(made)
    with sshd:
        yield made


def _fitting(folder: Path) -> tuple[SshServer, str]:
    """Raises UnavailableError unless this machine can play a host."""
    if sys.platform != "linux":
        raise UnavailableError("the host side reads Linux's /proc, which this system does not have")
    if not _PLAIN.fullmatch(str(folder)):
        raise UnavailableError(f"the temporary folder {folder} has a name that sshd cannot take")
    if ThisMachine().find_program("ssh") is None:
        raise UnavailableError(
            "ssh is not installed here", way_out="install the package `openssh-client`"
        )
    return find_sshd(), own_account()


def _make_key(server: SshServer, file: Path) -> None:
    subprocess.run(  # noqa: S603 -- our own arguments, found by find_sshd
        [server.keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], check=True
    )


def _write_programs(made: RepairedHost) -> None:
    source = Path(callpoint.__file__).resolve().parents[1]
    made.program.write_text(_HOST_SIDE.format(python=sys.executable, source=source))
    made.tool.write_text(_TOOL.format(folder=made.folder))
    for file in (made.program, made.tool):
        file.chmod(0o755)
    made.worker.write_text("stuck\n")
    broker = (made.folder / "broker.pub").read_text()
    command = f"{made.program} serve --config {made.settings}"
    (made.folder / "broker_login").write_text(f'restrict,command="{command}" {broker}')
