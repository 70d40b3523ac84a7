"""What the host side reads was written by actors and strangers: log, environments, files, folders.

It runs as root and ends processes, so each thing that it believes wrongly ends somebody else's, or
lets an actor stay.
"""

import asyncio
import os
import pwd
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncssh
import pytest

from callpoint.host import connections, files, processes, sessions, snapshot, wire
from callpoint.host.processes import Process
from callpoint.host.registry import Entry, Marks
from callpoint.host.settings import HostSettings
from tests.sshd_site import INSTALLATION, soon

HANDLE = INSTALLATION + "actor"
OTHER = next(entry for entry in pwd.getpwall() if entry.pw_uid not in {0, os.geteuid()})
"""An account that none of this test's files belong to."""


def own_entry(**changes):
    entry = Entry(HANDLE, OTHER.pw_name, wire.serial_of(HANDLE), 2_000_000_000, 1_900_000_000)
    return entry._replace(boot=processes.boot(), **changes)


def process(pid, **changes):
    made = Process(
        pid=pid, parent=1, start=1, uid=OTHER.pw_uid, session=pid, name="sleep", title="sleep 1"
    )
    return made._replace(**changes)


def belonging(settings, entry, *there):
    return sessions.of(settings, entry, {one.pid: one for one in there}, lambda _: {})


@pytest.fixture
def auth_file():
    """One of sshd's, of the account that the test runs as."""
    handle, name = tempfile.mkstemp(prefix="sshauth.", dir="/tmp")
    os.close(handle)
    renamed = Path(name.replace("_", "x"))
    Path(name).rename(renamed)
    yield str(renamed)
    renamed.unlink()


def run(*words, **where):
    subprocess.run(words, check=True, **where)


@contextmanager
def folder_of_an_actor(site):
    """In the account's home, which is looked at first; gone afterwards however deep it is."""
    folder = tempfile.mkdtemp(prefix="callpoint-actor-", dir=site.home)
    try:
        yield Path(folder)
    finally:
        run("rm", "-rf", folder)


async def test_a_strangers_user_name_is_no_login(ssh_site):
    """Who asks for a name that reads like sshd's own words attributes no connection to anybody."""
    plan = ssh_site.plan("tunnel")
    issued = await ssh_site.connector.issue(plan)
    connection = await ssh_site.login(issued.credential)
    host, port = connection.get_extra_info("sockname")[:2]
    forged = f"Accepted publickey for {ssh_site.account} from {host} port {port} ssh2"
    with pytest.raises(asyncssh.PermissionDenied):
        await ssh_site.login(issued.credential, forged)
    log = Path(ssh_site.place.log)
    soon(lambda: f"Invalid user {forged}" in log.read_text())
    await ssh_site.connector.disable(plan)
    assert await ssh_site.connector.kill_sessions(plan) == 0
    with suppress(asyncssh.Error, OSError):
        async with asyncio.timeout(10):
            await connection.wait_closed()
    assert connection.is_closed()


@pytest.mark.parametrize(
    "prefix", ["", "Nov 24 08:00:00 web sshd[7]: ", "2026-11-24T08Z web sshd[7]: "]
)
def test_only_a_message_of_sshds_tells_of_a_login(tmp_path, prefix):
    """Whatever a name or a program puts into a line; and a later line hides no true one."""
    told = "Accepted publickey for deploy from 192.0.2.1 port 4000 ssh2: ED25519-CERT SHA256:a ID"
    lines = [
        f"{prefix}{told} cp-true (serial 5) CA ED25519 SHA256:c",
        f"{prefix}Invalid user {told} cp-a (serial 5) from 192.0.2.9 port 1",
        f"{prefix}User sshd[1]: {told} cp-b (serial 5) not allowed because not listed",
        f"{prefix}Invalid user x sshd[1]: {told} cp-c (serial 5) from 192.0.2.9 port 1",
        f"Nov 24 08:00:00 web app[7]: {told} cp-d (serial 5)",
        f"{prefix}{told} cp-later (serial 6) CA ED25519 SHA256:c",
    ]
    log = tmp_path / "log"
    log.write_text("\n".join(lines) + "\n")
    settings = connections_settings(tmp_path, str(log))
    assert connections.logins(settings, 0) == {("192.0.2.1", 4000): {"cp-true", "cp-later"}}


def connections_settings(folder, log="/nowhere"):
    return HostSettings(INSTALLATION, (OTHER.pw_name,), 600, folder, folder / "ca", log=log)


def test_who_names_anothers_file_ends_nobody_else(tmp_path, auth_file):
    """An actor's process claims the file of another account's session: it is kept as no mark."""
    entry = own_entry()
    forger = process(4_000_001, mark=entry.name, auth=auth_file)
    victim = process(4_000_002, uid=os.geteuid(), auth=auth_file)
    found = belonging(connections_settings(tmp_path), entry, forger, victim)
    assert set(found.processes) == {forger.pid}
    assert found.marks.files == ()


def test_a_kept_file_ends_processes_of_its_account_only(tmp_path):
    """Its connection is over, so anybody may make a file of that name."""
    path = "/tmp/sshauth.gone0gone0gone0"  # noqa: S108 -- sshd's own place
    entry = own_entry(marks=Marks(files=(path,)))
    own = process(4_000_001, auth=path)
    victim = process(4_000_002, uid=OTHER.pw_uid + 77, auth=path)
    found = belonging(connections_settings(tmp_path), entry, own, victim)
    assert set(found.processes) == {own.pid}


@pytest.mark.parametrize(
    "path,scope",
    [
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice/session-3.scope/inner", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/session-1.scope", ""),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/user-0.slice/session-1.scope",
            "",
        ),
        ("/system.slice/box.service/user.slice/user-0.slice/session-1.scope", ""),
    ],
)
def test_a_control_group_of_the_actors_is_no_login_session(tmp_path, monkeypatch, path, scope):
    """Below its own manager an actor names groups as it likes, also like root's session."""
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "stat").write_text("7 (sh) S 1 7 7" + " 0" * 40)
    (folder / "status").write_text("Uid:\t1000\t1000\t1000\t1000\n")
    (folder / "cmdline").write_bytes(b"sh\0")
    (folder / "cgroup").write_text(f"1:name=systemd:{path}\n0::{path}\n")
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    found = processes.read(7)
    assert found is not None
    assert found.scope == scope


def test_no_device_and_no_pipe_is_opened(tmp_path):
    """To open one acts: a watchdog reboots the host. Whoever waits at a pipe goes on waiting."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    opened = threading.Event()

    def wait_for_a_reader():
        os.close(os.open(pipe, os.O_WRONLY))
        opened.set()

    writer = threading.Thread(target=wait_for_a_reader)
    writer.start()
    time.sleep(0.05)
    link = tmp_path / ".profile"
    link.symlink_to(pipe)
    assert files.read_regular(link, 100) is None
    was_opened = opened.wait(0.1)
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    writer.join()
    assert not was_opened


def test_an_environment_names_sshds_files_only(tmp_path):
    """No other path that a process names is looked at with root's rights."""
    certificate = tmp_path / "sshauth.abcdefghijklmno"
    certificate.write_text("publickey ssh-ed25519 AAAA\n")
    assert connections.key_id_in(str(certificate)) is None
    assert not connections.is_auth_file("/tmp/sshauth.abcdef/../../etc/shadow")  # noqa: S108
    assert not connections.is_auth_file("/tmp/sshauth.abcdef\n")  # noqa: S108


async def test_folders_without_end_keep_nobody_out(ssh_site):
    """Thousands of folders, one in the other, and names that are long when they are sent."""
    with folder_of_an_actor(ssh_site) as folder:
        run("mkdir", "-p", "/".join("a" * 1_500), cwd=folder)
        broad = folder.joinpath(*(f"{level}" + "\U0001f4a5" * 59 for level in range(3)))
        broad.mkdir(parents=True)
        for number in range(1_500):
            file = broad / (f"{number}" + "\U0001f4a5" * 60)
            file.touch()
            file.chmod(0o4755)
        plan = ssh_site.plan()
        issued = await ssh_site.connector.issue(plan)
    assert issued.baseline is not None
    assert any(name.startswith("and ") for name in issued.baseline["setuid file"])


async def test_what_is_too_deep_to_be_seen_is_said(ssh_site):
    """A setuid program below more folders than a path can name is a gap that is reported."""
    plan = ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    with folder_of_an_actor(ssh_site) as folder:
        deeper = "import os\nfor _ in range(22): os.mkdir('d' * 200); os.chdir('d' * 200)"
        run(sys.executable, "-c", deeper, cwd=folder)
        found = await ssh_site.connector.diff_persistence(plan, issued.baseline)
    said = {x.name.partition(": ")[2] for x in found if x.kind == "not examined"}
    assert "folders nested too deep" in said


def test_a_detached_program_named_like_sshd_is_found(monkeypatch):
    """Where there are no audit sessions it lives on; its name and its children hide nothing."""
    fake = process(4_000_001, name="sshd", title=f"sshd: {OTHER.pw_name}@pts/1")
    below = process(4_000_002, parent=fake.pid)
    monitor = process(
        4_000_003, uid=os.geteuid(), name="sshd", title=f"sshd: {OTHER.pw_name} [priv]"
    )
    served = process(
        4_000_004, parent=monitor.pid, name="sshd", title=f"sshd: {OTHER.pw_name}@pts/2"
    )
    shell = process(4_000_005, parent=served.pid)
    there = {one.pid: one for one in (fake, below, monitor, served, shell)}
    monkeypatch.setattr(processes, "table", lambda: there)
    found = [name for _, name in snapshot.loose_processes(OTHER, set())]
    assert [name.split(" pid ")[1].split()[0] for name in found] == [str(fake.pid), str(below.pid)]
