"""Each trap of PostgreSQL that makes "revoked" untrue, shown on a real server and met.

The numbers are those of ``docs/connectors/postgresql.md``.
"""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from callpoint.adapters.targets.postgresql import owner_script
from callpoint.domain.errors import TargetRefusedError
from callpoint.ports.targets import Attempt
from tests.postgresql_site import open_site
from tests.servers import fresh_database


@pytest.fixture
async def site(database):
    async with open_site(database) as prepared:
        yield prepared


async def _goes_on(session):
    try:
        return await session.fetchval("SELECT count(*) FROM orders") is not None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False


async def test_1_a_session_survives_drop_role_and_is_ended_all_the_same(site):
    """PostgreSQL drops a role that has a session; the connector finds that session by its oid."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    oid = await site.oid(plan.account)
    await site.owner.execute(f"DROP ROLE {plan.account}")
    assert await _goes_on(session)
    absence = await site.connector.verify_absent(plan, issued.credential)
    assert (absence.in_catalogue, absence.sessions, absence.dead) == (False, 1, False)
    assert await site.connector.kill_sessions(plan) == 0
    assert not await _goes_on(session)
    assert await site.live(oid) == 0
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_1_revoke_ends_sessions_before_it_drops(site):
    """``revoke`` alone, without the calls before it, leaves neither role nor session."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    oid = await site.oid(plan.account)
    await site.connector.revoke(plan)
    assert not await _goes_on(session)
    assert await site.live(oid) == 0
    assert not await site.exists(plan.account)


async def test_1_the_owners_function_refuses_to_drop_a_live_account(site):
    """Whoever holds the broker cannot drop an account whose sessions would go on unseen."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    broker = await site.broker()
    await site.connector.disable(plan)
    with pytest.raises(asyncpg.ObjectInUseError):
        await broker.execute("SELECT callpoint.drop_account($1)", plan.account)
    await broker.close()
    assert await _goes_on(session)


async def test_2_valid_until_stops_logins_and_the_reaper_stops_sessions(site):
    """Past its time the password is refused, the session goes on, and the reaper ends it."""
    plan = site.plan(minutes=1.2 / 60)
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await asyncio.sleep(1.3)
    assert datetime.now(UTC) > plan.not_after
    refused = await site.connector.probe(plan, issued.credential)
    assert (refused.attempt, refused.code) == (Attempt.REFUSED, "28P01")
    assert await _goes_on(session)
    # The mark on the role counts whole seconds, upwards.
    await asyncio.sleep(1)
    assert await site.owner.fetchval("SELECT callpoint.reap()") == 1
    assert not await _goes_on(session)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_2_the_reaper_spares_what_is_not_due(site):
    """An account within its time, and roles that are not ours, survive a run of the reaper."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    other = await site.role("clerk", "LOGIN VALID UNTIL '2001-01-01'")
    assert await site.owner.fetchval("SELECT callpoint.reap()") == 0
    assert (await site.connector.probe(plan, issued.credential)).attempt is Attempt.ACCEPTED
    assert await site.exists(other)


async def test_3_the_broker_ends_only_sessions_of_its_accounts(site):
    """The broker cannot end sessions itself; the function ends those of its accounts only."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    broker = await site.broker()
    for pid in (session.get_server_pid(), site.owner.get_server_pid()):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.execute("SELECT pg_terminate_backend($1)", pid)
    for foreign in ("postgres", site.parent):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.execute("SELECT callpoint.terminate($1)", foreign)
    await broker.close()
    assert await site.connector.kill_sessions(plan) == 0
    assert not await _goes_on(session)


async def test_4_what_it_owns_in_two_databases_goes_to_the_custodian(site):
    """Objects and default privileges in several databases do not block the drop, nor get lost."""
    with fresh_database(site.database.server) as second:
        wide = site.with_settings(databases=(site.database.name, second.name))
        plan = wide.plan()
        issued = await wide.connector.issue(plan)
        elsewhere = await asyncpg.connect(second.owner_url)
        for owner in (site.owner, elsewhere):
            await owner.execute(
                f"CREATE SCHEMA own_{site.installation} AUTHORIZATION {plan.account};"
                f"CREATE TABLE own_{site.installation}.kept (id int);"
                f"ALTER TABLE own_{site.installation}.kept OWNER TO {plan.account};"
                f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {plan.account};"
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {plan.account} GRANT SELECT ON TABLES "
                "TO PUBLIC;"
                f"GRANT CONNECT ON DATABASE {second.name} TO {plan.account};"
            )
        with pytest.raises(TargetRefusedError) as refused:
            await wide.connector.revoke(plan)
        assert "target prepare" in refused.value.way_out
        await elsewhere.execute(owner_script.render_database(wide.settings))
        await wide.connector.revoke(plan)
        assert (await wide.connector.verify_absent(plan, issued.credential)).dead
        for owner in (site.owner, elsewhere):
            kept = await owner.fetchval(
                "SELECT tableowner FROM pg_tables WHERE schemaname = $1", f"own_{site.installation}"
            )
            assert kept == "cp_lost"
        await elsewhere.close()


@pytest.mark.parametrize("member", [False, True], ids=["stranger", "member of the owner"])
async def test_5_a_grant_by_another_grantor_does_not_block_the_drop(site, member):
    """Where DROP OWNED does nothing without an error, the grant is revoked as its grantor."""
    app = await site.role("app")
    await site.owner.execute(
        f"CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO {site.parent};"
        f"CREATE TABLE trap.stock (id int, secret text); ALTER TABLE trap.stock OWNER TO {app};"
        f"GRANT SELECT, INSERT ON trap.stock TO {site.parent} WITH GRANT OPTION;"
        f"GRANT UPDATE (secret) ON trap.stock TO {site.parent} WITH GRANT OPTION;"
    )
    if member:
        await site.owner.execute(
            f"GRANT {app} TO {site.parent}; GRANT USAGE ON SCHEMA trap TO {app}"
        )
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await session.execute(f"GRANT SELECT ON trap.stock TO {plan.account} WITH GRANT OPTION")
    await session.execute(f"GRANT UPDATE (secret) ON trap.stock TO {plan.account}")
    await session.close()
    acl = await site.owner.fetchval("SELECT relacl::text FROM pg_class WHERE relname = 'stock'")
    assert f"{plan.account}=r*/{site.parent}" in acl
    # The trap itself: the superuser's own attempt does nothing, silently.
    await site.owner.execute(f"DROP OWNED BY {plan.account}")
    with pytest.raises(asyncpg.DependentObjectsStillExistError):
        await site.owner.execute(f"DROP ROLE {plan.account}")
    await site.connector.revoke(plan)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead
    acl = await site.owner.fetchval("SELECT relacl::text FROM pg_class WHERE relname = 'stock'")
    assert plan.account not in acl
    assert f"{site.parent}=a*r*/{app}" in acl


async def test_6_no_activation_leaves_a_trace_in_an_acl(site):
    """A table's access list, which would overflow after some 2,400 leaks, does not grow."""
    query = "SELECT coalesce(relacl::text, '') FROM pg_class WHERE oid = 'orders'::regclass"
    before = await site.owner.fetchval(query)
    for _ in range(5):
        plan = site.plan()
        await site.connector.issue(plan)
        assert await site.owner.fetchval(query) == before
        await site.connector.revoke(plan)
    assert await site.owner.fetchval(query) == before


async def test_7_work_is_done_as_the_parent(site):
    """With the credential's options objects belong to the parent, and remain after the end."""
    await site.owner.execute(f"GRANT CREATE ON SCHEMA public TO {site.parent}")
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    assert await session.fetchval("SELECT current_user") == site.parent
    await session.execute("CREATE TABLE repaired (id int); INSERT INTO orders VALUES (1, 'paid')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.fetch("SELECT * FROM billing")
    await site.connector.revoke(plan)
    owner = await site.owner.fetchval("SELECT tableowner FROM pg_tables WHERE tablename='repaired'")
    assert owner == site.parent


async def test_7a_no_setting_on_the_role_can_replace_the_option(site):
    """``ALTER ROLE … SET role`` is refused in a definer function, so the client passes the role."""
    plan = site.plan()
    await site.connector.issue(plan)
    await site.owner.execute(
        "CREATE FUNCTION set_role() RETURNS void LANGUAGE plpgsql SECURITY DEFINER "
        f"AS $$ BEGIN EXECUTE 'ALTER ROLE {plan.account} SET role = {site.parent}'; END $$"
    )
    with pytest.raises(asyncpg.PostgresError) as refused:
        await site.owner.execute("SELECT set_role()")
    assert "security-definer" in str(refused.value)


async def test_7c_only_set_role_none_leaves_the_parent(site):
    """RESET ROLE returns to the parent; SET ROLE NONE leaves the account with no right of it."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await session.execute("RESET ROLE")
    assert await session.fetchval("SELECT current_user") == site.parent
    await session.execute("SET ROLE NONE")
    assert await session.fetchval("SELECT current_user") == plan.account
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.fetch("SELECT * FROM orders")
    # What it can still do there is swept: a large object, default privileges.
    await session.execute("SELECT lo_create(0)")
    await session.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    found = await site.connector.diff_persistence(plan, issued.baseline)
    assert {item.kind.split(" in ")[0] for item in found} >= {
        f"object of {plan.account}",
        "default privilege",
    }
    await site.connector.revoke(plan)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_7d_a_changed_password_is_not_taken_for_death(site):
    """After the actor changed its password the old one fails, yet the account is not dead."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await session.execute("SET ROLE NONE")
    await session.execute(f"ALTER ROLE {plan.account} PASSWORD 'of-the-actor'")
    refused = await site.connector.probe(plan, issued.credential)
    assert (refused.attempt, refused.code) == (Attempt.REFUSED, "28P01")
    assert not (await site.connector.verify_absent(plan, issued.credential)).dead
    # Found before disabling and, as disabling removes the password, also after it.
    for _ in range(2):
        found = await site.connector.diff_persistence(plan, issued.baseline)
        assert ("changed password", plan.account) in [(item.kind, item.name) for item in found]
        await site.connector.disable(plan)
    with pytest.raises(
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
    ):
        await asyncpg.connect(site.database.url(plan.account, "of-the-actor"))


async def test_7d_an_unchanged_password_is_no_finding(site):
    """The comparison of passwords finds nothing where nothing was changed."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await site.connector.disable(plan)
    assert await site.connector.diff_persistence(plan, issued.baseline) == ()


async def test_8_no_password_reaches_the_servers_log(site):
    """With every statement logged, the log shows the call and never the secret."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    assert (await site.connector.probe(plan, issued.credential)).attempt is Attempt.ACCEPTED
    await site.connector.revoke(plan)
    log = site.database.server.log_path.read_text(errors="replace")
    assert plan.account in log
    assert "create_account" in log
    assert issued.credential.secret not in log


async def test_4_a_flood_of_large_objects_does_not_stop_the_end(site):
    """More than one call can move: several calls do, and the difference counts, not lists, them."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    flood = owner_script.BATCH * 6 + 1
    await session.execute("SET ROLE NONE")
    await session.execute(f"SELECT count(lo_create(0)) FROM generate_series(1, {flood})")
    await session.execute("RESET ROLE")
    await session.execute(
        "DO $$ DECLARE made oid := lo_create(0); BEGIN "
        f"EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO {plan.account}', made); END $$"
    )
    await site.connector.disable(plan)
    assert await site.connector.kill_sessions(plan) == 0
    found = await site.connector.diff_persistence(plan, issued.baseline)
    assert f"{flood} large objects" in [item.name for item in found]
    assert len(found) == 3
    await site.connector.revoke(plan)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead
    kept = await site.owner.fetchval(
        "SELECT count(*) FROM pg_largeobject_metadata WHERE lomowner = 'cp_lost'::regrole"
    )
    assert kept == flood


async def test_10_activations_at_once_do_not_disturb_each_other(site):
    """Eight lives at once end proven dead, and none shows in another's difference."""

    async def life():
        plan = site.plan()
        issued = await site.connector.issue(plan)
        session = await site.login(issued.credential)
        await site.connector.disable(plan)
        assert await site.connector.kill_sessions(plan) == 0
        found = await site.connector.diff_persistence(plan, issued.baseline)
        await site.connector.revoke(plan)
        await session.close()
        return found, await site.connector.verify_absent(plan, issued.credential)

    for found, absence in await asyncio.gather(*(life() for _ in range(8))):
        assert found == ()
        assert absence.dead
