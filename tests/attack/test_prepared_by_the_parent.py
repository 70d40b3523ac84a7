"""The actor prepares a transaction as the parent role, which no look at the account's own finds."""

import asyncpg
import pytest

from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.settings import RoleSettings
from callpoint.cli.postgres_server import find_servers
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.lifecycle.removal import remove
from callpoint.ports.credential import Attempt
from callpoint.ports.rotation import Rotation
from tests.postgresql_site import login, open_site
from tests.servers import fifteen, fresh_database, missing, newest

pytestmark = pytest.mark.server("postgresql")

_VERIFIER = f"SCRAM-SHA-256$4096:{'A' * 22}==${'A' * 43}=:{'A' * 43}="


@pytest.fixture(scope="module", params=[fifteen, newest])
def server(request):
    """A server that allows prepared transactions; by default there are none."""
    binaries = request.param(find_servers())
    if binaries is None:
        missing(f"no PostgreSQL that is {request.param.__name__} is on this machine")
    with ThrowawayPostgres(binaries, settings={"max_prepared_transactions": "5"}) as running:
        yield running


@pytest.fixture
async def site(server):
    """A target with the owner's functions."""
    with fresh_database(server) as database:
        async with open_site(database) as made:
            yield made
            # What is left would hold up the end of the test for ever.
            for left in await made.owner.fetch("SELECT gid FROM pg_prepared_xacts"):
                await made.owner.execute(f"ROLLBACK PREPARED '{left['gid']}'")


async def _prepare(site, plan, issued, statement):
    """A statement of the account, in a transaction that the parent prepares."""
    session = await site.login(issued.credential)
    await session.execute("SET ROLE NONE")
    await session.execute(f"BEGIN; {statement}; SET ROLE {site.parent}")
    await session.execute(f"PREPARE TRANSACTION '{plan.handle}'")
    await session.close()


@pytest.mark.parametrize("statement", ["ALTER ROLE {} PASSWORD 'x'", "SELECT lo_create(0)"])
async def test_what_holds_the_account_is_rolled_back_whoever_prepared_it(site, statement):
    """A lock on the account's own row would keep it enabled, one on its name undropped."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await _prepare(site, plan, issued, statement.format(plan.account))
    removal = await remove(site.connector, plan, issued.baseline, issued.credential)
    assert removal.dead, removal.error
    assert await site.owner.fetchval("SELECT count(*) FROM pg_prepared_xacts") == 0
    assert await site.connector.list_managed() == ()


async def test_what_the_parent_prepared_and_holds_nothing_of_it_is_only_told(site):
    """It may be the owner's own work in progress: a finding, and no reason to roll back."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await _prepare(site, plan, issued, f"SET ROLE {site.parent}; INSERT INTO orders VALUES (1)")
    removal = await remove(site.connector, plan, issued.baseline, issued.credential)
    assert removal.dead
    assert [found.kind for found in removal.residue] == ["prepared transaction"]
    assert await site.owner.fetchval("SELECT count(*) FROM pg_prepared_xacts") == 1
    await site.owner.execute(f"ROLLBACK PREPARED '{plan.handle}'")


async def test_what_holds_an_object_of_the_accounts_is_rolled_back(site):
    """A lock on its table would keep that from the custodian, and so the account undropped."""
    await site.owner.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    plan = site.plan()
    issued = await site.connector.issue(plan)
    trap = f"CREATE TABLE trap (id int); GRANT SELECT ON trap TO {site.parent}; COMMIT; BEGIN"
    await _prepare(site, plan, issued, f"{trap}; SET ROLE {site.parent}; SELECT FROM trap")
    removal = await remove(site.connector, plan, issued.baseline, issued.credential)
    assert removal.dead, removal.error
    assert await site.owner.fetchval("SELECT count(*) FROM pg_prepared_xacts") == 0


async def test_the_login_that_is_lent_ends_with_the_revocation(site):
    """Whoever stole the broker's account has it for half a minute, and the account stays off."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await _prepare(site, plan, issued, "SELECT lo_create(0)")
    await site.connector.disable(plan)
    broker = await site.broker()
    (lent,) = await broker.fetch("SELECT * FROM callpoint.lend($1, $2)", plan.account, _VERIFIER)
    assert lent["gid"] == plan.handle
    states = {row.account: row.enabled for row in await site.connector.list_managed()}
    assert states == {plan.account: False, lent["login"]: True}
    left = await site.owner.fetchval(
        "SELECT rolvaliduntil - clock_timestamp() < interval '31 seconds' FROM pg_roles "
        "WHERE rolname = $1",
        lent["login"],
    )
    assert left
    await site.connector.revoke(plan)
    assert await site.connector.list_managed() == ()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await broker.fetch("SELECT * FROM callpoint.prepared_by($1)", plan.account)


async def test_a_holder_of_a_static_role_cannot_hold_its_secret_by_a_prepared_transaction(site):
    """With the own secret changed and another change prepared, the next one is set all the same."""
    account = await site.role("legacy", "LOGIN")
    roles = {**site.settings.roles, "legacy": RoleSettings(account=account)}
    place = site.with_settings(roles=roles)
    await place.owner.execute(owner_script.render_home(place.settings))
    plan, rotator = place.plan(role="legacy"), place.connector.rotator
    await rotator.rotate(plan, Rotation("handed-out", (), 1, plan.not_after))
    session = await login(rotator.credential(plan, "handed-out"), options=False)
    await session.execute(f"ALTER ROLE {account} PASSWORD 'own'")
    await session.execute(f"BEGIN; ALTER ROLE {account} PASSWORD 'other'")
    await session.execute(f"PREPARE TRANSACTION '{plan.handle}'")
    await session.close()
    await rotator.rotate(plan, Rotation("next-one", ("handed-out",), 2, None))
    assert await place.owner.fetchval("SELECT count(*) FROM pg_prepared_xacts") == 0
    for word in ("handed-out", "own", "other"):
        told = await rotator.attempt(plan, rotator.credential(plan, word))
        assert told.attempt is Attempt.REFUSED
    told = await rotator.attempt(plan, rotator.credential(plan, "next-one"))
    assert told.attempt is Attempt.LOCKED
    assert await place.connector.list_managed() == ()
    broker = await place.broker()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await broker.fetch("SELECT * FROM callpoint.lend_listed($1, $2)", site.parent, _VERIFIER)
