"""What an actor can leave behind through the gateway: nothing, or a finding (the real difference).

The purpose is to recover, which lets most through. Each text is tried in the simple protocol and,
as one statement, in the extended one.
"""

from collections.abc import AsyncIterator

import pytest

from callpoint.domain import event as ev
from callpoint.domain.eligibility import Purpose
from tests.fakes import wire
from tests.fakes.wire import SYNC, Wire
from tests.whole_gateway_site import WholeSite, open_whole

_OWN_ACCOUNT = (
    "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
    "ALTER ROLE SESSION_USER PASSWORD 'mine'",
    "ALTER USER {account} PASSWORD 'mine'",
    "ALTER ROLE {account} VALID UNTIL 'infinity'",
    "ALTER ROLE {account} SUPERUSER",
    "ALTER ROLE {account} SET search_path = evil",
    "ALTER ROLE ALL SET search_path = evil",
    "ALTER DATABASE {database} SET search_path = evil",
    "ALTER SYSTEM SET log_statement = 'none'",
    "CREATE ROLE back LOGIN",
    "GRANT {parent} TO PUBLIC",
    "GRANT {parent} TO {account} WITH ADMIN OPTION",
    "/* x */ aLtEr\n\trOlE current_user /*/**/*/ password 'mine'",
    "UPDATE pg_catalog.pg_authid SET rolsuper = true",
)
_ANOTHER_ROLE = (
    "SET ROLE NONE", "RESET ROLE", "SET LOCAL ROLE NONE", "SET ROLE {parent}", "SET role TO 'none'",
    "SET SESSION ROLE NONE", 'SET "role" = none', "SET SESSION AUTHORIZATION DEFAULT",
    "RESET SESSION AUTHORIZATION", "RESET ALL", "DISCARD ALL",
    "SELECT set_config('role', 'none', false)",
    "UPDATE pg_settings SET setting = 'none' WHERE name = 'role'",
    "SELECT 1; SET ROLE NONE", "BEGIN; SET LOCAL ROLE NONE; COMMIT",
    "PREPARE p AS SELECT set_config('role', 'none', false)",
    "EXPLAIN ANALYZE SELECT set_config('role', 'none', false)",
    "SELECT U&'\\0061' || set_config(U&'r\\006Fle', 'none', false)",
)  # fmt: skip
_CODE_AND_FILES = (
    "DO $$BEGIN EXECUTE 'SET ROLE NONE'; END$$",
    "COPY items FROM PROGRAM 'id'", "COPY items TO PROGRAM 'cat'", "COPY items TO '/tmp/x'",
    "WITH w AS (SELECT pg_read_file('/etc/passwd')) SELECT * FROM w",
    "SELECT lo_import('/etc/passwd')", "LOAD 'plpgsql'", "CREATE EXTENSION dblink",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT * FROM query_to_xml('DELETE FROM items RETURNING 1', true, true, '')",
)  # fmt: skip
_CALLS = (
    "SELECT touch()", "SELECT (SELECT touch()) FROM items LIMIT 1",
    "EXPLAIN ANALYZE SELECT touch()", "SELECT items.touch_row FROM items LIMIT 1",
    "SELECT lo_create(0)", "SELECT pg_advisory_lock(1)", "PREPARE q AS SELECT touch()",
    "CREATE TABLE t AS SELECT touch()",
    "DELETE FROM items", "COPY items FROM STDIN", "SELECT * FROM items FOR UPDATE",
)  # fmt: skip
"""Who recovers may do these by the default pack; who investigates may not."""

_BEHIND = (
    "GRANT SELECT ON items TO PUBLIC", "GRANT SELECT (id) ON items TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER TABLE items OWNER TO {account}", "ALTER TABLE items ENABLE ROW LEVEL SECURITY",
    "CREATE RULE r AS ON INSERT TO items DO ALSO DELETE FROM orders",
    "CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE POLICY p ON items USING (true)", "CREATE PUBLICATION back FOR TABLE items",
    "CREATE TEMP TABLE items (id int)", "CREATE TABLE pg_temp.items (id int)",
    "SELECT 1 INTO TEMP items", "CREATE SCHEMA evil", "CREATE TYPE t AS (a int)",
    "CREATE DOMAIN d AS int", "CREATE CAST (int AS text) WITH INOUT",
    "SELECT pg_create_physical_replication_slot('back')",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "BEGIN; PREPARE TRANSACTION 'back'",
    "SET search_path = pg_temp", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; RESET ALL",
    "CREATE STATISTICS s ON id, word FROM items", "COMMENT ON DATABASE {database} IS 'x'",
)  # fmt: skip
_SEEN = {
    "CREATE TABLE back_table (id int)": "back_table",
    "CREATE VIEW back_view AS SELECT * FROM items": "back_view",
    "CREATE SEQUENCE back_sequence": "back_sequence",
    "CREATE MATERIALIZED VIEW back_matview AS SELECT * FROM items": "back_matview",
    "CREATE TABLE back_copy AS SELECT * FROM items": "back_copy",
    "SELECT lo_create(0)": "1 large objects",
}
_SNAPSHOT = """
SELECT string_agg(concat(source, ' ', count, ' ', sum), ';' ORDER BY source) FROM (
  SELECT 'r' source, count(*), sum(hashtext((a.*)::text)) FROM pg_authid a
  UNION ALL SELECT 'm', count(*), sum(hashtext((m.*)::text)) FROM pg_auth_members m
  UNION ALL SELECT 's', count(*), sum(hashtext((s.*)::text)) FROM pg_db_role_setting s
  UNION ALL SELECT 'c', count(*), sum(hashtext(concat(relname, relkind, relowner, relacl::text,
    relrowsecurity, reltype))) FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT 'p', count(*), sum(hashtext((p.*)::text)) FROM pg_proc p
  UNION ALL SELECT 'n', count(*), sum(hashtext(concat(nspname, nspacl::text))) FROM pg_namespace
    WHERE nspname !~ '^pg_'
  UNION ALL SELECT 'd', count(*), 0 FROM pg_default_acl
  UNION ALL SELECT 'l', count(*), 0 FROM pg_largeobject_metadata
  UNION ALL SELECT 't', count(*), 0 FROM pg_trigger
  UNION ALL SELECT 'u', count(*), 0 FROM pg_rewrite
  UNION ALL SELECT 'x', count(*), 0 FROM pg_prepared_xacts
  UNION ALL SELECT 'i', count(*), sum(hashtext((i.*)::text)) FROM items i
  UNION ALL SELECT 'o', count(*), 0 FROM touched
) one
"""


@pytest.fixture
async def whole(target, tmp_path) -> AsyncIterator[WholeSite]:
    async with open_whole(target, tmp_path) as made:
        await made.site.owner.execute(
            "CREATE TABLE touched (id int);"
            "CREATE FUNCTION touch() RETURNS int LANGUAGE sql SECURITY DEFINER AS"
            " 'INSERT INTO touched VALUES (1) RETURNING id';"
            "CREATE FUNCTION touch_row(items) RETURNS int LANGUAGE sql SECURITY DEFINER AS"
            " 'INSERT INTO touched VALUES (1) RETURNING id';"
        )
        yield made


async def codes(link: Wire, text: str) -> list[str]:
    """How both protocols answer a text: SQLSTATEs; empty where it was done."""
    found = []
    for frames in ((wire.query(text),), (wire.parse(text), wire.bind(), wire.execute(), SYNC)):
        link.send(*frames)
        answered = await link.until()
        found += [wire.code(frame) for frame in answered if frame[:1] == b"E"] or [""]
    return found


def filled(whole: WholeSite, text: str) -> str:
    account = whole.front.authority.opened[0].credential.username
    return text.format(account=account, parent=whole.site.parent, database=whole.site.database.name)


@pytest.mark.parametrize("purpose", [Purpose.RECOVER, Purpose.INVESTIGATE])
async def test_nothing_outlives_the_session(whole: WholeSite, purpose: Purpose):
    """Own account, other roles, code, files, what stays: refused, unchanged, and no finding."""
    key = await whole.activation(purpose)
    link = await whole.wire(key)
    before = await whole.site.owner.fetchval(_SNAPSHOT)
    texts = [*_OWN_ACCOUNT, *_ANOTHER_ROLE, *_CODE_AND_FILES, *_BEHIND]
    if purpose is Purpose.INVESTIGATE:
        texts += _CALLS
    let_through = {}
    for text in texts:
        answers = await codes(link, filled(whole, text))
        if not set(answers) <= {"42501", "42601"}:
            let_through[text] = answers
    assert let_through == {}
    assert await whole.site.owner.fetchval(_SNAPSHOT) == before
    link.send(wire.query("SELECT current_setting('role')"))
    assert wire.rows(await link.until()) == [(whole.site.parent,)]
    refused = [e for e in await whole.told(ev.ActionDecided) if not e.allowed]
    assert all(e.reason or e.decisions for e in refused)
    await whole.kill(key)
    assert (await whole.world.get(key)).findings == ()
    assert await whole.backends() == 0


async def test_what_stays_is_a_finding(whole: WholeSite):
    """What recovering may make stays, and each of it is named to the reviewers."""
    key = await whole.activation()
    link = await whole.wire(key)
    for text in _SEEN:
        link.send(wire.query(text))
        assert "E" not in wire.kinds(await link.until()), text
    await whole.kill(key)
    words = "\n".join(finding.text for finding in (await whole.world.get(key)).findings)
    assert [name for name in _SEEN.values() if name not in words] == []
