"""The actor, with a live credential on a real PostgreSQL, against the end of it."""

import asyncio

import asyncpg
import pytest

from callpoint.adapters.targets.postgresql.settings import Mode
from tests.postgresql_site import open_site

_WITHIN_SECONDS = 15


@pytest.fixture
async def site(database):
    """A target with the owner's functions."""
    async with open_site(database) as prepared:
        yield prepared


@pytest.fixture(params=[Mode.FUNCTIONS, Mode.CREATEROLE])
async def either_site(request, database):
    """A target in each of the two ways in turn."""
    async with open_site(database, request.param) as prepared:
        yield prepared


async def _hold_own_row(site, plan, issued):
    """Lock the account's own catalogue row: changing one's password is everybody's right."""
    session = await site.login(issued.credential)
    await session.execute("SET ROLE NONE")
    await session.execute("BEGIN")
    await session.execute(f"ALTER ROLE {plan.account} PASSWORD 'of-the-actor'")
    return session


async def test_a_lock_on_the_own_role_does_not_hold_up_disabling(either_site):
    """An open transaction that changes the own password loses against ``disable``."""
    plan = either_site.plan()
    issued = await either_site.connector.issue(plan)
    await _hold_own_row(either_site, plan, issued)
    await either_site.connector.disable(plan)
    (listed,) = await either_site.connector.list_managed()
    assert not listed.enabled


async def test_sessions_that_queue_for_the_own_role_do_not_hold_up_disabling(either_site):
    """Every session of the account waits for the lock, and comes back as soon as it is killed."""
    plan = either_site.plan()
    issued = await either_site.connector.issue(plan)
    await _hold_own_row(either_site, plan, issued)
    alter = f"ALTER ROLE {plan.account} PASSWORD 'of-the-actor'"

    async def again_and_again():
        for _ in range(50):
            try:
                session = await either_site.login(issued.credential)
                await session.execute("SET ROLE NONE")
                await session.execute("BEGIN")
                await session.execute(alter)
                await asyncio.sleep(60)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(0)

    stubborn = [asyncio.create_task(again_and_again()) for _ in range(3)]
    try:
        await asyncio.sleep(0.3)
        await either_site.connector.disable(plan)
        (listed,) = await either_site.connector.list_managed()
        assert not listed.enabled
    finally:
        for task in stubborn:
            task.cancel()
        await asyncio.gather(*stubborn, return_exceptions=True)


async def test_a_lock_on_the_own_role_does_not_hold_up_the_owners_reaper(site):
    """Two sessions, one of which locks the role: the reaper ends both, and the account."""
    plan = site.plan(minutes=1.2 / 60)
    issued = await site.connector.issue(plan)
    first = await site.login(issued.credential)
    second = await site.login(issued.credential)
    third = await _hold_own_row(site, plan, issued)
    await asyncio.sleep(2.3)
    ended = await asyncio.wait_for(
        site.owner.fetchval("SELECT callpoint.reap()"), timeout=_WITHIN_SECONDS
    )
    assert ended == 1
    assert not await site.exists(plan.account)
    for session in (first, second, third):
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await session.fetchval("SELECT 1")
