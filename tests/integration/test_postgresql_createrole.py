"""7b: a broker with CREATEROLE does its task, and what it could do beyond is told truly."""

from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.settings import Mode
from callpoint.domain.errors import TargetRefusedError
from tests.postgresql_site import BROKER_PASSWORD, open_site


@pytest.fixture
async def site(database):
    async with open_site(database, Mode.CREATEROLE) as prepared:
        yield prepared


async def test_what_the_account_owns_goes_to_the_custodian(site):
    """A table made outside the parent is kept by the custodian, and does not block the drop."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await site.owner.execute(
        "GRANT CREATE ON SCHEMA public TO PUBLIC; GRANT CREATE ON SCHEMA public TO cp_lost"
    )
    session = await site.login(issued.credential)
    await session.execute("SET ROLE NONE; CREATE TABLE kept (id int); SELECT lo_create(0)")
    await session.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    found = await site.connector.diff_persistence(plan, issued.baseline)
    assert f"object of {plan.account} in {site.database.name}" in [item.kind for item in found]
    await site.connector.revoke(plan)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead
    owner = await site.owner.fetchval("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'")
    assert owner == "cp_lost"
    await site.owner.execute("DROP OWNED BY cp_lost")


async def test_a_second_broker_login_ends_what_the_first_made(site):
    """The powers belong to a role that nobody logs in as, so that logins can be replaced."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await site.login(issued.credential)
    second = await site.role("second", f"LOGIN NOINHERIT PASSWORD '{BROKER_PASSWORD}'")
    await site.owner.execute(
        f"GRANT {site.settings.powers} TO {second};"
        f"ALTER ROLE {second} SET role = {site.settings.powers}"
    )
    dsn = site.settings.dsn.replace(site.settings.broker, second)
    await site.with_settings(dsn=dsn).connector.revoke(plan)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_nameless_sessions_keep_every_account_from_being_dead(site):
    """A session of a dropped role cannot be told apart here, so it counts, until it has ended."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await site.owner.execute(f"DROP ROLE {plan.account}")
    absence = await site.connector.verify_absent(plan, issued.credential)
    assert (absence.in_catalogue, absence.sessions, absence.dead) == (False, 1, False)
    await session.close()
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_bounds_are_kept_by_the_connector(site):
    """Without the owner's functions, lifetime and parent are checked before anything is sent."""
    plan = site.plan()
    late = datetime.now(UTC) + owner_script.LONGEST + timedelta(minutes=1)
    for wrong in (
        msgspec.structs.replace(plan, not_after=late),
        msgspec.structs.replace(plan, details={"parent": "postgres"}),
    ):
        with pytest.raises(TargetRefusedError):
            await site.connector.issue(wrong)
    assert await site.connector.list_managed() == ()


async def test_a_role_without_our_mark_is_not_touched(site):
    """A role that only bears our name is refused, although CREATEROLE could change it."""
    plan = site.plan()
    await site.owner.execute(f"CREATE ROLE {plan.account} LOGIN")
    for call in (site.connector.disable, site.connector.revoke):
        with pytest.raises(TargetRefusedError, match="not made by this installation"):
            await call(plan)
    assert await site.owner.fetchval(
        "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", plan.account
    )


async def test_a_stolen_broker_owns_the_host_before_16_and_the_selftest_says_so(site):
    """On 15 it can make itself run programs on the server; from 16 on that is refused."""
    broker = await site.broker()
    before_16 = broker.get_server_version().major < 16
    grant = f"GRANT pg_execute_server_program TO {site.settings.powers}"
    if before_16:
        await broker.execute(grant)
        await broker.execute("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'")
        await broker.execute(f"REVOKE pg_execute_server_program FROM {site.settings.powers}")
    else:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.execute(grant)
    report = await site.connector.selftest()
    failed = {check.name: check.detail for check in report.checks if not check.ok}
    assert set(failed) == ({"broker's powers"} if before_16 else set())
    assert not before_16 or "execute on the host" in failed["broker's powers"]
    assert report.residual.bound is None


async def test_the_selftest_names_further_powers(site):
    """Whatever else the role of the powers is a member of is named."""
    await site.owner.execute(f"GRANT pg_read_all_data TO {site.settings.powers}")
    report = await site.connector.selftest()
    (failed,) = [check for check in report.checks if not check.ok]
    assert "pg_read_all_data" in failed.detail


async def test_no_password_reaches_the_servers_log(site):
    """Statements without parameters are logged as they are: they hold a verifier only."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await site.connector.revoke(plan)
    log = site.database.server.log_path.read_text(errors="replace")
    assert f'CREATE ROLE "{plan.account}"' in log
    assert issued.credential.secret not in log


async def test_the_script_may_run_again(site):
    """A second run changes nothing."""
    await site.owner.execute(owner_script.render(site.settings))
    report = await site.connector.selftest()
    assert "round trip of repair" in [check.name for check in report.checks if check.ok]
