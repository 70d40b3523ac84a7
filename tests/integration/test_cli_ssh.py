"""A real ssh on a real sshd, with a certificate whose key is in no file."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from callpoint.cli.invocation import Invocation
from callpoint.cli.machine import ThisMachine
from callpoint.cli.session import run_session
from callpoint.cli.throwaway_sshd import ThrowawaySshd
from callpoint.ports.box import SealedCredential
from callpoint.ports.targets import Credential
from tests.servers import missing, need_sshd
from tests.ssh_keys import Authority, KeyPair, make_authority, make_key

PRINCIPAL = "repair"
WITHIN = 10.0


@dataclass
class Host:
    """A host that trusts an authority, and what lies on it."""

    server: ThrowawaySshd
    authority: Authority
    key: KeyPair
    folder: Path

    def credential(self, *options: str, host_key: str = "") -> SealedCredential:
        """As a connector hands it out."""
        certificate = self.authority.certify(self.key, PRINCIPAL, *options)
        endpoint = {
            "protocol": "ssh",
            "host": "127.0.0.1",
            "port": str(self.server.port),
            "certificate": " ".join(certificate.split()[:2]),
            "host_key": host_key or self.server.host_key,
        }
        inner = Credential(pwd.getpwuid(os.geteuid()).pw_name, self.key.private, endpoint, "")
        return SealedCredential("tstinc", "abcdefghij01", "l", "app-host", "repair", "", inner)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    binaries = need_sshd()
    if ThisMachine().find_program("ssh") is None:
        missing("ssh is not on this machine")
    authority = make_authority(binaries, tmp_path)
    principals = tmp_path / "principals"
    principals.write_text(f"{PRINCIPAL}\n")
    settings = (
        f"TrustedUserCAKeys {authority.public_file}",
        f"AuthorizedPrincipalsFile {principals}",
        "ExposeAuthInfo yes",
    )
    key = make_key(binaries, tmp_path / "key")
    with ThrowawaySshd(binaries, settings) as server:
        yield Host(server, authority, key, tmp_path)


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A private folder with an awkward name, short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="run time 100%") as path:
        yield Path(path)


class Here(ThisMachine):
    """This machine with another environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    @property
    def environment(self) -> dict[str, str]:
        return self._environment


def connect(sealed: SealedCredential, *arguments: str, **around: str) -> int:
    machine = Here({**os.environ, **around})
    return run_session(Invocation("", None, "text", machine), sealed, arguments)


def test_it_logs_in_with_the_certificate_and_lends_it_to_nobody(host: Host, tmp_path: Path):
    """The right account by that certificate, no agent on the host, and the command's own status."""
    out = tmp_path / "out"
    shows = f"id -un > {out}; cat $SSH_USER_AUTH >> {out}; echo ${{SSH_AUTH_SOCK:-none}} >> {out}"
    sealed = host.credential()
    assert connect(sealed, shows, SSH_AUTH_SOCK="/nowhere") == 0
    account, how, agent = out.read_text().splitlines()
    assert account == sealed.credential.username
    assert how.split()[1:] == sealed.credential.endpoint["certificate"].split()
    assert agent == "none"
    assert connect(sealed, "exit 7") == 7


def test_the_key_is_in_no_file_and_on_no_command_line(host: Host, tmp_path: Path, runtime: Path):
    """While ssh runs, its folder holds only what is public; afterwards there is no folder."""
    listing = tmp_path / "listing"
    sealed = host.credential()
    looks = f"cat {str(runtime)!r}/*/*.pub {str(runtime)!r}/*/known_hosts > {listing}"
    assert connect(sealed, looks, XDG_RUNTIME_DIR=str(runtime)) == 0
    seen = listing.read_text()
    assert sealed.credential.endpoint["certificate"] in seen
    assert not any(line in seen for line in sealed.credential.secret.splitlines())
    assert list(runtime.iterdir()) == []


def test_another_host_at_the_address_is_not_talked_to(
    host: Host, capfd: pytest.CaptureFixture[str]
):
    """A host key that is not the pinned one ends it before anything is offered."""
    other = make_key(host.server.binaries, host.folder / "other").public
    assert connect(host.credential(host_key=other), "true") == 255
    assert "Host key verification failed" in capfd.readouterr().err
    assert "Accepted" not in host.server.log()


def test_a_dead_certificate_asks_for_nothing(host: Host, capfd: pytest.CaptureFixture[str]):
    """A revoked credential ends ssh with its own status, and no password is asked for."""
    sealed = host.credential()
    revoked = host.folder / "revoked"
    words = ["-k", "-q", "-f", str(revoked), "-s", str(host.authority.public_file), "-"]
    keygen = host.server.binaries.keygen
    subprocess.run([keygen, *words], input=b"serial: 1\n", check=True)
    host.server.restart((*host.server.settings, f"RevokedKeys {revoked}"))
    assert connect(sealed, "true") == 255
    assert "Permission denied" in capfd.readouterr().err


def test_being_ended_ends_the_session(host: Host, tmp_path: Path, runtime: Path):
    """SIGTERM to callpoint ends ssh and the session, and leaves no folder."""
    file = tmp_path / "credential"
    file.write_bytes(msgspec.json.encode(host.credential()))
    began = tmp_path / "began"
    code = (
        "import sys, msgspec\n"
        "from pathlib import Path\n"
        "from callpoint.cli.invocation import Invocation\n"
        "from callpoint.cli.machine import ThisMachine\n"
        "from callpoint.cli.session import run_session\n"
        "from callpoint.ports.box import SealedCredential\n"
        f"sealed = msgspec.json.decode(Path({str(file)!r}).read_bytes(), type=SealedCredential)\n"
        "run = Invocation('', None, 'text', ThisMachine())\n"
        f"sys.exit(run_session(run, sealed, ['touch {began}; sleep 60']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
    )
    deadline = time.monotonic() + WITHIN
    while not began.exists():
        assert time.monotonic() < deadline, host.server.log()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN) == 128 + signal.SIGTERM
    assert list(runtime.iterdir()) == []
