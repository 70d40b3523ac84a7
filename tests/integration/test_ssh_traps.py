"""Each known trap of SSH certificates, shown on a real sshd and then met by the connector.

The names are those of the table in ``docs/connectors/ssh.md``.
"""

import asyncio
import os
import pwd
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncssh
import pytest

from callpoint.domain.errors import TargetUnknownError
from callpoint.host import wire
from callpoint.host.processes import table
from callpoint.ports.targets import Attempt
from tests.sshd_site import SLEEP, SshSite, running_site, soon


async def refused(site, credential, username=""):
    """Whether sshd says no to it."""
    try:
        await site.login(credential, username)
    except asyncssh.PermissionDenied:
        return True
    return False


async def session(site, credential, command=f"echo begun; {SLEEP}"):
    """A session that has begun."""
    connection = await site.login(credential)
    process = await connection.create_process(command)
    assert await process.stdout.readline() == "begun\n"
    return connection


async def gone(connection):
    """Whether sshd ended the connection."""
    async with asyncio.timeout(5):
        await connection.wait_closed()
    return True


def sleeping():
    """Processes that tests left on the account."""
    return [process for process in table().values() if SLEEP in process.title]


async def test_no_revocation_without_a_list(ssh_site):
    """Trap: a certificate lives to its end. Named in the list it is refused, principal or not."""
    plan = ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    admitted = (ssh_site.state / "principals" / ssh_site.account).read_bytes()
    assert plan.account.encode() in admitted
    await ssh_site.connector.disable(plan)
    assert (ssh_site.state / "principals" / ssh_site.account).read_bytes() == b""
    # Somebody puts the line back: the list refuses all the same.
    (ssh_site.state / "principals" / ssh_site.account).write_bytes(admitted)
    assert await refused(ssh_site, issued.credential)
    # And without the list it is let in: so it was the list.
    ssh_site.krl.write_bytes(empty_list(ssh_site))
    assert not await refused(ssh_site, issued.credential)


def empty_list(site):
    spec, made = site.folder / "spec", site.folder / "made.krl"
    spec.write_text("")
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", made, spec], check=True)
    return made.read_bytes()


async def test_the_list_is_read_at_each_login_and_spares_sessions(ssh_site):
    """Trap: no reload is needed, and the session that is there goes on until it is killed."""
    plan = ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    connection = await session(ssh_site, issued.credential)
    await ssh_site.connector.disable(plan)
    assert await refused(ssh_site, issued.credential)
    assert (await connection.run("echo still")).stdout == "still\n"
    assert await ssh_site.connector.kill_sessions(plan) == 0
    assert await gone(connection)
    assert sleeping() == []


async def test_an_empty_list_revokes_nobody(ssh_site):
    """Trap: sshd takes an empty file for a good list in plain text. It is found and replaced."""
    plan, other = ssh_site.plan(), ssh_site.plan()
    await ssh_site.connector.issue(plan)
    ended = await ssh_site.connector.issue(other)
    await ssh_site.connector.revoke(other)
    ssh_site.krl.write_bytes(b"")
    (ssh_site.state / "principals" / ssh_site.account).write_text(f"{other.account}\n")
    assert not await refused(ssh_site, ended.credential)
    assert not (await ssh_site.connector.verify_absent(other, None)).dead
    ssh_site.reap()
    assert await refused(ssh_site, ended.credential)
    assert (await ssh_site.connector.verify_absent(other, ended.credential)).attempt is not None


async def test_a_broken_list_locks_out_and_proves_nothing(ssh_site):
    """Trap: every key is refused. That is "unknown"; the broker comes in and the list is mended."""
    plan, other = ssh_site.plan(), ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    ended = await ssh_site.connector.issue(other)
    await ssh_site.connector.revoke(other)
    ssh_site.krl.write_bytes(ssh_site.krl.read_bytes()[:20])
    assert await refused(ssh_site, issued.credential)
    probed = await ssh_site.connector.probe(plan, issued.credential)
    assert (probed.attempt, probed.code) == (Attempt.UNKNOWN, "krl-broken")
    report = await ssh_site.connector.selftest(trial=False)
    assert "revocation list" in [check.name for check in report.checks if not check.ok]
    ssh_site.reap()
    assert not await refused(ssh_site, issued.credential)
    ssh_site.krl.unlink()
    assert await refused(ssh_site, issued.credential)
    assert not (await ssh_site.connector.verify_absent(other, ended.credential)).dead
    await ssh_site.connector.disable(other)
    assert not await refused(ssh_site, issued.credential)
    assert (await ssh_site.connector.verify_absent(other, ended.credential)).dead


async def test_a_list_that_cannot_be_made_leaves_the_last_good_one(ssh_site):
    """Trap: without a working ``ssh-keygen`` the last good list takes a broken one's place."""
    plan = ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    await ssh_site.connector.revoke(plan)
    good = ssh_site.krl.read_bytes()
    keygen = ssh_site.folder / "keygen"
    # It reads lists and makes none.
    keygen.write_text('#!/bin/sh\n[ "$1" = -Q ] && exec /usr/bin/ssh-keygen "$@"\nexit 1\n')
    keygen.chmod(0o755)
    config = ssh_site.folder / "etc" / "host.json"
    before = config.read_text()
    try:
        config.write_text(before.replace('"longest"', f'"keygen": "{keygen}",\n  "longest"'))
        ssh_site.krl.write_bytes(good[:30])
        with pytest.raises(TargetUnknownError) as error:
            await ssh_site.connector.disable(ssh_site.plan())
        assert error.value.code == "krl"
        assert ssh_site.krl.read_bytes() == good
        assert (await ssh_site.connector.verify_absent(plan, issued.credential)).dead
    finally:
        config.write_text(before)


async def test_an_old_list_admits_nobody(ssh_site):
    """Trap: sshd takes any list for the newest. The principals refuse, and the list is renewed."""
    plan = ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    old = ssh_site.krl.read_bytes()
    await ssh_site.connector.disable(plan)
    new = ssh_site.krl.read_bytes()
    ssh_site.krl.write_bytes(old)
    assert await refused(ssh_site, issued.credential)
    absence = await ssh_site.connector.verify_absent(plan, issued.credential)
    assert absence.attempt is not None
    assert (absence.attempt.attempt, absence.attempt.code) == (Attempt.UNKNOWN, "not-revoked")
    await ssh_site.connector.disable(plan)
    assert listed(ssh_site) == listed(ssh_site, new)


def listed(site, content=None):
    """What a list names."""
    file = site.folder / "read.krl"
    file.write_bytes(site.krl.read_bytes() if content is None else content)
    said = subprocess.run(
        ["ssh-keygen", "-Q", "-l", "-f", file], capture_output=True, text=True, check=True
    )
    return [line for line in said.stdout.splitlines() if not line.startswith("#")]


async def test_a_certificate_permits_nothing_that_was_not_asked_for(ssh_site, tmp_path):
    """Trap: permissions are on by default. OpenSSH itself shows serial, id, limits and none."""
    plan = ssh_site.plan("restart", minutes=5, sources=("127.0.0.0/8", "::1/128"))
    issued = await ssh_site.connector.issue(plan)
    file = tmp_path / "cert.pub"
    file.write_text(issued.credential.endpoint["certificate"])
    lines = shown(file)
    assert f'Key ID: "{plan.account}"' in lines
    assert f"Serial: {wire.serial_of(plan.handle)}" in lines
    assert lines[lines.index("Principals:") + 1] == plan.account
    assert "Extensions: (none)" in lines
    assert "source-address 127.0.0.0/8,::1/128" in lines
    (forced,) = [line for line in lines if line.startswith("force-command")]
    assert forced.endswith("-- /bin/echo restarted --now")
    valid = next(line for line in lines if line.startswith("Valid:")).split()
    begin, end = (datetime.fromisoformat(valid[n]).replace(tzinfo=UTC) for n in (2, 4))
    # Back-dated for a host whose clock is behind; not a second longer than the plan.
    assert timedelta(seconds=30) <= datetime.now(UTC) - begin <= timedelta(seconds=90)
    assert timedelta(0) <= plan.not_after - end < timedelta(seconds=1)


def shown(file):
    """What OpenSSH reads in a certificate."""
    said = subprocess.run(
        ["ssh-keygen", "-L", "-f", file], capture_output=True, text=True, check=True, env={"TZ": ""}
    )
    return [line.strip() for line in said.stdout.splitlines()]


async def test_another_source_is_refused_and_the_twin_proves_the_end(ssh_site):
    """Trap: the broker may not use the actor's certificate. Its twin works before, not after."""
    plan = ssh_site.plan(sources=("192.0.2.0/24",))
    issued = await ssh_site.connector.issue(plan)
    assert await refused(ssh_site, issued.credential)
    probed = await ssh_site.connector.probe(plan, issued.credential)
    assert probed.attempt is Attempt.ACCEPTED
    await ssh_site.connector.revoke(plan)
    probed = await ssh_site.connector.probe(plan, issued.credential)
    assert (probed.attempt, probed.code) == (Attempt.REFUSED, "publickey")
    assert (await ssh_site.connector.verify_absent(plan, issued.credential)).dead


async def test_a_forced_command_is_all_that_runs(ssh_site):
    """Trap: a certificate opens a shell by default. A role with a command runs only that."""
    issued = await ssh_site.connector.issue(ssh_site.plan("restart"))
    connection = await ssh_site.login(issued.credential)
    for asked in ("id", "sh -c 'id'", None):
        done = await connection.run(asked, check=False)
        assert (done.stdout, done.exit_status) == ("restarted --now\n", 0)
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.create_process("id", term_type="xterm")
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.start_sftp_client()


async def test_only_the_right_sessions_end(ssh_site):
    """Trap: two certificates share an account. One's sessions end, the other's go on."""
    mine, other = ssh_site.plan(), ssh_site.plan()
    one = await session(ssh_site, (await ssh_site.connector.issue(mine)).credential)
    two = await session(ssh_site, (await ssh_site.connector.issue(other)).credential)
    await ssh_site.connector.disable(mine)
    assert await ssh_site.connector.kill_sessions(mine) == 0
    assert await gone(one)
    assert (await two.run("echo still")).stdout == "still\n"
    assert (await ssh_site.connector.verify_absent(other, None)).sessions == 1


@pytest.mark.parametrize("log", ["readable", "silent"])
async def test_a_bare_forwarding_has_no_process_and_ends(ssh_site, log):
    """Trap: ``ssh -N`` runs nothing to be found by. sshd's log tells whose it is, or its age."""
    config = ssh_site.folder / "etc" / "host.json"
    before = config.read_text()
    if log == "silent":
        config.write_text(before.replace(str(ssh_site.server.log_path), "/nowhere/log"))
    try:
        plan = ssh_site.plan("tunnel")
        issued = await ssh_site.connector.issue(plan)
        connection = await ssh_site.login(issued.credential)
        reader, _ = await connection.open_connection("127.0.0.1", ssh_site.server.port)
        assert (await reader.read(4)) == b"SSH-"
        assert (await ssh_site.connector.verify_absent(plan, None)).sessions == 1
        await ssh_site.connector.disable(plan)
        assert await ssh_site.connector.kill_sessions(plan) == 0
        assert await gone(connection)
    finally:
        config.write_text(before)


async def test_a_detached_child_outlives_its_session_and_ends(ssh_site):
    """Trap: ``setsid nohup`` stays when the connection, and the file with its key, are gone."""
    plan = ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    connection = await ssh_site.login(issued.credential)
    await connection.run(f"setsid nohup {SLEEP} >/dev/null 2>&1 </dev/null &", check=True)
    connection.close()
    await connection.wait_closed()
    (child,) = sleeping()
    assert child.parent == 1
    soon(lambda: not Path(child.auth).exists())
    assert (await ssh_site.connector.verify_absent(plan, None)).sessions == 1
    await ssh_site.connector.disable(plan)
    assert await ssh_site.connector.kill_sessions(plan) == 0
    assert sleeping() == []


async def test_a_shell_ends_at_its_end_without_us(ssh_site):
    """Trap: expiry ends no session. The forced command's wrapper does, detached children too."""
    plan, credential, connection = await ssh_site.short_lived()
    done = await connection.run(
        f"setsid nohup {SLEEP} >/dev/null 2>&1 </dev/null & {SLEEP}", check=False
    )
    assert done.exit_status == 124
    assert "the time of this access is over" in str(done.stderr)
    assert datetime.now(UTC) > plan.not_after - timedelta(seconds=1)
    assert sleeping() == []
    assert await refused(ssh_site, credential)


async def test_what_expires_with_callpoint_dead_is_ended_by_the_reaper(ssh_site):
    """Trap: a forwarding outlives its certificate. The host's timer ends it, if it really runs."""
    assert (await ssh_site.connector.residual()).bound is None
    plan, _, connection = await ssh_site.short_lived("tunnel")
    await asyncio.sleep((plan.not_after - datetime.now(UTC)).total_seconds() + 1)
    reader, _ = await connection.open_connection("127.0.0.1", ssh_site.server.port)
    assert (await reader.read(4)) == b"SSH-"
    ssh_site.reap(3)
    assert await gone(connection)
    residual = await ssh_site.connector.residual()
    assert residual.bound is not None
    assert residual.bound < timedelta(minutes=1)
    assert not any(listed.enabled for listed in await ssh_site.connector.list_managed())


async def test_no_room_on_the_disk_lets_nobody_in(ssh_site):
    """Trap: a shorter list of principals cannot be written. It is deleted, and said aloud."""
    plan = ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    request = wire.request("withdraw", ssh_site.settings.installation, handle=plan.handle)
    with pytest.raises(wire.WireError) as error:
        wire.read_answer(served_without_room(ssh_site, request))
    assert error.value.code == "system"
    assert await refused(ssh_site, issued.credential)
    await ssh_site.connector.revoke(plan)
    assert (await ssh_site.connector.verify_absent(plan, issued.credential)).dead


def served_without_room(site, request):
    """The host side's answer when no file may grow, as on a full disk."""
    command = f'ulimit -f 0; exec "{site.place.program}" serve --config "{site.place.config}"'
    return subprocess.run(
        ["bash", "-c", command], input=request, capture_output=True, check=False
    ).stdout


async def test_another_host_key_is_not_believed(ssh_site):
    """Trap: trust on first use. Whoever answers without the pinned key proves nothing."""
    plan = ssh_site.plan()
    issued = await ssh_site.connector.issue(plan)
    stranger = ssh_site.with_settings(host_keys=(ca_of(ssh_site),)).connector
    with pytest.raises(TargetUnknownError) as error:
        await stranger.disable(plan)
    assert error.value.code == "host-key"
    assert (await stranger.probe(plan, issued.credential)).attempt is Attempt.UNKNOWN


def ca_of(site):
    return " ".join((site.folder / "etc" / "ca.pub").read_text().split()[:2])


async def test_an_ordinary_users_sshd(ssh_site):
    """Trap: without root, sshd serves its own account only. It works alike there, no further."""
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's sshd is what all other tests use then")
    with running_site(ssh_site.account, run_as=ssh_site.account) as site:
        assert_of(site)
        plan = site.plan()
        issued = await site.connector.issue(plan)
        connection = await session(site, issued.credential)
        # A younger one of the same account, through the machine's own sshd, which is root's.
        others = await ssh_site.connector.issue(ssh_site.plan())
        bystander = await ssh_site.login(others.credential)
        await site.connector.disable(plan)
        assert await site.connector.kill_sessions(plan) == 0
        assert await gone(connection)
        assert (await bystander.run("echo still")).stdout == "still\n"
        await site.connector.revoke(plan)
        assert (await site.connector.verify_absent(plan, issued.credential)).dead


def assert_of(site: SshSite) -> None:
    """Nothing there is root's."""
    assert site.settings.broker == site.account
    assert site.state.stat().st_uid == pwd.getpwnam(site.account).pw_uid
    assert shutil.which("ssh-keygen")
