"""Targets whose owner has not run the newest script yet."""

import re

import pytest

from callpoint.adapters.targets.postgresql import owner_script
from callpoint.domain.errors import TargetRefusedError
from callpoint.lifecycle.removal import remove
from tests.postgresql_site import open_site

# What version 3 had in the place of functions that were rewritten since, in its own words.
_VERSION_3 = """
CREATE OR REPLACE FUNCTION callpoint.version() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT '3' $$;
CREATE OR REPLACE FUNCTION callpoint.sessions(account text) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT count(*)::integer FROM pg_stat_activity s WHERE s.usesysid = ANY (callpoint.oids(account))
$$;
CREATE OR REPLACE FUNCTION callpoint.terminate(account text) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT count(pg_terminate_backend(s.pid))::integer
  FROM pg_stat_activity s WHERE s.usesysid = ANY (callpoint.oids(account))
$$;
"""


@pytest.fixture
async def site(database):
    async with open_site(database) as prepared:
        yield prepared


async def _script(site):
    checks = (await site.connector.selftest(trial=False)).checks
    (found,) = [check for check in checks if check.name == "owner's script"]
    return found


async def test_a_whole_life_on_version_3_and_its_upgrade_in_the_middle(site):
    """Made and ended under the old script; another one made under the old and ended under the new
    one; meanwhile the selftest says which command upgrades it."""
    await site.owner.execute(_VERSION_3)
    check = await _script(site)
    assert not check.ok
    assert f"version 3, wanted {owner_script.VERSION}" in check.detail
    assert f"callpoint target prepare {site.settings.name}" in check.way_out
    first, second = site.plan(), site.plan()
    issued = await site.connector.issue(first)
    other = await site.connector.issue(second)
    session = await site.login(issued.credential)
    ended = await remove(site.connector, first, issued.baseline, issued.credential)
    assert ended.dead
    assert session.is_closed()
    assert ended.residue == ()
    await site.owner.execute(owner_script.render_home(site.settings))
    assert (await _script(site)).ok
    ended = await remove(site.connector, second, other.baseline, other.credential)
    assert ended.dead
    # Functions with a superuser's rights were changed meanwhile: that is told, whoever did it.
    assert {item.name.partition("(")[0] for item in ended.residue} == {
        "callpoint.sessions",
        "callpoint.terminate",
    }


async def test_a_function_that_is_missing_names_the_command(site):
    """An owner's script that lacks what is asked for is refused with the command that brings it."""
    plan = site.plan()
    await site.connector.issue(plan)
    await site.owner.execute("DROP FUNCTION callpoint.databases(text)")
    with pytest.raises(TargetRefusedError, match=re.escape("databases")) as refused:
        await site.connector.revoke(plan)
    assert f"callpoint target prepare {site.settings.name}" in refused.value.way_out
    await site.owner.execute(owner_script.render_home(site.settings))
    await site.connector.revoke(plan)
