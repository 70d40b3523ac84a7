"""What an actor with a shell tries, and a thief of the broker's or the CA's key, on a real sshd."""

import asyncio
import base64
import json
from datetime import UTC, datetime

import asyncssh
import msgspec
import pytest

from callpoint.adapters.targets.ssh import keys
from callpoint.host import wire
from callpoint.host.processes import table
from callpoint.ports.targets import MintRequest
from tests.sshd_site import INSTALLATION, SLEEP, need_another_account, new_key, soon

DETACHED = ">/dev/null 2>&1 </dev/null &"


def sleeping():
    return [process for process in table().values() if SLEEP in process.title]


async def ended(site, plan):
    """Disabled and killed; how many sessions are left."""
    await site.connector.disable(plan)
    return await site.connector.kill_sessions(plan)


async def actor(site, role="repair"):
    plan = site.plan(role)
    issued = await site.connector.issue(plan)
    return plan, issued, await site.login(issued.credential)


async def found(site, plan, issued):
    return await site.connector.diff_persistence(plan, issued.baseline)


async def test_a_cleaned_environment_is_ended_or_found(ssh_site):
    """The residual risk: without audit sessions such a process lives on, and is reported."""
    need_another_account(ssh_site)
    plan, issued, connection = await actor(ssh_site)
    await connection.run(f"env -i setsid {SLEEP} {DETACHED}", check=True)
    soon(sleeping)
    assert await ended(ssh_site, plan) == 0
    left = sleeping()
    kinds = [(item.kind, item.name) for item in await found(ssh_site, plan, issued)]
    assert len(kinds) == len(left)
    for process in left:
        assert any(kind == "process" and f"pid {process.pid} " in name for kind, name in kinds)


async def test_a_forged_environment_hides_nobody(ssh_site):
    """Another's mark and an auth file with another key: the connection is sshd's own word."""
    plan, _, connection = await actor(ssh_site)
    forge = (
        'echo "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA" > $SSH_USER_AUTH; '
        f"CALLPOINT_SESSION=cp-{INSTALLATION}somebodyelse exec {SLEEP}"
    )
    await connection.create_process(forge)
    soon(sleeping)
    assert await ended(ssh_site, plan) == 0
    assert sleeping() == []


async def test_a_forged_and_detached_process_is_found(ssh_site):
    """A mark of a certificate that does not exist covers no process that left its connection."""
    need_another_account(ssh_site)
    plan, issued, connection = await actor(ssh_site)
    forge = f"env -i CALLPOINT_SESSION=cp-{INSTALLATION}nobody setsid {SLEEP} {DETACHED}"
    await connection.run(forge, check=True)
    soon(sleeping)
    assert await ended(ssh_site, plan) == 0
    kinds = {item.kind for item in await found(ssh_site, plan, issued)}
    assert kinds == ({"process"} if sleeping() else set())


async def test_a_process_that_looks_like_sshd_is_not_spared(ssh_site):
    """The listener is spared; an actor's program of that name and title is not."""
    need_another_account(ssh_site)
    plan, _, connection = await actor(ssh_site)
    fake = (
        "cp /bin/sleep $HOME/sshd; (exec -a 'sshd: x [listener] sleep 4711' $HOME/sshd 4711) "
        "& sleep 0.3; rm $HOME/sshd; wait"
    )
    ssh_site.change(ssh_site.home / "sshd", None)
    await connection.create_process(f'bash -c "{fake.replace("$", chr(92) + "$")}"')
    soon(sleeping)
    assert await ended(ssh_site, plan) == 0
    assert sleeping() == []


async def test_who_ignores_the_end_is_killed(ssh_site):
    """Deaf to SIGTERM and born again at once, from a shell that killed the session's wrapper."""
    plan, _, connection = await actor(ssh_site)
    stubborn = f"trap '' TERM HUP; kill -9 $PPID; while :; do setsid {SLEEP}; done"
    await connection.create_process(stubborn)
    soon(sleeping)
    assert await ended(ssh_site, plan) == 0
    assert sleeping() == []


async def test_who_killed_the_wrapper_is_reaped(ssh_site):
    """The wrapper is the actor's to kill; the host's timer is not."""
    plan, _, connection = await ssh_site.short_lived()
    await connection.create_process(f"trap '' HUP; kill -9 $PPID; {SLEEP}; {SLEEP}")
    soon(sleeping)
    await asyncio.sleep((plan.not_after - datetime.now(UTC)).total_seconds() + 1)
    assert sleeping()
    ssh_site.reap()
    assert sleeping() == []


async def test_a_shared_connection_ends_between_two_uses(ssh_site):
    """ControlMaster: an authenticated connection without a session opens none after the end."""
    plan, _, connection = await actor(ssh_site)
    assert (await connection.run("echo first")).stdout == "first\n"
    assert await ended(ssh_site, plan) == 0
    with pytest.raises((asyncssh.Error, OSError)):
        await connection.run("echo second", check=True)


async def test_doors_left_open_are_found(ssh_site):
    """A key, the same key with other options, a login file, a unit, a timer: each is a finding."""
    need_another_account(ssh_site)
    key = "ssh-ed25519 " + base64.b64encode(b"k" * 51).decode()
    keys_file = ssh_site.home / ".ssh" / "authorized_keys"
    ssh_site.change(keys_file, f'command="/bin/true" {key} owner\n'.encode())
    ssh_site.change(ssh_site.home / ".profile", b"# as it was\n")
    plan, issued, connection = await actor(ssh_site)
    unit = ssh_site.change(ssh_site.home / ".config/systemd/user/door.service", b"[Service]\n")
    unit.unlink()
    work = (
        f"echo '{key} owner' > ~/.ssh/authorized_keys; echo 'id' >> ~/.profile; "
        "echo '[Service]' > ~/.config/systemd/user/door.service; ln -s /dev/zero ~/.ssh/rc"
    )
    ssh_site.change(ssh_site.home / ".ssh" / "rc", None)
    done = await connection.run(work, check=False)
    assert done.exit_status == 0, done.stderr
    assert await ended(ssh_site, plan) == 0
    items = await found(ssh_site, plan, issued)
    assert sorted((item.kind, item.detail) for item in items) == [
        ("authorized key", ""),
        ("login file", ""),
        ("not examined", ""),
        ("user unit", ""),
    ]


async def test_a_certificate_is_for_one_account_only(ssh_site):
    """The same certificate opens neither root's nor the broker's account."""
    _, issued, _ = await actor(ssh_site)
    for other in {"root", ssh_site.settings.broker} - {ssh_site.account}:
        with pytest.raises(asyncssh.PermissionDenied):
            await ssh_site.login(issued.credential, other)


async def test_the_cas_key_alone_opens_nothing(ssh_site):
    """Whoever stole it can sign; the host admits nobody whom the broker did not enrol."""
    _, issued, _ = await actor(ssh_site)
    ca = asyncssh.import_private_key(ssh_site.settings.ca_key)
    plan = ssh_site.plan()
    for principal in (plan.account, ssh_site.account, "root"):
        forged = msgspec.structs.replace(plan, account=principal)
        pair = keys.actors(ca, forged, new_key(), datetime.now(UTC), "/bin/true")
        endpoint = issued.credential.endpoint | {"certificate": pair.certificate}
        stolen = msgspec.structs.replace(issued.credential, secret=pair.private, endpoint=endpoint)
        for username in {ssh_site.account, "root", ssh_site.settings.broker}:
            with pytest.raises(asyncssh.PermissionDenied):
                await ssh_site.login(stolen, username)


def _enrol(site, **changes):
    handle = INSTALLATION + "thief"
    fields = {
        "handle": handle,
        "account": site.account,
        "serial": wire.serial_of(handle),
        "not_after": int(datetime.now(UTC).timestamp()) + 600,
    }
    return wire.request("enrol", INSTALLATION, **(fields | changes))


async def test_the_brokers_key_is_held_to_its_task(ssh_site):
    """No other installation's handle, no path, account, lifetime, verb or size of its own."""
    hour = int(datetime.now(UTC).timestamp())
    tries = {
        "foreign": _enrol(ssh_site, handle="tother" + "thief"),
        "foreign ": _enrol(ssh_site, handle=INSTALLATION + "../../etc"),
        "foreign  ": wire.request("end", "tother", handle="tother" + "thief"),
        "foreign   ": wire.request("end", INSTALLATION, handle=[INSTALLATION]),
        "account": _enrol(ssh_site, account="daemon"),
        "account ": wire.request("snapshot", INSTALLATION, account="../root"),
        "lifetime": _enrol(ssh_site, not_after=hour + 9 * 3600),
        "lifetime ": _enrol(ssh_site, not_after=hour - 1),
        "request": _enrol(ssh_site, serial=7),
        "request ": _enrol(ssh_site, not_after=True),
        "request  ": _enrol(ssh_site, not_after=1 << 70),
        "request   ": _enrol(ssh_site, force="yes"),
        "request    ": wire.request("reap", INSTALLATION),
        "request     ": b'{"version": 1, "verb": ' + b"[" * 9000,
        "request      ": b"x" * (wire.REQUEST_LIMIT + 100),
        "request       ": b"\xff\xfe\n",
        "version": json.dumps({"version": 2}).encode() + b"\n",
    }
    connection = await ssh_site.broker()
    for code, raw in tries.items():
        answer = await ssh_site.ask(raw, connection)
        assert (answer["ok"], answer["code"]) == (False, code.strip()), raw[:200]
    assert (await ssh_site.verb("list"))["entries"] == []


async def test_the_brokers_key_makes_no_certificate(ssh_site):
    """What a thief enrols is seen as an account without a lease, and needs the CA's key besides."""
    assert (await ssh_site.ask(_enrol(ssh_site)))["ok"]
    (account,) = await ssh_site.connector.list_managed()
    assert account.handle == INSTALLATION + "thief"
    adopted = ssh_site.connector.adopt(account)
    await ssh_site.connector.revoke(adopted)
    assert await ssh_site.connector.list_managed() == ()


async def test_the_brokers_connection_gives_nothing_else(ssh_site):
    """No terminal, no forwarding either way, no file transfer, no agent."""
    connection = await ssh_site.broker()
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.create_process("id", term_type="xterm")
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.open_connection("127.0.0.1", ssh_site.server.port)
    with pytest.raises(asyncssh.ChannelListenError):
        await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)
    with pytest.raises(asyncssh.Error):
        await connection.start_sftp_client()


async def test_a_used_handle_is_never_used_again(ssh_site):
    """A certificate of a revoked handle cannot be brought back by enrolling it once more."""
    plan, _, _ = await actor(ssh_site)
    await ssh_site.connector.revoke(plan)
    answer = await ssh_site.ask(
        _enrol(ssh_site, handle=plan.handle, serial=wire.serial_of(plan.handle))
    )
    assert (answer["ok"], answer["code"]) == (False, "exists")
    again = MintRequest(plan.handle, plan.target, plan.role, plan.not_after)
    assert ssh_site.connector.plan(again).account == plan.account
