"""What is refused, whatever a policy says."""

import pytest

from callpoint.domain.errors import CallpointError, DeniedError, RequestError, TargetError
from callpoint.gateways.postgres.sql.facts import Catalogue, Pins
from tests.fakes.sql_catalogue import DATABASE, asked

LONG = "x" * 63

REFUSED = (
    # Another role, or more power.
    "SET ROLE admin", "SET role = 'admin'", "RESET ROLE", "SET SESSION AUTHORIZATION admin",
    "RESET SESSION AUTHORIZATION", "SET LOCAL ROLE admin", 'SET "role" TO admin',
    "ALTER ROLE me PASSWORD 'x'", "CREATE ROLE x", "DROP ROLE x", "GRANT admin TO me",
    "GRANT SELECT ON items TO public", "REVOKE ALL ON items FROM x", "ALTER USER me SET a.b = 1",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x", "ALTER TABLE items OWNER TO x",
    "REASSIGN OWNED BY a TO b", "DROP OWNED BY a", "CREATE POLICY p ON items",
    "ALTER TABLE items DISABLE ROW LEVEL SECURITY", "ALTER TABLE items DISABLE TRIGGER ALL",
    "SECURITY LABEL ON TABLE items IS 'x'",
    # Code.
    "DO $$BEGIN END$$", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE PROCEDURE f() LANGUAGE sql AS ''", "ALTER FUNCTION bad() SECURITY DEFINER",
    "CREATE TRIGGER t BEFORE INSERT ON items EXECUTE FUNCTION bad()",
    "CREATE RULE r AS ON INSERT TO items DO INSTEAD NOTHING", "CREATE EXTENSION dblink",
    "LOAD 'x'", "CREATE LANGUAGE x", "CREATE CAST (int AS text) WITHOUT FUNCTION",
    "CREATE OPERATOR === (FUNCTION = bad)", "CREATE AGGREGATE a (int) (SFUNC = bad, STYPE = int)",
    "CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION bad()",
    "CREATE DOMAIN d AS text CHECK (bad())", "CREATE TYPE t AS (a int)",
    # Files, programs, other servers.
    "COPY items FROM PROGRAM 'id'", "COPY (SELECT 1) TO PROGRAM 'id'", "COPY items TO '/tmp/x'",
    "COPY items FROM '/etc/passwd'", "COPY items FROM STDIN (ENCODING 'SJIS')",
    "SELECT pg_read_file('x')", "SELECT ('x'::text).pg_read_file",
    "SELECT x.pg_stat_file FROM unnest(ARRAY['x']) x", "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')", "SELECT lo_export(1, 'x')", "SELECT dblink_exec('x', 'y')",
    "CREATE FOREIGN TABLE t () SERVER s", "IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE TABLESPACE t LOCATION '/x'", "CREATE TABLE t () TABLESPACE x",
    # SQL in a text.
    "SELECT query_to_xml('TABLE hr.people', true, true, '')", "SELECT ts_stat('TABLE hr.people')",
    "SELECT * FROM crosstab('TABLE hr.people') AS c (a int)",
    "SELECT table_to_xml('hr.people', true, true, '')", "SELECT * FROM ts_stat('SELECT 1')",
    # What names mean.
    "SET search_path = hr", "SET LOCAL search_path TO hr", "SELECT set_config('role', 'x', false)",
    "RESET search_path", "RESET ALL", "DISCARD ALL", "DISCARD TEMP", "SET client_encoding = 'SJIS'",
    "SET standard_conforming_strings = off", "RESET standard_conforming_strings",
    "SET NAMES 'latin1'", "SET SCHEMA 'hr'", "SET session_replication_role = replica",
    "SET default_tablespace = x", "SET row_security = off", "SET local_preload_libraries = 'x'",
    "SET transaction SNAPSHOT '1'", "SET dynamic_library_path = 'x'",
    "SET search_path FROM CURRENT",
    # The same by a call: only where the name can be read, and never of what has one value.
    "SELECT set_config('ro' || 'le', 'x', false)", "SELECT set_config($1, 'x', false)",
    "SELECT set_config(NULL, 'x', false)", "SELECT set_config('jit'::text, 'off', false)",
    "SELECT set_config('SEARCH_PATH', 'hr', true)", "SELECT set_config()",
    "SELECT set_config('client_encoding', 'UTF8', false)", "SELECT ('jit'::text).set_config",
    "SELECT set_config(is_local => false, setting_name => 'role', new_value => 'jit')",
    "SELECT set_config(setting_name => 'jit', new_value => 'off', is_local => false)",
    "SELECT hr.set_config('jit', 'off', false)",
    "CREATE VIEW w AS SELECT set_config('app.tenant', '5', false)",
    "CREATE TABLE t (a text DEFAULT set_config('app.tenant', '5', false))",
    "ALTER TABLE items ALTER a SET DEFAULT set_config('jit', 'off', false)",
    "ALTER TABLE items ADD CHECK (set_config('app.tenant', '5', false) = '5')",
    "CREATE TEMP TABLE items ()", "SELECT 1 INTO TEMP items", "CREATE TEMP VIEW items AS SELECT 1",
    "CREATE TABLE pg_temp.items ()", "SELECT * FROM pg_temp.items", "SELECT pg_temp.f()",
    "CREATE TABLE pg_catalog.x ()", "SELECT * FROM pg_toast.pg_toast_1", "SELECT 1::pg_temp.t",
    "SELECT * FROM nowhere", "SELECT * FROM nowhere.items", "SELECT nothing()", "SELECT 1::nothing",
    "SELECT 1 <<<>>> 2", "SELECT * FROM other.public.items", "SELECT * FROM pg_stat_activity",
    "INSERT INTO a WITH a AS (SELECT 1) TABLE a", "WITH a AS (SELECT 1) UPDATE a SET b = 1",
    f'TABLE "{LONG}"', f'SELECT x."{LONG}"',
    # More than it says.
    "TRUNCATE items CASCADE", "DROP TABLE items CASCADE", "ALTER TABLE items DROP COLUMN a CASCADE",
    "DROP SCHEMA hr", "DROP FUNCTION bad()", "DROP DATABASE orders", "CREATE DATABASE x",
    "CREATE SCHEMA x", "ALTER TABLE items SET SCHEMA hr", "ALTER TABLE items INHERIT hr.people",
    "CREATE TABLE t () INHERITS (hr.people)", "CREATE TABLE t PARTITION OF items DEFAULT",
    "CREATE TABLE t (LIKE items INCLUDING ALL)", "ALTER TABLE items SET TABLESPACE x",
    "REINDEX DATABASE orders", "CLUSTER items", "ALTER INDEX items_key RENAME TO items; SELECT 1",
    "CREATE INDEX ON items (id bad_ops)", "CREATE INDEX ON items USING rum (id)",
    "SELECT * FROM items TABLESAMPLE bad (1)", "ALTER SEQUENCE items_id_seq OWNED BY items.id",
    "DROP TABLE items; TABLE stock", "CREATE TABLE t (); INSERT INTO t DEFAULT VALUES",
    "CREATE STATISTICS s ON a, b FROM items",
    # What outlives the session or touches others.
    "PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'", "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "ALTER SYSTEM SET a = 1", "ALTER DATABASE orders SET a = 1", "CHECKPOINT",
    # Names without a statement.
    "EXECUTE p", "FETCH c", "MOVE c", "EXPLAIN EXECUTE p", "CREATE TABLE t AS EXECUTE p",
    # One among several.
    "SELECT 1; SET ROLE admin", "BEGIN; COPY items FROM PROGRAM 'id'; COMMIT",
    "WITH a AS (SELECT pg_read_file('x')) SELECT 1", "EXPLAIN ANALYZE SELECT pg_read_file('x')",
    "PREPARE p AS SELECT pg_read_file('x')", "CREATE VIEW w AS SELECT pg_read_file('x')",
    "SELECT 1 ORDER BY pg_read_file('x')", "SELECT (SELECT ARRAY[pg_read_file('x')])",
)  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_a_statement_is_refused(text: str) -> None:
    """The whole text is refused with a reason and a way out, and without its values."""
    with pytest.raises(DeniedError) as refusal:
        asked(text)
    assert refusal.value.way_out
    assert "passwd" not in str(refusal.value)


@pytest.mark.parametrize("text", ["SELEC 1", "SELECT 'a", "SELECT (1", "\\d items", "SELECT 1 /*"])
def test_what_is_no_sql_is_the_clients_mistake(text: str) -> None:
    """A text that does not parse is told apart from one that is refused."""
    with pytest.raises(RequestError):
        asked(text)


def test_a_catalogue_without_the_servers_functions_is_refused() -> None:
    """Facts that would make `x.pg_sleep` look like a column are no facts."""
    with pytest.raises(TargetError):
        Catalogue.of((DATABASE, "UTF8"), relations=(), functions=(), operators=(), types=())


@pytest.mark.parametrize("path", [(), ("",), ("pg_temp",), ("pg_catalog", "public"), ("x" * 63,)])
def test_a_path_that_moves_the_servers_schemas_is_refused(path: tuple[str, ...]) -> None:
    """The pinned path names ordinary schemas only."""
    with pytest.raises(CallpointError):
        Pins(path)


def test_where_something_is_made_must_be_clear() -> None:
    """PostgreSQL skips schemas that it may not look into, so the first of several is a guess."""
    for text in ("CREATE TABLE t ()", "DROP TABLE IF EXISTS gone", "SELECT 1 INTO t"):
        with pytest.raises(DeniedError, match=r"the place of \w+ is in hr and public"):
            asked(text, "hr", "public")
    assert asked("CREATE TABLE hr.t ()", "hr", "public") == {"ddl:create-table hr.t"}


@pytest.mark.parametrize("verb", ["INSERT INTO pg_class DEFAULT VALUES", "DELETE FROM pg_class",
    "SELECT 1 FROM pg_class FOR SHARE", "VACUUM pg_class", "COPY pg_class FROM STDIN",
    "UPDATE pg_catalog.pg_class SET relname = 'x'", "CREATE INDEX ON pg_class (oid)"])  # fmt: skip
def test_nothing_of_the_servers_own_is_changed(verb: str) -> None:
    """Whatever a policy says; `pg_settings` would be a way to SET anything."""
    with pytest.raises(DeniedError, match="is changed through a gateway"):
        asked(verb)


def test_the_pinned_path_ends_in_the_temporary_schema() -> None:
    """Otherwise PostgreSQL would look into it first."""
    assert Pins(("a", 'b"c')).setting == '"a", "b""c", pg_temp'


def test_a_set_config_of_users_is_not_the_servers() -> None:
    """Where a user made a function of that name, the call may mean it, and is refused."""
    assert asked("SELECT set_config('jit', 'off', false)") == {"sql:set jit"}
    with pytest.raises(DeniedError, match="never allowed"):
        asked("SELECT set_config('jit', 'off', false)", "hr")
