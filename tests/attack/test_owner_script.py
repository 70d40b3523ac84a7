"""The thief of the broker's login, and actors as their parent, against what the owner installed."""

import asyncio

import asyncpg
import pytest

from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.settings import RoleSettings
from callpoint.lifecycle.removal import remove
from tests.postgresql_site import open_site
from tests.servers import fresh_database

pytestmark = pytest.mark.server("postgresql")

_VERIFIER = f"SCRAM-SHA-256$4096:{'A' * 22}==${'A' * 43}=:{'A' * 43}="


@pytest.fixture
async def site(postgres_15):
    """A target with the owner's functions."""
    with fresh_database(postgres_15) as database:
        async with open_site(database) as made:
            yield made


@pytest.fixture
async def listed(site):
    """The same with a static account, which stays locked between its uses."""
    account = await site.role("legacy", "NOLOGIN")
    roles = {**site.settings.roles, "legacy": RoleSettings(account=account)}
    place = site.with_settings(roles=roles)
    await site.owner.execute(owner_script.render_home(place.settings))
    return place, account


async def test_a_script_that_is_cut_short_leaves_no_function_open(listed):
    """Until its last line has run nothing counts, so no new function is anybody's for a moment."""
    place, account = listed
    await place.owner.execute("DROP SCHEMA callpoint CASCADE")
    script = owner_script.render(place.settings)
    cut = script[: script.index("CREATE OR REPLACE FUNCTION callpoint.checked_out_accounts")]
    psql = await asyncio.create_subprocess_exec(
        *(place.database.server.binaries.bindir / "psql", "--set", "ON_ERROR_STOP=1", "--quiet"),
        *("--dbname", place.database.owner_url),
        stdin=asyncio.subprocess.PIPE,
    )
    await psql.communicate(cut.encode())
    assert psql.returncode == 0
    broker = await place.broker()
    with pytest.raises(asyncpg.PostgresError):
        await broker.execute(f"SELECT callpoint.alter_listed('{account}', 'SUPERUSER')")
    options = "SELECT rolsuper FROM pg_roles WHERE rolname = $1"
    assert not await place.owner.fetchval(options, account)


async def test_a_grant_in_a_schema_that_its_owner_closed_to_itself_is_taken_back(site):
    """Who granted may not name the object any more: the account is dropped, the schema stays."""
    other = await site.role("data")
    await site.owner.execute(
        f"CREATE SCHEMA room AUTHORIZATION {site.parent}; CREATE TABLE room.things (id int);"
        f"ALTER TABLE room.things OWNER TO {other};"
        f"GRANT SELECT ON room.things TO {site.parent} WITH GRANT OPTION"
    )
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await session.execute(f"GRANT SELECT ON room.things TO {plan.account}")
    await session.execute(f"REVOKE USAGE ON SCHEMA room FROM {site.parent}")
    removal = await remove(site.connector, plan, issued.baseline, issued.credential)
    assert removal.dead, removal.error
    rights = "SELECT has_schema_privilege($1, 'room', 'USAGE')"
    assert not await site.owner.fetchval(rights, site.parent)
    await site.owner.execute("DROP SCHEMA room CASCADE")


async def test_a_grant_on_a_setting_of_the_server_is_taken_back(site):
    """What a parent with a grant option gave to the account does not keep its role for ever."""
    setting = "PARAMETER log_min_messages"
    await site.owner.execute(f"GRANT SET ON {setting} TO {site.parent} WITH GRANT OPTION")
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await session.execute(f"GRANT SET ON {setting} TO {plan.account}")
    removal = await remove(site.connector, plan, issued.baseline, issued.credential)
    await site.owner.execute(f"REVOKE ALL ON {setting} FROM {site.parent} CASCADE")
    assert removal.dead, removal.error


async def test_an_actor_who_may_write_all_data_writes_nothing_of_the_owners(listed):
    """Neither the lists are lengthened, nor what the reaper must end, nor its heartbeat."""
    place, _ = listed
    await place.owner.execute(f"GRANT pg_write_all_data TO {place.parent}")
    plan = place.plan()
    issued = await place.connector.issue(plan)
    session = await place.login(issued.credential)
    for statement in (
        "INSERT INTO callpoint.checked_out (account) VALUES ('another')",
        "INSERT INTO callpoint.parent VALUES ('another')",
        "UPDATE callpoint.checked_out SET until = NULL",
        "DELETE FROM callpoint.account",
        "INSERT INTO callpoint.reaper_run (ended, failed) VALUES (0, 0)",
        "UPDATE callpoint.pepper SET value = ''",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only the owner"):
            await session.execute(statement)
    removal = await remove(place.connector, plan, issued.baseline, issued.credential)
    assert removal.dead, removal.error


async def test_a_thief_of_the_broker_leaves_no_static_account_open(listed):
    """Without an end, which the reaper would keep, an account that is locked stays so."""
    place, account = listed
    broker = await place.broker()
    await broker.execute("SELECT callpoint.rotate($1, $2, 1, true, NULL)", account, _VERIFIER)
    options = "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1"
    assert not await place.owner.fetchval(options, account)
