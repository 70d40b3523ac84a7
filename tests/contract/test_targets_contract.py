"""What every connector guarantees (``ports/targets.py``), real or simulated."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.targets.postgresql.settings import Mode
from callpoint.domain.errors import RequestError, TargetRefusedError, TargetUnknownError
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.inventory import UNKNOWN
from callpoint.ports.targets import Attempt, Connector, Credential, MintRequest
from tests.fakes.simulated_target import SimulatedTarget
from tests.postgresql_site import open_site
from tests.servers import fresh_database
from tests.sshd_site import fresh

REAL = pytest.mark.server("postgresql")


def _wrong_secret(credential):
    return msgspec.structs.replace(credential, secret="wrong")


@dataclass
class Stage:
    """One connector, and what a test does around it.

    Attributes:
        login: Opens an actor's session.
        works: Whether that session still can do something.
        leave_role: Leaves a role behind on the target, as an accomplice of the actor would.
        silent: The same connector when nobody answers.
        weaknesses: Checks of the selftest that rightly fail here.
        wrong: A credential that looks like the given one, and that the target refuses.
        codes: How the target says "refused for authentication".
        left: The kind of what ``leave_role`` leaves.
        username: Whom the actor logs in as; empty for the plan's account.
    """

    connector: Connector
    installation: str
    login: Callable[[Credential], Awaitable[Any]]
    works: Callable[[Any], Awaitable[bool]]
    leave_role: Callable[[Any, str], Awaitable[None]]
    silent: Callable[[], Connector]
    weaknesses: list[str] = field(default_factory=list)
    wrong: Callable[[Credential], Credential] = _wrong_secret
    codes: tuple[str, ...] = ("28P01", "28000")
    left: str = "role"
    username: str = ""

    def plan(self, minutes: float = 30) -> UndoPlan:
        return self.connector.plan(
            MintRequest(
                handle=self.installation + SystemRandom().ident(14),
                target=self.connector.target,
                role="repair",
                not_after=SystemClock().now() + timedelta(minutes=minutes),
            )
        )


@pytest.fixture(
    params=[
        "simulated",
        *(
            pytest.param((server, mode), marks=REAL, id=f"{server}-{mode}")
            for server in ("postgres_15", "postgres_newest")
            for mode in Mode
        ),
        pytest.param("ssh", marks=pytest.mark.server("sshd")),
    ]
)
async def stage(request):
    if request.param == "simulated":
        yield _simulated()
        return
    if request.param == "ssh":
        async with fresh(request.getfixturevalue("ssh_host")) as site:
            yield _on_ssh(site)
        return
    name, mode = request.param
    server = request.getfixturevalue(name)
    with fresh_database(server) as database:
        async with open_site(database, mode) as site:
            stage = _real(site)
            if mode is Mode.CREATEROLE and server.binaries.major == 15:
                stage.weaknesses = ["broker's powers"]
            yield stage


def _simulated():
    target = SimulatedTarget("orders-db", SystemClock(), SystemRandom(), "abc123")

    async def login(credential):
        return target.open_session(credential.username, credential.secret)

    async def works(session):
        return session.alive

    async def leave_role(session, name):
        session.leave("role", name)

    def silent():
        target.down = True
        return target

    return Stage(target, "abc123", login, works, leave_role, silent)


def _real(site):
    async def works(session):
        try:
            return bool(await session.fetchval("SELECT true"))
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # cut between its two messages
            OSError,
        ):
            return False

    async def leave_role(session, name):
        # The actor's rights do not suffice (that is the point of them): an accomplice does it.
        await site.owner.execute(f"CREATE ROLE {name}")
        site.made.append(name)

    def silent():
        dsn = site.settings.dsn.replace(f":{site.database.server.port}/", ":1/")
        return site.with_settings(dsn=dsn).connector

    return Stage(site.connector, site.installation, site.login, works, leave_role, silent)


def _on_ssh(site):
    site.reap(3)
    site = site.with_settings(roles={"repair": site.settings.roles["repair"]})

    async def login(credential):
        connection = await site.login(credential)
        process = await connection.create_process("while read -r line; do echo $line; done")
        process.stdin.write("begun\n")
        assert await process.stdout.readline() == "begun\n"
        return process

    async def works(process):
        try:
            process.stdin.write("still\n")
            return bool(await process.stdout.readline() == "still\n")
        except OSError:
            return False

    async def leave_role(session, name):
        site.change(site.home / name, b"#!/bin/sh\n", 0o4755)

    return Stage(
        site.connector,
        site.settings.installation,
        login,
        works,
        leave_role,
        silent=lambda: site.with_settings(port=1).connector,
        wrong=site.forged,
        codes=("publickey",),
        left="setuid file",
        username=site.account,
    )


async def test_a_credential_lives_and_dies(stage):
    """Issued it works; disabled it is refused by code; revoked it is proven dead."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    assert (await stage.connector.probe(plan, issued.credential)).attempt is Attempt.ACCEPTED
    await stage.connector.disable(plan)
    refused = await stage.connector.probe(plan, issued.credential)
    assert refused.attempt is Attempt.REFUSED
    assert refused.code in stage.codes
    assert await stage.connector.kill_sessions(plan) == 0
    await stage.connector.revoke(plan)
    absence = await stage.connector.verify_absent(plan, issued.credential)
    assert absence.dead
    assert absence.attempt is not None
    assert absence.attempt.attempt is Attempt.REFUSED


async def test_ending_may_be_repeated(stage):
    """Each ending call may come again, in any order, before and after the account existed."""
    plan = stage.plan()
    for _ in range(2):
        await stage.connector.disable(plan)
        assert await stage.connector.kill_sessions(plan) == 0
        assert await stage.connector.diff_persistence(plan, None) == ()
        await stage.connector.revoke(plan)
    issued = await stage.connector.issue(plan)
    for _ in range(2):
        await stage.connector.revoke(plan)
        await stage.connector.disable(plan)
        assert await stage.connector.kill_sessions(plan) == 0
        assert (await stage.connector.verify_absent(plan, issued.credential)).dead


async def test_issuing_twice_is_refused(stage):
    """A second issue of the same plan is refused and leaves the first credential as it was."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    with pytest.raises(TargetRefusedError):
        await stage.connector.issue(plan)
    assert (await stage.connector.probe(plan, issued.credential)).attempt is Attempt.ACCEPTED


async def test_an_end_in_the_past_is_refused(stage):
    """The target itself refuses to make an account whose time is over."""
    plan = stage.plan(minutes=-1)
    with pytest.raises(TargetRefusedError):
        await stage.connector.issue(plan)
    assert await stage.connector.list_managed() == ()


async def test_a_live_session_is_seen_and_killed(stage):
    """Disabling ends no session; killing does; in between the account is not dead."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    session = await stage.login(issued.credential)
    await stage.connector.disable(plan)
    assert await stage.works(session)
    absence = await stage.connector.verify_absent(plan, issued.credential)
    assert absence.sessions == 1
    assert not absence.dead
    assert await stage.connector.kill_sessions(plan) == 0
    assert not await stage.works(session)


async def test_a_living_account_is_not_absent(stage):
    """An enabled account is in the catalogue and accepted; without a secret nothing is tried."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    absence = await stage.connector.verify_absent(plan, issued.credential)
    assert absence.in_catalogue
    assert absence.attempt is not None
    assert absence.attempt.attempt is Attempt.ACCEPTED
    assert not absence.dead
    untried = await stage.connector.verify_absent(plan, None)
    assert untried.attempt is None
    await stage.connector.revoke(plan)


async def test_a_wrong_secret_is_refused(stage):
    """A probe with another secret is refused, so that "accepted" means something."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    wrong = stage.wrong(issued.credential)
    assert (await stage.connector.probe(plan, wrong)).attempt is Attempt.REFUSED


async def test_only_own_accounts_are_listed(stage):
    """``list_managed`` tells own accounts with their end and state, also once disabled."""
    plan = stage.plan()
    await stage.connector.issue(plan)
    (listed,) = await stage.connector.list_managed()
    assert (listed.handle, listed.account, listed.enabled) == (plan.handle, plan.account, True)
    assert listed.not_after is not None
    assert abs(listed.not_after - plan.not_after) <= timedelta(seconds=1)
    await stage.connector.disable(plan)
    (listed,) = await stage.connector.list_managed()
    assert not listed.enabled
    await stage.connector.revoke(plan)
    assert await stage.connector.list_managed() == ()


async def test_the_inventory_tells_own_accounts_and_no_secret(stage):
    """An own account is told with its handle, end and live sessions; what is unknown says so."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    await stage.login(issued.credential)
    found = {account.name: account for account in await stage.connector.inventory()}
    own = found[plan.account]
    assert (own.handle, own.can_log_in, own.powers) == (plan.handle, True, ())
    assert own.expires.at is not None
    assert abs(own.expires.at - plan.not_after) <= timedelta(seconds=1)
    assert own.sessions == 1
    assert own.last_used == UNKNOWN
    assert issued.credential.secret not in str(found)
    await stage.connector.disable(plan)
    found = {account.name: account for account in await stage.connector.inventory()}
    assert not found[plan.account].can_log_in
    await stage.connector.kill_sessions(plan)
    await stage.connector.revoke(plan)


async def test_an_account_without_a_lease_can_be_adopted_and_removed(stage):
    """From what ``list_managed`` tells alone, an unknown account is ended and proven absent."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    (listed,) = await stage.connector.list_managed()
    adopted = stage.connector.adopt(listed)
    assert adopted.account == plan.account
    await stage.connector.disable(adopted)
    await stage.connector.kill_sessions(adopted)
    assert await stage.connector.diff_persistence(adopted, None) == ()
    await stage.connector.revoke(adopted)
    assert (await stage.connector.verify_absent(adopted, issued.credential)).dead


async def test_others_accounts_are_left_alone(stage):
    """A plan for another installation's account is refused by every call that would change it."""
    plan = stage.plan()
    account = plan.account.replace(plan.handle, "zzz999x1")
    foreign = msgspec.structs.replace(plan, handle="zzz999x1", account=account)
    connector = stage.connector
    for call in (connector.issue, connector.disable, connector.kill_sessions, connector.revoke):
        with pytest.raises(TargetRefusedError):
            await call(foreign)


async def test_what_is_left_behind_is_found(stage):
    """A clean use leaves no difference; a role that appeared meanwhile is one."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    session = await stage.login(issued.credential)
    assert await stage.connector.diff_persistence(plan, issued.baseline) == ()
    name = f"backdoor_{stage.installation}"
    await stage.leave_role(session, name)
    await stage.connector.disable(plan)
    await stage.connector.kill_sessions(plan)
    (found,) = await stage.connector.diff_persistence(plan, issued.baseline)
    assert found.kind == stage.left
    assert name in found.name
    await stage.connector.revoke(plan)


async def test_silence_is_unknown(stage):
    """When nobody answers, calls raise "unknown", and a probe says so; never "refused"."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    silent = stage.silent()
    for call in (silent.disable, silent.kill_sessions, silent.revoke):
        with pytest.raises(TargetUnknownError):
            await call(plan)
    for look in (silent.list_managed, silent.skew, silent.selftest):
        with pytest.raises(TargetUnknownError):
            await look()
    with pytest.raises(TargetUnknownError):
        await silent.verify_absent(plan, issued.credential)


async def test_the_selftest_passes_and_leaves_nothing(stage):
    """Where it is prepared every check passes, the residual is the same, and no account stays."""
    report = await stage.connector.selftest()
    assert [check.name for check in report.checks if not check.ok] == stage.weaknesses, report
    assert abs(report.skew) < timedelta(seconds=5)
    assert abs(await stage.connector.skew()) < timedelta(seconds=5)
    now, then = (await stage.connector.residual()).bound, report.residual.bound
    # Where it is seen how long a reaper has been silent, the bound grows with the silence.
    assert now == then or (now and then and abs(now - then) < timedelta(minutes=1))
    assert await stage.connector.list_managed() == ()


async def test_no_secret_is_in_plan_or_representation(stage):
    """The plan is made without a secret, and a credential does not show its own."""
    plan = stage.plan()
    issued = await stage.connector.issue(plan)
    assert issued.credential.secret not in repr(issued)
    assert issued.credential.secret not in issued.credential.hint
    assert issued.credential.secret not in str(issued.baseline)
    assert issued.credential.username == (stage.username or plan.account)


async def test_what_cannot_be_planned_is_the_requests_fault(stage):
    """An unknown role or a handle of another installation is refused before any call."""
    now = SystemClock().now()
    for handle, role in [
        (stage.installation + "x1", "dba"),
        ("zzz999x1", "repair"),
        ("A b", "repair"),
    ]:
        with pytest.raises(RequestError):
            stage.connector.plan(MintRequest(handle, stage.connector.target, role, now))
