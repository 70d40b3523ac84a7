"""`callpoint connect | credentials` on a host: the key leaves this process in no way."""

import base64
import json
import socket
import stat
import struct
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from callpoint.api.messages import Credentials
from callpoint.cli.ssh_agent import public_line, respond
from callpoint.ports.targets import Credential
from tests.fakes.canned_api import ID
from tests.fakes.machine import Shell
from tests.unit.test_cli_request import ARGUMENTS, FETCH, READ, RETURN, Server

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CERTIFICATE = "ssh-ed25519-cert-v01@openssh.com AAAACERT="
HOST_KEYS = "ssh-ed25519 AAAAHOST\nssh-rsa AAAAOTHER="
PLACE = {
    "protocol": "ssh",
    "host": "10.0.0.7",
    "port": "2222",
    "certificate": CERTIFICATE,
    "host_key": HOST_KEYS,
}


@cache  # OpenSSH's format has random check bytes
def private(key: object = KEY) -> str:
    """The key as a connector hands it out."""
    made = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())  # type: ignore[attr-defined]
    return str(made.decode())


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def alice(tmp_path: Path, server: Server) -> Shell:
    """Alice, whose request for a host is active; what ssh is given lies below `run`."""
    shell = Shell(tmp_path, "alice", server)
    assert shell.run(*ARGUMENTS).exit_code == 0
    server.lay(READ, server.shown("active", connectors={"orders-db": "ssh"}))
    give(server, Credential("deploy", private(), PLACE, "ssh …"))
    runtime = tmp_path / "run time 100%"
    runtime.mkdir(mode=0o700)
    shell.machine.environment = {**shell.machine.environment, "XDG_RUNTIME_DIR": str(runtime)}
    return shell


def give(server: Server, credential: Credential) -> None:
    server.lay(FETCH, lambda _: Credentials((server.box(credential=credential),)))


class Seen:
    """What ssh finds while it runs."""

    def __init__(self) -> None:
        self.folder = Path()
        self.files: dict[str, str] = {}
        self.modes: set[int] = set()
        self.identities = b""

    def look(self, arguments: list[str]) -> None:
        (option,) = [a for a in arguments if a.startswith("IdentityAgent=")]
        path = Path(option.partition("=")[2].strip('"').replace("%%", "%"))
        self.folder = path.parent
        self.files = {f.name: f.read_text() for f in self.folder.iterdir() if f.is_file()}
        self.modes = {stat.S_IMODE(self.folder.stat().st_mode)}
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(struct.pack(">IB", 1, 11))
            self.identities = client.recv(4096)


def test_ssh_gets_certificate_pinned_host_and_an_agent(alice: Shell, tmp_path: Path):
    """The key is in no file and no argument; the folder is private and gone afterwards."""
    seen = Seen()
    alice.machine.on_run = seen.look
    told = alice.run("connect", ID, "--", "-t", "systemctl restart orders")
    assert told.exit_code == 0, told.stderr
    ((arguments, around),) = alice.machine.ran
    assert arguments[0] == "/usr/bin/ssh"
    assert arguments[-7:] == [
        *("-p", "2222", "-l", "deploy", "10.0.0.7"),
        *("-t", "systemctl restart orders"),
    ]
    assert seen.files == {
        "key.pub": public_line(KEY) + "\n",
        "certificate.pub": CERTIFICATE + "\n",
        "known_hosts": "orders-db ssh-ed25519 AAAAHOST\norders-db ssh-rsa AAAAOTHER=\n",
    }
    assert seen.modes == {0o700}
    assert seen.identities[:9] == struct.pack(">IBI", len(seen.identities) - 4, 12, 1)
    assert list((tmp_path / "run time 100%").iterdir()) == []
    inside = private().splitlines()[1]
    assert inside not in told.output + json.dumps([arguments, around])


def test_a_folder_of_somebody_else_is_not_used(alice: Shell, tmp_path: Path):
    """Whoever may write beside our files could put another host key in their place."""
    runtime = tmp_path / "run time 100%"
    runtime.chmod(0o777)
    seen = Seen()
    alice.machine.on_run = seen.look
    assert alice.run("connect", ID).exit_code == 0
    assert seen.folder.parent != runtime
    assert seen.modes == {0o700}


def test_the_users_own_configuration_sends_it_nowhere_else(alice: Shell):
    """No configuration file counts, no agent of the user's, and no later option replaces ours."""
    ours = {"SSH_AUTH_SOCK": "/their/agent", "SSH_ASKPASS": "/their/prompt", "TERM": "xterm"}
    alice.machine.environment = {**alice.machine.environment, **ours}
    assert alice.run("connect", ID, "--", "-o", "StrictHostKeyChecking=no").exit_code == 0
    ((arguments, around),) = alice.machine.ran
    assert arguments[1:3] == ["-F", "none"]
    assert {name for name in around if name.startswith("SSH")} == set()
    assert around["TERM"] == "xterm"
    first = arguments.index("StrictHostKeyChecking=yes")
    assert first < arguments.index("10.0.0.7") < arguments.index("StrictHostKeyChecking=no")
    for option in ("ForwardAgent=no", "ControlMaster=no", "ControlPath=none", "IdentitiesOnly=yes"):
        assert option in arguments


@pytest.mark.parametrize("status,returned", [(0, 1), (130, 1), (255, 0)])
def test_a_last_command_that_failed_is_no_broken_session(
    alice: Shell, server: Server, status: int, returned: int
):
    """ssh gives the status of the remote shell, and 255 for itself: only then nothing is asked."""
    alice.machine.interactive = True
    alice.machine.exit_status = status
    assert alice.run("connect", ID, input="y\n").exit_code == status
    assert len(server.bodies(RETURN)) == returned


def test_without_ssh_nothing_is_taken_up(alice: Shell, server: Server):
    """A machine without ssh is told before the clock starts."""
    del alice.machine.programs["ssh"]
    server.lay(READ, server.shown("approved", connectors={"orders-db": "ssh"}))
    told = alice.run("connect", ID)
    assert (told.exit_code, "ssh is not installed" in told.stderr) == (2, True)
    assert server.bodies(FETCH) == []


def test_only_the_target_that_is_wanted_needs_its_program(alice: Shell, server: Server):
    """A request for a database and a host can open the host where there is no psql."""
    del alice.machine.programs["psql"]
    both = {"billing-db": "postgresql", "orders-db": "ssh"}
    server.lay(READ, server.shown("active", connectors=both))
    assert alice.run("connect", ID).exit_code == 2
    assert alice.run("connect", ID, "--open", "orders-db:repair").exit_code == 0


@pytest.mark.parametrize(
    "user,changed,named",
    [
        ("-oProxyCommand=x", {}, "user"),
        ("deploy", {"host": "-oProxyCommand=x"}, "host"),
        ("deploy", {"host": "ssh://elsewhere"}, "host"),
        ("deploy", {"port": ""}, "port"),
        ("deploy", {"certificate": "ssh-ed25519 AAAA"}, "certificate"),
        ("deploy", {"host_key": ""}, "host key"),
        ("deploy", {"host_key": "* ssh-ed25519 AAAA"}, "host key"),
    ],
)
def test_what_ssh_could_take_for_something_else(
    alice: Shell, server: Server, user: str, changed: dict[str, str], named: str
):
    """A credential that is not whole is refused by name; above all one without a pinned host."""
    give(server, Credential(user, private(), {**PLACE, **changed}, "ssh …"))
    told = alice.run("connect", ID)
    assert (told.exit_code, alice.machine.ran) == (2, [])
    assert f"its {named} cannot be read" in told.stderr


@pytest.mark.parametrize(
    "secret,words",
    [
        ("no key at all", "no OpenSSH private key"),
        (private(generate_private_key(65537, 2048)), "another kind than Ed25519"),
    ],
)
def test_a_key_that_cannot_be_used(alice: Shell, server: Server, secret: str, words: str):
    """It is said without quoting it."""
    give(server, Credential("deploy", secret, PLACE, "ssh …"))
    told = alice.run("connect", ID)
    assert (told.exit_code, words in told.stderr, secret in told.output) == (2, True, False)
    assert alice.machine.ran == []


def test_credentials_show_how_to_use_them_without_the_key(alice: Shell):
    """Certificate and host keys are shown, one line each; the key only in a file or on request."""
    told = alice.run("credentials", ID)
    lines = told.stdout.splitlines()
    for line in (
        "  user        deploy",
        f"  certificate {CERTIFICATE}",
        "  host_key    ssh-ed25519 AAAAHOST",
        "  host_key    ssh-rsa AAAAOTHER=",
        f"to connect: callpoint connect {ID}",
    ):
        assert line in lines
    assert "PRIVATE KEY" not in told.output
    shown = alice.run("credentials", ID, "--show-secret").stdout
    assert private() in shown
    path = alice.home / "kept.json"
    assert alice.run("credentials", ID, "--file", path).exit_code == 0
    assert json.loads(path.read_text())[0]["credential"]["secret"] == private()


def test_what_no_program_here_opens_says_how(alice: Shell, server: Server):
    """Of a target with another client, `connect` and `credentials` do not send to each other."""
    hint = "log in to switch1 as admin, with your own client"
    give(server, Credential("admin", "of-this-time-only", {"host": "switch1"}, hint))
    refused = alice.run("connect", ID)
    assert refused.exit_code == 2
    assert f"`callpoint credentials {ID} --file FILE` writes the secret" in refused.stderr
    told = alice.run("credentials", ID)
    assert hint in told.stdout.splitlines()[-1]
    assert "callpoint connect" not in told.stdout


def signed(message: bytes) -> bytes:
    """The agent's answer, with the key's own blob put in."""
    blob = base64.b64decode(public_line(KEY).split()[1])
    return respond(message.replace(b"BLOB", struct.pack(">I", len(blob)) + blob), KEY, blob)


def test_the_agent_signs_with_its_key_alone():
    """It answers two messages, and refuses another key, what is cut off, and everything else."""
    asked = b"\x0dBLOB" + struct.pack(">I", 4) + b"data" + struct.pack(">I", 0)
    answer = signed(asked)
    assert answer[0] == 14
    KEY.public_key().verify(answer[-64:], b"data")
    refused = bytes([5])
    other = b"\x0d" + struct.pack(">I", 3) + b"key" + struct.pack(">I", 4) + b"data"
    assert signed(other) == refused
    for length in range(1, len(asked) - 4):
        assert signed(asked[:length]) == refused
    for number in (1, 9, 17, 18, 19, 22, 27, 255):  # add, remove, lock, extensions …
        assert signed(bytes([number]) + b"rest") == refused
