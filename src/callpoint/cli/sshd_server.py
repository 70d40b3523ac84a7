"""Which OpenSSH server can be started on this machine, for the demo and the tests.

Here: finding it, telling its version, and whether an account can log in to it. Starting one is in
`throwaway_sshd`. Not here: the hosts that Callpoint opens for people; those are targets.
"""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from callpoint.domain.errors import UnavailableError

ENVIRONMENT_KEY = "CALLPOINT_TEST_SSHD"
"""Names an sshd; it goes before everything else."""

_PLACES = (
    "/usr/sbin/sshd",  # Linux distributions, macOS
    "/usr/local/sbin/sshd",
    "/opt/homebrew/opt/openssh/sbin/sshd",  # Homebrew on Apple silicon
    "/usr/local/opt/openssh/sbin/sshd",  # Homebrew on Intel
)
_SHADOW = Path("/etc/shadow")
_NO_SHELLS = frozenset({"nologin", "false", "sync", "shutdown", "halt"})


@dataclass(frozen=True, slots=True)
class SshServer:
    """An sshd that told its version, and the key generator of the same machine.

    Attributes:
        version: Major and minor number.
        sshd: Absolute, because sshd runs itself again for each connection.
        keygen: `ssh-keygen`.
    """

    version: tuple[int, int]
    sshd: Path
    keygen: Path

    def __str__(self) -> str:
        return f"OpenSSH {self.version[0]}.{self.version[1]} ({self.sshd})"


def find_sshd(
    environment: Mapping[str, str] | None = None, *, places: tuple[str, ...] = _PLACES
) -> SshServer:
    """The first sshd that runs: as `CALLPOINT_TEST_SSHD` names it, from PATH, or from a package.

    Args:
        environment: Read instead of the process's own environment.
        places: Where packages put it; mostly not on PATH of an ordinary user.

    Raises:
        UnavailableError: There is none, or the variable names something else.
    """
    environment = os.environ if environment is None else environment
    if named := environment.get(ENVIRONMENT_KEY):
        found = _described(Path(named))
        if found is None:
            raise UnavailableError(
                f"{ENVIRONMENT_KEY}={named} is no OpenSSH server that runs",
                way_out="name an sshd, or unset it",
            )
        return found
    for candidate in _candidates(environment.get("PATH", ""), places):
        found = _described(candidate)
        if found is not None:
            return found
    raise UnavailableError(
        "no OpenSSH server was found on this machine",
        way_out=f"install the package `openssh-server`, or set {ENVIRONMENT_KEY} to an sshd",
    )


def own_account() -> str:
    """The account that the caller can log in to over an sshd of its own: the caller's.

    Raises:
        UnavailableError: It has none, or sshd would let nobody in to it.
    """
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise UnavailableError(
            f"the user id {os.geteuid()} has no account on this machine, so nobody can log in to it"
            " over SSH",
            way_out="run as a user that is in the password file",
        ) from error
    check_account(entry)
    return entry.pw_name


def check_account(entry: pwd.struct_passwd, shadow: Path = _SHADOW) -> None:
    """See that sshd would let somebody in to this account.

    Raises:
        UnavailableError: It has no shell, or it is locked.
    """
    shell = Path(entry.pw_shell or "/bin/sh")
    if shell.name in _NO_SHELLS or not os.access(shell, os.X_OK):
        raise UnavailableError(
            f"the account {entry.pw_name} has no shell ({shell}), so nobody can log in to it",
            way_out="run as a user with a shell",
        )
    # Without PAM sshd refuses an account whose password is locked, even to a right key.
    if _is_locked(entry.pw_name, shadow):
        raise UnavailableError(
            f"the account {entry.pw_name} is locked, so sshd lets nobody in to it",
            way_out="run as another user",
        )


def read_version(sshd: Path) -> tuple[int, int] | None:
    """Ask the binary itself, so that what is found can also be run; None when it cannot."""
    try:
        # Before 9.2 there was no -V: the usage that it prints then begins with the version.
        answer = subprocess.run(  # noqa: S603 -- the path comes from the machine's own set-up
            [sshd, "-V"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(answer.stderr + answer.stdout)


def parse_version(text: str) -> tuple[int, int] | None:
    """Read what sshd says about itself; None when it is something else.

    >>> parse_version("OpenSSH_9.2, OpenSSL 3.0.19 27 Jan 2026")
    (9, 2)
    """
    match = re.search(r"OpenSSH_(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _described(sshd: Path) -> SshServer | None:
    sshd = sshd.absolute()
    version = read_version(sshd)
    if version is None:
        return None
    beside = sshd.parent.parent / "bin" / "ssh-keygen"
    keygen = str(beside) if beside.exists() else shutil.which("ssh-keygen")
    return SshServer(version, sshd, Path(keygen)) if keygen else None


def _candidates(path: str, places: tuple[str, ...]) -> Iterator[Path]:
    if on_path := shutil.which("sshd", path=path):
        yield Path(on_path)
    yield from map(Path, places)


def _is_locked(account: str, shadow: Path) -> bool:
    """As sshd sees it, which reads the password too; who may not read it cannot tell: not."""
    try:
        lines = shadow.read_text().splitlines()
    except OSError:
        return False
    fields = (line.split(":") for line in lines)
    return any(name == account and hashed.startswith("!") for name, hashed, *_ in fields)
