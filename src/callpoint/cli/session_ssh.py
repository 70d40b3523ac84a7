"""An ssh that uses the credential, and nothing of the user's own SSH configuration.

The private key stays in this process, which answers as ssh's agent; the certificate and the host's
key, which are no secrets, lie in a folder of this session alone.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from callpoint.cli.invocation import Invocation
from callpoint.domain.errors import RequestError
from callpoint.ports.box import SealedCredential

_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9_.:%-]*")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PORT = re.compile(r"[0-9]{1,5}")
_CERTIFICATE = re.compile(r"[a-z0-9-]+-cert-v01@openssh\.com [A-Za-z0-9+/=]+")
_HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+")

_LONGEST_FOLDER = 90  # sun_path is 104 bytes on macOS, less the socket's own name
_OF_SSH_ITSELF = 255

_FIXED = (
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "IdentitiesOnly=yes",
    "PreferredAuthentications=publickey",  # a dead credential ends at once and asks for no password
    "ForwardAgent=no",
    "ForwardX11=no",
    "ControlMaster=no",
    "ControlPath=none",
    "PermitLocalCommand=no",
    "ConnectTimeout=20",
)
"""Before the caller's arguments, so that they win: ssh takes the first value of each option."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to log in, as the credential says: each member checked."""

    account: str
    host: str
    port: str
    certificate: str
    host_keys: tuple[str, ...]


def run_ssh(
    run: Invocation, program: str, sealed: SealedCredential, arguments: Sequence[str]
) -> int:
    """Run ssh in the foreground; returns its exit status, which is that of the remote command.

    Args:
        run: The invocation.
        program: Path of ssh.
        sealed: The credential.
        arguments: A remote command, or options of ssh before it; none for a shell.

    Raises:
        RequestError: The credential is not complete, or its key cannot be used here.
    """
    # Here: what signs takes a tenth of a second, which psql need not pay.
    from callpoint.cli.ssh_agent import agent, load_key, public_line

    place = _place(sealed)
    key = load_key(sealed.credential.secret)
    around = {n: v for n, v in run.machine.environment.items() if not n.startswith("SSH_")}
    with _folder(run.machine.environment) as folder:
        (folder / "key.pub").write_text(public_line(key) + "\n")
        (folder / "certificate.pub").write_text(place.certificate + "\n")
        known = "".join(f"{sealed.target} {host_key}\n" for host_key in place.host_keys)
        (folder / "known_hosts").write_text(known)
        words = [program, *_options(sealed.target, folder)]
        words += ["-p", place.port, "-l", place.account, place.host, *arguments]
        with agent(key, folder / "agent"):
            return run.machine.run(words, around)


def broke_off(status: int) -> bool:
    """Whether ssh ended by itself: any other status is that of the last remote command."""
    return status == _OF_SSH_ITSELF


def _options(target: str, folder: Path) -> Iterator[str]:
    yield from ("-F", "none")  # neither the user's configuration nor the machine's
    files = {
        "IdentityAgent": folder / "agent",
        "IdentityFile": folder / "key.pub",
        "CertificateFile": folder / "certificate.pub",
        "UserKnownHostsFile": folder / "known_hosts",
    }
    for option, file in files.items():
        yield from ("-o", f"{option}={_quoted(file)}")
    # The pinned key is looked up by the target's name, so neither port nor spelling matters.
    for option in (f"HostKeyAlias={target}", *_FIXED):
        yield from ("-o", option)


def _quoted(file: Path) -> str:
    """For ssh, which splits these values at spaces, and takes a percent sign for its own tokens."""
    escaped = str(file).replace("%", "%%")
    return f'"{escaped}"' if " " in escaped else escaped


def _place(sealed: SealedCredential) -> _Place:
    """Raises RequestError if anything is missing or could be taken for something else by ssh."""
    credential = sealed.credential
    endpoint = credential.endpoint
    host_keys = tuple(endpoint.get("host_key", "").splitlines())
    wrong = [
        name
        for name, value, form in (
            ("target", sealed.target, _NAME),
            ("user", credential.username, _NAME),
            ("host", endpoint.get("host", ""), _HOST),
            ("port", endpoint.get("port", ""), _PORT),
            ("certificate", endpoint.get("certificate", ""), _CERTIFICATE),
        )
        if not form.fullmatch(value)
    ]
    if not host_keys or not all(_HOST_KEY.fullmatch(key) for key in host_keys):
        wrong.append("host key")
    if wrong:
        raise RequestError(
            f"the credential for {sealed.target} cannot be used with ssh: its"
            f" {' and '.join(wrong)} cannot be read",
            way_out=f"look at it with `callpoint credentials {sealed.activation}`",
        )
    return _Place(
        account=credential.username,
        host=endpoint["host"],
        port=endpoint["port"],
        certificate=endpoint["certificate"],
        host_keys=host_keys,
    )


def _is_ones_own(folder: str) -> bool:
    """Whether nobody else can replace what lies in it: under sudo it may be another user's."""
    try:
        seen = Path(folder).stat()
    except OSError:
        return False
    return bool(folder) and seen.st_uid == os.geteuid() and not seen.st_mode & 0o077


@contextlib.contextmanager
def _folder(environment: Mapping[str, str]) -> Iterator[Path]:
    """A folder of this session that only its owner enters; in memory where the system has that."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    path = Path(
        tempfile.mkdtemp(prefix="callpoint-", dir=runtime if _is_ones_own(runtime) else None)
    )
    if len(str(path)) > _LONGEST_FOLDER:
        path.rmdir()
        path = Path(tempfile.mkdtemp(prefix="callpoint-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
