"""The actor leaves nothing new behind, and takes away what would have shown the next one."""

import pytest

from tests.postgresql_site import open_site


@pytest.fixture
async def site(database):
    """A target whose table has an audit trigger, and row security that binds its owner too."""
    async with open_site(database) as made:
        await made.owner.execute(
            "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RETURN NEW; END';"
            "CREATE TRIGGER audited AFTER UPDATE ON orders EXECUTE FUNCTION audit();"
            "CREATE POLICY limited ON orders AS RESTRICTIVE USING (id > 0);"
            "CREATE POLICY everybody ON orders USING (true);"
            "ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
        )
        yield made


@pytest.mark.parametrize(
    "statement, kind, name",
    [
        ("DROP TRIGGER audited ON orders", "trigger", "audited on public.orders"),
        ("DROP POLICY limited ON orders", "policy", "limited on public.orders"),
        ("ALTER TABLE orders NO FORCE ROW LEVEL SECURITY", "row security forced", "orders"),
    ],
)
async def test_a_guard_that_is_gone_is_found(site, statement, kind, name):
    """What restrained others and was there before is named, with what became of it."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await session.execute(statement)
    (found,) = await site.connector.diff_persistence(plan, issued.baseline)
    assert (found.kind, found.detail) == (f"{kind} in {site.database.name}", "is gone")
    assert name in found.name


async def test_guards_that_stay_are_no_finding(site):
    """Nothing is said about what is as it was."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    assert await site.connector.diff_persistence(plan, issued.baseline) == ()
