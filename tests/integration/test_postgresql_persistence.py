"""Trap 9: what a use leaves behind to come back is found, kind by kind, on a real server."""

import pytest

from tests.postgresql_site import open_site


@pytest.fixture
async def site(database):
    async with open_site(database) as prepared:
        yield prepared


_LEFT_BY_THE_ACTOR = [
    (
        "security definer function",
        "CREATE FUNCTION back() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'",
    ),
    ("function", "CREATE OR REPLACE FUNCTION tool() RETURNS int LANGUAGE sql AS 'SELECT 2'"),
    (
        "trigger",
        (
            "CREATE TRIGGER back BEFORE UPDATE ON orders FOR EACH ROW "
            "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ),
    ),
    ("rule", "CREATE RULE back AS ON DELETE TO orders DO INSTEAD NOTHING"),
    ("policy", "CREATE POLICY back ON orders USING (true)"),
    ("grant", "GRANT SELECT ON orders TO PUBLIC"),
    ("grant", "GRANT SELECT (id) ON orders TO PUBLIC"),
    ("default privilege", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC"),
    ("object of {parent}", "CREATE TABLE back (id int)"),
    ("object of {parent}", "SELECT lo_create(0)"),
]

_LEFT_BY_AN_ACCOMPLICE = [
    (
        "event trigger",
        (
            "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
            "CREATE EVENT TRIGGER back_{id} ON ddl_command_end EXECUTE FUNCTION e()"
        ),
    ),
    ("membership", "GRANT {parent} TO {mallory}"),
    ("membership", "GRANT {account} TO {mallory}"),
    ("membership", "GRANT {mallory} TO {account}"),
    ("password", "ALTER ROLE {mallory} PASSWORD 'x'"),
    ("role", "ALTER ROLE {mallory} SUPERUSER"),
    # Somebody who can write a comment does not hide a role behind the mark of our accounts.
    ("role", "ALTER ROLE {mallory} SUPERUSER; COMMENT ON ROLE {mallory} IS 'callpoint 1 {id} 9 x'"),
    (
        "password",
        "COMMENT ON ROLE {mallory} IS 'callpoint 1 {id} 9 x';ALTER ROLE {mallory} PASSWORD 'x'",
    ),
    ("setting", "ALTER ROLE {mallory} SET search_path = evil"),
    ("publication", "CREATE PUBLICATION back"),
    (
        "subscription",
        (
            "CREATE SUBSCRIPTION back_{id} CONNECTION 'host=x' PUBLICATION p "
            "WITH (connect = false, slot_name = NONE, enabled = false, create_slot = false)"
        ),
    ),
    ("grant", "GRANT SELECT ON billing TO {account}"),
    ("parameter grant", "GRANT SET ON PARAMETER log_statement TO {mallory}"),
]


@pytest.mark.parametrize("kind,statement", _LEFT_BY_THE_ACTOR)
async def test_9_what_the_actor_leaves_is_found(site, kind, statement):
    """Everything that the parent's rights let an actor leave behind shows in the difference."""
    await site.owner.execute(
        f"GRANT CREATE ON SCHEMA public TO {site.parent};"
        "CREATE FUNCTION tool() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        f"ALTER FUNCTION tool() OWNER TO {site.parent};"
    )
    plan = site.plan()
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    assert await site.connector.diff_persistence(plan, issued.baseline) == ()
    await session.execute(statement)
    await session.close()
    await site.connector.disable(plan)
    found = await site.connector.diff_persistence(plan, issued.baseline)
    wanted = f"{kind.format(parent=site.parent)} in {site.database.name}"
    assert wanted in [item.kind for item in found]


@pytest.mark.parametrize("kind,statement", _LEFT_BY_AN_ACCOMPLICE)
async def test_9_what_an_accomplice_leaves_is_found(site, kind, statement):
    """What somebody with more rights did meanwhile for the actor shows as well."""
    mallory = await site.role("mallory")
    plan = site.plan()
    issued = await site.connector.issue(plan)
    names = {"mallory": mallory, "account": plan.account, "parent": site.parent}
    await site.owner.execute(statement.format(id=site.installation, **names))
    try:
        found = await site.connector.diff_persistence(plan, issued.baseline)
        assert kind in {item.kind.removesuffix(f" in {site.database.name}") for item in found}
        await site.connector.revoke(plan)
        assert (await site.connector.verify_absent(plan, issued.credential)).dead
    finally:
        if kind == "subscription":
            await site.owner.execute(f"DROP SUBSCRIPTION back_{site.installation}")


async def test_9_without_a_baseline_what_names_the_account_is_found(site):
    """When issuing was never answered, there is still something to report, and only about it."""
    plan = site.plan()
    await site.connector.issue(plan)
    await site.role("stranger")
    await site.owner.execute(f"GRANT SELECT ON billing TO {plan.account}")
    (found,) = await site.connector.diff_persistence(plan, None)
    assert found.kind == f"grant in {site.database.name}"
    assert plan.account in found.name


async def test_9_each_of_many_equal_grants_is_found(site):
    """Objects with the same rights are looked into once, and every one of them is named."""
    parent, where = site.parent, site.database.name
    plan = site.plan()
    tables = "CREATE TABLE t{n} (id int); ALTER TABLE t{n} OWNER TO " + parent
    await site.owner.execute(";".join(tables.format(n=n) for n in range(3)))
    await site.owner.execute("GRANT SELECT ON billing TO PUBLIC")
    issued = await site.connector.issue(plan)
    session = await site.login(issued.credential)
    await session.execute("GRANT SELECT ON t0, t1, t2 TO PUBLIC")
    await session.execute("GRANT UPDATE (id) ON t0, t1 TO PUBLIC")
    await session.close()
    found = await site.connector.diff_persistence(plan, issued.baseline)
    assert sorted(item.name for item in found if item.kind == f"grant in {where}") == [
        f"SELECT on table public.t{n} to PUBLIC by {parent}" for n in range(3)
    ] + [f"UPDATE on table column public.t{n}.id to PUBLIC by {parent}" for n in range(2)]
