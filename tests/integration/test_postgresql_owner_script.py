"""What the owner's script lets the broker do, and everything that it does not."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from callpoint.adapters.targets.postgresql import owner_script, scram
from callpoint.adapters.targets.postgresql.settings import RoleSettings
from tests.postgresql_site import open_site
from tests.servers import fresh_database

SECRET = "a-secret-of-a-test"
VERIFIER = scram.verifier(SECRET, b"0123456789abcdef")
CREATE = "SELECT callpoint.create_account($1, $2, $3, $4, $5)"


@pytest.fixture
async def site(database):
    async with open_site(database) as prepared:
        yield prepared


@pytest.fixture
async def broker(site):
    return await site.broker()


def _arguments(site, **changes):
    given = {
        "account": f"cp_{site.installation}trial",
        "verifier": VERIFIER,
        "parent": site.parent,
        "not_after": datetime.now(UTC) + timedelta(minutes=5),
        "connections": 1,
    }
    return list((given | changes).values())


async def test_the_broker_makes_an_account_through_the_function_only(site, broker):
    """The function makes a login role without powers; the broker itself cannot make any."""
    await broker.execute(CREATE, *_arguments(site))
    row = await site.owner.fetchrow(
        "SELECT * FROM pg_roles WHERE rolname = $1", f"cp_{site.installation}trial"
    )
    powers = ("super", "inherit", "createrole", "createdb", "replication", "bypassrls")
    assert [row[f"rol{power}"] for power in powers] == [False] * len(powers)
    assert row["rolconnlimit"] == 1
    for statement in ("CREATE ROLE x", f"DROP ROLE {row['rolname']}", f"GRANT {site.parent} TO x"):
        with pytest.raises(asyncpg.PostgresError):
            await broker.execute(statement)


_FORBIDDEN = [
    "SELECT * FROM callpoint.account",
    "SELECT * FROM callpoint.pepper",
    "INSERT INTO callpoint.parent VALUES ('postgres')",
    "DELETE FROM callpoint.account",
    "INSERT INTO callpoint.reaper_run (ended, failed) VALUES (0, 0)",
    "SELECT callpoint.reap()",
    "SELECT callpoint.mark('x')",
    "SELECT callpoint.made('x')",
    "SELECT callpoint.revoke_as_grantor('x')",
    "SELECT rolpassword FROM pg_authid",
    "CREATE FUNCTION callpoint.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP FUNCTION callpoint.disable(text)",
    "ALTER FUNCTION callpoint.disable(text) RESET ALL",
    "SELECT * FROM orders",
    "SELECT pg_read_file('postgresql.conf')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COMMENT ON ROLE postgres IS 'callpoint 1 abc123 0 x'",
    "CREATE TABLE public.mine (id int)",
    "CREATE SCHEMA mine",
]


async def test_the_broker_can_do_nothing_else(broker):
    """Tables, inner functions, other objects and the server itself are closed to the broker."""
    for statement in _FORBIDDEN:
        try:
            await broker.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        pytest.fail(f"the broker may: {statement}")


async def test_nobody_else_may_execute_a_function(site):
    """PUBLIC has no right on the schema or on any function in it."""
    count = await site.owner.fetchval(
        "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, "
        "LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x "
        "WHERE n.nspname = 'callpoint' AND x.grantee = 0"
    )
    assert count == 0
    stranger = await site.role("stranger")
    await site.owner.execute(f"SET ROLE {stranger}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await site.owner.execute("SELECT callpoint.version()")
    await site.owner.execute("RESET ROLE")


async def test_every_function_pins_its_search_path(site):
    """Each function has ``pg_catalog, pg_temp`` as its search path, so none can be deceived."""
    rows = await site.owner.fetch(
        "SELECT p.proname, p.proconfig FROM pg_proc p JOIN pg_namespace n "
        "ON n.oid = p.pronamespace WHERE n.nspname = 'callpoint'"
    )
    assert len(rows) > 15
    pinned = "search_path=pg_catalog, pg_temp"
    assert [row["proname"] for row in rows if pinned not in row["proconfig"]] == []


async def test_planted_functions_are_never_called(site):
    """Objects of the same names in the broker's temporary and other schemas are not used."""
    await site.owner.execute(f"CREATE SCHEMA evil AUTHORIZATION {site.settings.broker}")
    broker = await site.broker()
    for schema in ("evil", "pg_temp"):
        await broker.execute(
            f"CREATE FUNCTION {schema}.format(text, text) RETURNS text LANGUAGE sql "
            "AS $$ SELECT 'ALTER ROLE postgres PASSWORD NULL' $$;"
            f"CREATE FUNCTION {schema}.always(text, text) RETURNS boolean LANGUAGE sql "
            "AS $$ SELECT true $$;"
            f"CREATE OPERATOR {schema}.~ "
            f"(LEFTARG = text, RIGHTARG = text, FUNCTION = {schema}.always);"
            f"CREATE TABLE {schema}.pg_authid (rolname name, oid oid, rolpassword text);"
        )
    await broker.execute("SET search_path = evil, pg_temp, pg_catalog")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await broker.execute("SELECT callpoint.disable($1)", "postgres")
    await broker.execute(CREATE, *_arguments(site))
    assert await site.exists(f"cp_{site.installation}trial")
    assert await broker.fetchval("SELECT callpoint.disable($1)", f"cp_{site.installation}trial")
    assert await site.owner.fetchval("SELECT rolpassword IS NOT NULL FROM pg_authid WHERE oid = 10")


_OUT_OF_BOUNDS: list[dict[str, object]] = [
    {"account": "cp_zzz999trial"},
    {"account": "postgres"},
    {"account": "cp_lost"},
    {"account": None},
    {"account": "cp_{id}"},
    {"account": "cp_{id}UPPER"},
    {"account": "cp_{id}x; DROP ROLE x"},
    {"account": "cp_{id}x\n"},
    {"account": "cp_{id}" + "x" * 19},
    {"verifier": "plaintext"},
    {"verifier": None},
    {"verifier": VERIFIER[:-2]},
    {"verifier": "md5" + "0" * 32},
    {"parent": "postgres"},
    {"parent": "pg_read_all_data"},
    {"parent": None},
    {"not_after": datetime(2001, 1, 1, tzinfo=UTC)},
    {"not_after": None},
    {"not_after": datetime(2999, 1, 1, tzinfo=UTC)},
    {"connections": 0},
    {"connections": -1},
    {"connections": 6},
    {"connections": None},
]


async def test_what_is_out_of_bounds_is_refused(site, broker):
    """Form, verifier, parent, lifetime and limit are checked inside, also for NULL."""
    for changes in _OUT_OF_BOUNDS:
        given = {
            key: value.replace("{id}", site.installation) if isinstance(value, str) else value
            for key, value in changes.items()
        }
        with pytest.raises(asyncpg.PostgresError) as refused:
            await broker.execute(CREATE, *_arguments(site, **given))
        assert refused.value.sqlstate in {"42501", "22023"}, changes
    assert await site.connector.list_managed() == ()


async def test_eight_hours_are_the_longest_life(site, broker):
    """A minute less than the owner's limit is made, a minute more is refused."""
    now = datetime.now(UTC)
    longest = owner_script.LONGEST
    late = _arguments(site, not_after=now + longest + timedelta(minutes=1))
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await broker.execute(CREATE, *late)
    await broker.execute(CREATE, *_arguments(site, not_after=now + longest - timedelta(minutes=1)))


@pytest.mark.parametrize("power", ["LOGIN", "SUPERUSER", "CREATEROLE", "REPLICATION", "BYPASSRLS"])
async def test_a_parent_that_grew_powers_is_refused(site, broker, power):
    """A listed parent that can log in or has server-wide rights makes no account any more."""
    await site.owner.execute(f"ALTER ROLE {site.parent} {power}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await broker.execute(CREATE, *_arguments(site))


async def test_a_parent_that_reaches_the_host_is_refused(site, broker):
    """A parent that could run programs on the server, even through another role, is refused."""
    between = await site.role("between")
    await site.owner.execute(
        f"GRANT pg_execute_server_program TO {between}; GRANT {between} TO {site.parent}"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await broker.execute(CREATE, *_arguments(site))


@pytest.mark.parametrize(
    "function", ["disable", "terminate", "sessions", "drop_account", "sweep", "databases"]
)
async def test_foreign_roles_are_refused_by_every_function(site, broker, function):
    """Neither other roles nor roles that only bear our name can be touched."""
    imitation = f"cp_{site.installation}imitation"
    await site.owner.execute(f"CREATE ROLE {imitation} LOGIN")
    other = await site.role("clerk", "LOGIN")
    for account in ("postgres", other, imitation, "cp_zzz999x", None, ""):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.execute(f"SELECT callpoint.{function}($1)", account)
    assert await site.owner.fetchval(
        "SELECT bool_and(rolcanlogin) FROM pg_roles WHERE rolname = ANY($1)", [imitation, other]
    )


async def test_two_installations_do_not_reach_each_others_accounts(site):
    """On one server, the broker of one installation cannot touch the accounts of another."""
    with fresh_database(site.database.server) as database:
        async with open_site(database) as other:
            plan = other.plan()
            await other.connector.issue(plan)
            broker = await site.broker()
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await broker.execute("SELECT callpoint.disable($1)", plan.account)
            assert await site.connector.list_managed() == ()
            assert len(await other.connector.list_managed()) == 1


async def test_the_script_upgrades_and_narrows_when_run_again(site, broker):
    """A second run changes nothing of what lives, and takes a parent off the list."""
    plan = site.plan()
    await site.connector.issue(plan)
    narrower = site.with_settings(roles={"other": RoleSettings(await site.role("other"))})
    await site.owner.execute(owner_script.render_home(narrower.settings))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await broker.execute(CREATE, *_arguments(site))
    await site.connector.revoke(plan)
    assert await site.connector.list_managed() == ()


async def test_a_squatted_schema_is_refused(site):
    """The script does not install into a schema that somebody else owns."""
    await site.owner.execute(f"CREATE SCHEMA squatted AUTHORIZATION {site.parent}")
    taken = site.with_settings(schema="squatted")
    with pytest.raises(asyncpg.RaiseError, match="not owned by a superuser"):
        await site.owner.execute(owner_script.render_home(taken.settings))


async def test_an_owner_without_superuser_is_told_so(site):
    """Run by an ordinary role, the script stops at once and says what is needed."""
    plain = await site.role("plain")
    await site.owner.execute(f"SET ROLE {plain}")
    with pytest.raises(asyncpg.RaiseError, match="as a superuser"):
        await site.owner.execute(owner_script.render_home(site.settings))
    await site.owner.execute("RESET ROLE")


async def test_psql_runs_the_whole_script(site):
    """What `target prepare` prints runs in psql, through every listed database."""
    wide = site.with_settings(databases=(site.database.name, "postgres"), schema="cp_psql")
    binaries = site.database.server.binaries.bindir
    psql = await asyncio.create_subprocess_exec(
        *(binaries / "psql", "--set", "ON_ERROR_STOP=1", "--quiet"),
        *("--dbname", site.database.owner_url),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await psql.communicate(owner_script.render(wide.settings).encode())
    assert psql.returncode == 0, said.decode()
    broker = await site.broker("postgres")
    assert await broker.fetchval("SELECT cp_psql.version()") == owner_script.VERSION
    elsewhere = await asyncpg.connect(site.database.server.superuser_url())
    await elsewhere.execute("DROP SCHEMA cp_psql CASCADE")
    await elsewhere.close()


async def test_the_reapers_heartbeat_bounds_the_residual(site):
    """Unbounded until the reaper was seen three times, then bounded by its longest silence."""
    assert (await site.connector.residual()).bound is None
    for _ in range(3):
        await site.owner.execute("SELECT callpoint.reap()")
    residual = await site.connector.residual()
    assert residual.bound is not None
    assert timedelta(seconds=10) <= residual.bound < timedelta(seconds=30)
    await site.owner.execute("UPDATE callpoint.reaper_run SET at = at - interval '20 minutes'")
    assert (await site.connector.residual()).bound is None
    await site.owner.execute("UPDATE callpoint.reaper_run SET at = at - interval '2 hours'")
    assert (await site.connector.residual()).bound is None


async def test_the_selftest_tells_what_the_broker_could_do_beyond(site):
    """A broker with more than it needs fails the selftest, which names what is too much."""
    await site.owner.execute(
        f"ALTER ROLE {site.settings.broker} CREATEROLE;"
        f"GRANT pg_read_server_files TO {site.settings.broker};"
    )
    report = await site.connector.selftest()
    (failed,) = [check for check in report.checks if not check.ok]
    assert failed.name == "broker's powers"
    assert "createrole" in failed.detail
    assert "pg_read_server_files" in failed.detail


async def test_the_selftest_names_the_databases_without_the_script(site):
    """A database that accounts may connect to and that was not prepared is named."""
    report = await site.with_settings(databases=()).connector.selftest()
    failed = [check.name for check in report.checks if not check.ok]
    assert failed == ["owner's script"]
    (check,) = [check for check in report.checks if not check.ok]
    assert "postgres" in check.detail
    assert "template1" in check.detail


async def test_a_database_that_accounts_cannot_enter_needs_no_script(site):
    """Without CONNECT for PUBLIC and parents, a database is neither looked at nor asked for."""
    everywhere = site.with_settings(databases=())
    with fresh_database(site.database.server) as closed:
        plan = everywhere.plan()
        name = closed.name
        found = await everywhere.connector.diff_persistence(plan, {})
        unexamined = {item.name for item in found if item.kind == "database not examined"}
        assert {name, "postgres", "template1"} <= unexamined
        await site.owner.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
        found = await everywhere.connector.diff_persistence(plan, {})
        assert name not in {item.name for item in found}
        await site.owner.execute(f"GRANT CONNECT ON DATABASE {name} TO {site.parent}")
        found = await everywhere.connector.diff_persistence(plan, {})
        assert name in {item.name for item in found}


async def test_the_selftest_names_open_databases_that_are_not_listed(site):
    """With a list of databases, those outside it that accounts may enter are named."""
    report = await site.connector.selftest()
    (check,) = [check for check in report.checks if check.name == "owner's script"]
    assert check.ok
    _, _, named = check.detail.partition("not looked at, though accounts may connect: ")
    assert {"postgres", "template1"} <= set(named.split(", "))


async def test_an_account_whose_mark_was_removed_is_refused_aloud(site):
    """An account that lost its mark is listed and not touched: somebody has to look."""
    plan = site.plan()
    await site.connector.issue(plan)
    await site.owner.execute(f"COMMENT ON ROLE {plan.account} IS NULL")
    broker = await site.broker()
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="was not made by"):
        await broker.execute("SELECT callpoint.disable($1)", plan.account)
    (listed,) = await site.connector.list_managed()
    assert listed.not_after is None


async def test_the_broker_cannot_lend_itself_an_account(site, broker):
    """Lending needs a prepared transaction; without one the account stays disabled."""
    plan = site.plan()
    await site.connector.issue(plan)
    await site.connector.disable(plan)
    rows = await broker.fetch("SELECT callpoint.lend($1, $2)", plan.account, VERIFIER)
    assert rows == []
    (listed,) = await site.connector.list_managed()
    assert not listed.enabled
