"""The broker's connections: few, short, and none that a call could be lost on."""

import asyncio

import pytest

from callpoint.adapters.targets.postgresql.idle import LINGER
from callpoint.adapters.targets.postgresql.login import Login
from callpoint.lifecycle.removal import remove
from tests.postgresql_site import open_site


@pytest.fixture
async def site(database):
    async with open_site(database) as prepared:
        yield prepared


async def sessions(site) -> int:
    """Sessions that the broker has at the server now."""
    count: int = await site.owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", site.settings.broker
    )
    return count


def logins(site) -> int:
    """How often the broker has logged in so far."""
    text = site.database.server.log_path.read_text(errors="replace")
    count: int = text.count(f"connection authorized: user={site.settings.broker} ")
    return count


async def test_a_whole_revocation_logs_in_once(site):
    """Its dozen questions go over one connection, which is gone a moment later."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    before = logins(site)
    done = await remove(site.connector, plan, issued.baseline, issued.credential)
    assert done.dead
    assert logins(site) - before <= 1
    assert await sessions(site) <= 1
    await asyncio.sleep(LINGER + 0.3)
    assert await sessions(site) == 0


@pytest.mark.parametrize("wait", [0.0, 0.1], ids=["at once", "a little later"])
async def test_a_connection_that_was_cut_meanwhile_loses_no_call(site, wait):
    """Whoever ends our idle sessions, or restarts the server, makes the next issue log in again."""
    await site.connector.skew()
    assert await sessions(site) == 1
    await site.owner.execute(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = $1",
        site.settings.broker,
    )
    await asyncio.sleep(wait)
    plan = site.plan()
    await site.connector.issue(plan)
    assert await site.exists(plan.account)
    await site.connector.revoke(plan)


async def test_never_more_than_four_at_a_time(site):
    """However many calls there are, over however many databases: an owner may limit the broker."""
    connector = site.with_settings(databases=(site.database.name, "postgres")).connector
    plans = [site.plan() for _ in range(12)]
    most = 0

    async def revoke_all() -> None:
        await asyncio.gather(*(connector.issue(plan) for plan in plans))
        await asyncio.gather(*(connector.diff_persistence(plan, None) for plan in plans))
        await asyncio.gather(*(connector.revoke(plan) for plan in plans))

    async with asyncio.TaskGroup() as group:
        working = group.create_task(revoke_all())
        while not working.done():
            most = max(most, await sessions(site))
            await asyncio.sleep(0.005)
    assert 1 < most <= 4


async def test_no_setting_of_one_call_reaches_the_next(site):
    """The time limit on locks is the one that every connection begins with."""
    for _ in range(2):
        shown = await site.connector._primary.value("SHOW lock_timeout")
        path = await site.connector._primary.value("SHOW search_path")
        assert (shown, path) == ("5s", "pg_catalog")
        await site.connector.disable(site.plan())


async def test_a_statement_is_prepared_once_for_a_connection(site):
    """The same question again is the same statement, so a storm fills no server with them."""
    kept = "SELECT count(*) FROM pg_catalog.pg_prepared_statements"
    for _ in range(3):
        await site.connector.skew()
        await site.connector.residual()
    # This one is the third, and the look whether a connection answers the fourth.
    assert await site.connector._primary.value(kept) == 4


@pytest.mark.parametrize("what", ["it is not there", "it is there already", "another type"])
async def test_behind_a_pooler_a_statement_is_done_once(site, what):
    """A server session that lacks it, has it already or cannot use its plan any more refuses before
    anything is done; then it is done, once."""
    made = (
        "CREATE FUNCTION found() RETURNS TABLE (a {}) LANGUAGE sql"
        " AS 'INSERT INTO made VALUES ({})'"
    )
    await site.owner.execute(
        f"CREATE TABLE made (n int); {made.format('int', '1) RETURNING (n')};"
        f"GRANT INSERT, SELECT ON made TO {site.settings.broker}"
    )
    connection, query = await site.broker(), "SELECT * FROM found()"
    first = again = Login(connection)
    assert [tuple(row) for row in await first.rows(query)] == [(1,)]
    match what:
        case "it is not there":
            await connection.execute("DEALLOCATE ALL")
        case "it is there already":
            again = Login(connection)
        case _:
            await site.owner.execute(
                f"DROP FUNCTION found(); {made.format('text', '2) RETURNING (n::text')}"
            )
    assert [tuple(row) for row in await again.rows(query)] in ([(1,)], [("2",)])
    assert await site.owner.fetchval("SELECT count(*) FROM made") == 2
