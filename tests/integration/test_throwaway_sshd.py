"""The throwaway sshd: started for real, as root and as an ordinary user, and surely stopped."""

import dataclasses
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from callpoint.cli.sshd_server import SshServer, check_account
from callpoint.cli.throwaway_sshd import ThrowawaySshd
from callpoint.domain.errors import UnavailableError
from tests.servers import need_sshd
from tests.ssh_keys import Authority, KeyPair, make_authority, make_key

WITHIN = 10.0


@pytest.fixture
def binaries() -> SshServer:
    return need_sshd()


@pytest.fixture
def authority(binaries: SshServer, tmp_path: Path) -> Authority:
    return make_authority(binaries, tmp_path)


@pytest.fixture
def alice(binaries: SshServer, tmp_path: Path) -> KeyPair:
    return make_key(binaries, tmp_path / "alice")


def ssh(server: ThrowawaySshd, key: KeyPair, *command: str) -> list[str]:
    """A client's command line, with nothing of the machine's configuration."""
    known = server.home / "known"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    return [
        *("ssh", "-F", "none", "-i", str(key.file), "-o", "IdentitiesOnly=yes"),
        *("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"),
        *("-o", "BatchMode=yes", "-p", str(server.port)),
        f"{account()}@127.0.0.1",
        *command,
    ]


def account() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def soon(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not seen():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_certificate_logs_in_and_leaves_no_process(
    binaries: SshServer, authority: Authority, alice: KeyPair, tmp_path: Path
):
    """The caller's lines count; stopping ends the session and what it had detached from itself."""
    authority.certify(alice, "repair")
    principals = tmp_path / "principals"
    principals.write_text("repair\n")
    settings = (
        f"TrustedUserCAKeys {authority.public_file}",
        "ExposeAuthInfo yes",
        f"Match User {account()}",
        f"AuthorizedPrincipalsFile {principals}",
    )
    mark = tmp_path / "detached"
    detach = f"nohup setsid sh -c 'echo $$ > {mark}; exec sleep 300' >/dev/null 2>&1 & sleep 300"
    with ThrowawaySshd(binaries, settings) as server:
        home = server.home
        shown = subprocess.run(
            ssh(server, alice, "cat $SSH_USER_AUTH"), capture_output=True, text=True, check=True
        )
        assert shown.stdout.startswith("publickey ssh-ed25519-cert-v01@openssh.com ")
        assert 'Accepted certificate ID "cp_1" (serial 1) signed by' in server.log()
        with subprocess.Popen(ssh(server, alice, detach), stderr=subprocess.DEVNULL) as session:
            soon(lambda: mark.exists() and mark.read_text().endswith("\n"))
            server.stop()
            assert session.wait(WITHIN) == 255
    if sys.platform == "linux":
        assert is_gone(int(mark.read_text()))
    assert not home.exists()
    with pytest.raises(UnavailableError, match="not been started"):
        _ = server.home


def is_gone(process: int) -> bool:
    """Killed, and at most waiting to be collected."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_a_stranger_is_refused(
    binaries: SshServer, authority: Authority, alice: KeyPair, tmp_path: Path
):
    """Without the authority's certificate nobody gets in: neither by key nor by password."""
    settings = (f"TrustedUserCAKeys {authority.public_file}",)
    with ThrowawaySshd(binaries, settings) as server:
        told = subprocess.run(
            ssh(server, alice, "true"), capture_output=True, text=True, check=False
        )
        assert (told.returncode, "Permission denied (publickey)" in told.stderr) == (255, True)


def test_it_can_be_restarted_with_other_lines(binaries: SshServer):
    """Port and host key stay, the lines are the new ones, and a default gives way to them."""
    with ThrowawaySshd(binaries) as server:
        before = (server.port, server.host_key)
        server.restart(("LogLevel DEBUG1",))
        assert (server.port, server.host_key) == before
        text = (server.home / "sshd_config").read_text()
        assert ("LogLevel DEBUG1" in text, "VERBOSE" in text) == (True, False)


def test_a_wrong_line_is_told_in_sshds_words(binaries: SshServer):
    """It does not start with a configuration that sshd refuses, and leaves nothing."""
    server = ThrowawaySshd(binaries, ("NoSuchKeyword yes",))
    with pytest.raises(UnavailableError, match="NoSuchKeyword"):
        server.start()
    with pytest.raises(UnavailableError, match="not been started"):
        _ = server.home


@pytest.mark.parametrize("version,known", [((9, 7), False), ((9, 8), True), ((10, 0), True)])
def test_refused_logins_do_not_close_the_door(
    binaries: SshServer, version: tuple[int, int], known: bool
):
    """Newer servers shut out an address after refusals: that is switched off where it exists."""
    server = ThrowawaySshd(dataclasses.replace(binaries, version=version))
    assert (("PerSourcePenalties", "no") in server._defaults()) == known


def test_an_ordinary_users_server(
    binaries: SshServer, authority: Authority, alice: KeyPair, tmp_path: Path
):
    """Root's test steps down: that server lets in to its own account and to no other."""
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's server is what all other tests start then")
    name = somebody()
    authority.certify(alice, f"{name},root")
    settings = (f"TrustedUserCAKeys {readable(authority.public_file)}",)
    with ThrowawaySshd(binaries, settings, run_as=name) as server:
        for who, status in ((name, 0), ("root", 255)):
            told = subprocess.run(
                [*ssh(server, alice)[:-1], f"{who}@127.0.0.1", "id -un"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert told.returncode == status, (who, told.stderr, server.log())
            assert status or told.stdout == f"{name}\n"


_PYTESTS = ("pytest-", "popen-", "test_")


def readable(file: Path) -> Path:
    """The same file where every account can read it: pytest's folders are closed."""
    for folder in (file.parent, *file.parent.parents):
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(_PYTESTS):
            folder.chmod(0o755)
    return file


def somebody() -> str:
    """An account that is not root's and has a shell, locked or not."""
    found = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0 and has_shell(entry)]
    if not found:
        pytest.skip("there is no account with a shell but root's")  # not a server, so no failure
    return found[0]


def has_shell(entry: pwd.struct_passwd) -> bool:
    try:
        check_account(entry, Path("/nowhere"))
    except UnavailableError:
        return False
    return True


def test_a_killed_parent_leaves_no_server(binaries: SshServer):
    """The watchdog outlives SIGKILL, then ends the server and deletes its files."""
    script = (
        "import os, signal\n"
        "from callpoint.cli.sshd_server import find_sshd\n"
        "from callpoint.cli.throwaway_sshd import ThrowawaySshd\n"
        "server = ThrowawaySshd(find_sshd())\n"
        "server.start()\n"
        "print(server.home, server._running.server.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    home, process = died.stdout.split()
    soon(lambda: not Path(home).exists())
    if sys.platform == "linux":
        soon(lambda: is_gone(int(process)))
