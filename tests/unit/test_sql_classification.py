"""What statements ask for: the table that a reviewer of the classifier reads first."""

import pytest

from callpoint.gateways.postgres.sql.session import Session
from tests.fakes.sql_catalogue import asked, classifier

# Statement, and its accesses with a bar between them. `orders` is the database.
ASKED: tuple[tuple[str, str], ...] = (
    # Reading.
    ("SELECT 1", ""),
    ("", ""),
    ("-- nothing", ""),
    ("SELECT * FROM items", "sql:select public.items"),
    ("select * from ITEMS", "sql:select public.items"),
    ("SELECT * FROM public.items", "sql:select public.items"),
    ("SELECT * FROM orders.public.items", "sql:select public.items"),
    ('SELECT * FROM "Odd.name"', 'sql:select public."Odd.name"'),
    ("TABLE items", "sql:select public.items"),
    ("SELECT * FROM ONLY items", "sql:select public.items"),
    ("SELECT (SELECT max(pay) FROM hr.salaries)", "sql:select hr.salaries"),
    ("SELECT 1 WHERE EXISTS (TABLE hr.salaries)", "sql:select hr.salaries"),
    ("SELECT 1 ORDER BY (SELECT 1 FROM hr.salaries)", "sql:select hr.salaries"),
    ("SELECT 1 LIMIT (SELECT 1 FROM hr.salaries)", "sql:select hr.salaries"),
    ("SELECT 1 OFFSET (SELECT 1 FROM hr.salaries)", "sql:select hr.salaries"),
    ("SELECT sum(1) FILTER (WHERE 1 IN (TABLE hr.salaries))", "sql:select hr.salaries"),
    ("SELECT sum(1) OVER (ORDER BY (TABLE hr.salaries))", "sql:select hr.salaries"),
    ("SELECT 1 GROUP BY GROUPING SETS ((SELECT 1 FROM hr.people))", "sql:select hr.people"),
    ("SELECT 1 HAVING EXISTS (TABLE hr.people)", "sql:select hr.people"),
    ("VALUES ((TABLE hr.people))", "sql:select hr.people"),
    ("SELECT ARRAY(TABLE hr.people)", "sql:select hr.people"),
    (
        "SELECT 1 UNION TABLE items EXCEPT TABLE stock",
        "sql:select public.items|sql:select public.stock",
    ),
    (
        "SELECT * FROM items, LATERAL (TABLE hr.people) x",
        "sql:select public.items|sql:select hr.people",
    ),
    (
        "SELECT * FROM items JOIN stock USING (id)",
        "sql:select public.items|sql:select public.stock",
    ),
    ("SELECT * FROM items TABLESAMPLE system (1)", "sql:select public.items"),
    ("SELECT relname FROM pg_class", "sql:select pg_catalog.pg_class"),
    ("SELECT 1 /* FROM hr.people */ -- FROM hr.people", ""),
    ("SELECT 'FROM hr.people', $$ FROM hr.people $$", ""),
    # CTEs hide a table only in their scope, and never what is written.
    ("WITH a AS (TABLE items) SELECT * FROM a", "sql:select public.items"),
    ("WITH items AS (SELECT 1) TABLE items", "sql:select public.items"),
    (
        "WITH a AS (DELETE FROM items RETURNING 1) TABLE a",
        "sql:delete public.items|sql:select public.items",
    ),
    ("WITH a AS (WITH b AS (TABLE hr.people) TABLE b) TABLE a", "sql:select hr.people"),
    ("WITH stock AS (SELECT 1) INSERT INTO stock SELECT 1", "sql:insert public.stock"),
    ("SELECT * FROM items FOR UPDATE", "sql:lock public.items|sql:select public.items"),
    ("SELECT 1 FROM items i FOR SHARE OF i", "sql:lock public.items|sql:select public.items"),
    # Writing.
    ("INSERT INTO items VALUES (1)", "sql:insert public.items"),
    ("INSERT INTO items DEFAULT VALUES", "sql:insert public.items"),
    (
        "INSERT INTO items VALUES (1) RETURNING id",
        "sql:insert public.items|sql:select public.items",
    ),
    (
        "INSERT INTO items VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 1",
        "sql:insert public.items|sql:select public.items|sql:update public.items",
    ),
    ("INSERT INTO items TABLE hr.people", "sql:insert public.items|sql:select hr.people"),
    ("UPDATE items SET n = 1", "sql:select public.items|sql:update public.items"),
    (
        "UPDATE items SET n = s.n FROM hr.salaries s",
        "sql:select hr.salaries|sql:select public.items|sql:update public.items",
    ),
    (
        "UPDATE items SET (a, b) = (TABLE hr.people)",
        "sql:select hr.people|sql:select public.items|sql:update public.items",
    ),
    (
        "DELETE FROM items USING stock",
        "sql:delete public.items|sql:select public.items|sql:select public.stock",
    ),
    (
        """MERGE INTO items i USING stock s ON i.id = s.id WHEN MATCHED THEN DELETE
        WHEN NOT MATCHED THEN INSERT VALUES (1)""",
        """sql:delete public.items|sql:insert public.items|sql:merge public.items
        |sql:select public.items|sql:select public.stock""",
    ),
    (
        "MERGE INTO items i USING stock s ON true WHEN MATCHED THEN UPDATE SET n = 1",
        """sql:merge public.items|sql:select public.items|sql:select public.stock
        |sql:update public.items""",
    ),
    ("TRUNCATE items, stock", "sql:truncate public.items|sql:truncate public.stock"),
    ("LOCK TABLE items IN ACCESS EXCLUSIVE MODE", "sql:lock public.items"),
    # COPY.
    ("COPY items FROM STDIN", "sql:copy-in public.items|sql:insert public.items"),
    ("COPY items (id) TO STDOUT (FORMAT csv)", "sql:copy-out public.items|sql:select public.items"),
    ("COPY (TABLE hr.people) TO STDOUT", "sql:copy-out orders|sql:select hr.people"),
    (
        "COPY (DELETE FROM items RETURNING 1) TO STDOUT",
        "sql:copy-out orders|sql:delete public.items|sql:select public.items",
    ),
    # Calls: with and without parentheses.
    ("SELECT now(), upper('a'), random()", ""),
    ("SELECT pg_sleep(1)", "sql:execute pg_catalog.pg_sleep"),
    ("SELECT pg_get_viewdef(1)", "sql:inspect pg_catalog.pg_get_viewdef"),
    ("SELECT (1::oid).pg_table_is_visible", "sql:inspect pg_catalog.pg_table_is_visible"),
    ("SELECT pg_catalog.pg_sleep(1)", "sql:execute pg_catalog.pg_sleep"),
    ("SELECT (1::float8).pg_sleep", "sql:execute pg_catalog.pg_sleep"),
    ("SELECT x.pg_sleep FROM generate_series(0, 0) x", "sql:execute pg_catalog.pg_sleep"),
    ("SELECT 1 ORDER BY x.pg_sleep", "sql:execute pg_catalog.pg_sleep"),
    ("SELECT i.bad FROM items i", "sql:execute public.bad|sql:select public.items"),
    ("SELECT (i).bad FROM items i", "sql:execute public.bad|sql:select public.items"),
    (
        "DELETE FROM items RETURNING items.bad",
        "sql:delete public.items|sql:execute public.bad|sql:select public.items",
    ),
    ("SELECT bad()", "sql:execute public.bad"),
    ("SELECT hr.pay(1)", "sql:execute hr.pay"),
    ("SELECT lower('A')", "sql:execute public.lower"),
    ("SELECT pg_catalog.lower('A')", ""),
    ("SELECT * FROM bad() WITH ORDINALITY", "sql:execute public.bad"),
    ("SELECT * FROM ROWS FROM (bad(), now())", "sql:execute public.bad"),
    ("CALL bad()", "sql:execute public.bad"),
    ("SELECT nextval('items_id_seq')", "sql:execute pg_catalog.nextval"),
    ("SELECT json_object('{a,b}')", "sql:execute public.json_object"),
    ("SELECT json_scalar(1)", "sql:execute public.json_scalar"),
    # Casts and operators.
    ("SELECT 'x'::dom", "sql:usage public.dom"),
    ("SELECT CAST('x' AS public.dom[])", "sql:usage public.dom"),
    ("SELECT dom('x')", "sql:usage public.dom"),
    ("SELECT ('x'::text).dom", "sql:usage public.dom"),
    ("SELECT x.dom FROM unnest(ARRAY['x']) x", "sql:usage public.dom"),
    ("SELECT * FROM json_to_record('{}') AS x (a dom)", "sql:usage public.dom"),
    ("SELECT int '1', '1'::int, 1::text", ""),
    ("SELECT 1 === 2", 'sql:execute public."==="'),
    ("SELECT 1 OPERATOR(public.===) 2", 'sql:execute public."==="'),
    ("SELECT 1 === ANY (ARRAY[1])", 'sql:execute public."==="'),
    ("SELECT 1 OPERATOR(hr.<) 2", 'sql:execute hr."<"'),
    ("SELECT 1 FROM items ORDER BY 1 USING <", "sql:select public.items"),
    # Saying and doing.
    (
        "EXPLAIN DELETE FROM items",
        "sql:delete public.items|sql:explain orders|sql:select public.items",
    ),
    (
        "EXPLAIN (ANALYZE) DELETE FROM items",
        "sql:delete public.items|sql:explain orders|sql:select public.items",
    ),
    ("PREPARE p AS DELETE FROM items", "sql:delete public.items|sql:select public.items"),
    ("DECLARE c CURSOR FOR TABLE items", "sql:select public.items"),
    ("SELECT 1; TRUNCATE items; SELECT 2", "sql:truncate public.items"),
    ("SELECT 1;;; ; TABLE hr.people;", "sql:select hr.people"),
    # The session.
    ("BEGIN ISOLATION LEVEL SERIALIZABLE", "sql:transaction orders"),
    ("ROLLBACK TO a", "sql:transaction orders"),
    ("SET TRANSACTION READ ONLY", "sql:transaction orders"),
    ("SET statement_timeout = 5", "sql:set statement_timeout"),
    ("SET TIME ZONE 'UTC'", "sql:set timezone"),
    ("SET app.tenant = '5'", 'sql:set "app.tenant"'),
    ("RESET statement_timeout", "sql:set statement_timeout"),
    ("SELECT set_config('JIT', 'off', false)", "sql:set jit"),
    ("SELECT set_config(U&'app\\002Etenant', $1, true)", 'sql:set "app.tenant"'),
    (
        "SELECT * FROM items, pg_catalog.set_config('jit', bad(), false)",
        "sql:set jit|sql:select public.items|sql:execute public.bad",
    ),
    ("SET client_encoding = 'UTF8'", "sql:set client_encoding"),
    ("SHOW search_path", "sql:show search_path"),
    ("DISCARD PLANS", "sql:session orders"),
    ("LISTEN a", "sql:listen a"),
    ("NOTIFY a, 'b'", "sql:notify a"),
    ("VACUUM items", "sql:vacuum public.items"),
    ("ANALYZE", "sql:analyze orders"),
    # Definitions.
    ("CREATE TABLE t (id serial PRIMARY KEY, n int DEFAULT 1)", "ddl:create-table public.t"),
    ("CREATE TABLE hr.t ()", "ddl:create-table hr.t"),
    (
        "CREATE TABLE t (s dom CHECK (bad()))",
        "ddl:create-table public.t|sql:execute public.bad|sql:usage public.dom",
    ),
    (
        "CREATE TABLE t (i int REFERENCES items)",
        "ddl:create-table public.t|sql:references public.items",
    ),
    ("CREATE TABLE t AS TABLE hr.people", "ddl:create-table public.t|sql:select hr.people"),
    ("SELECT * INTO t FROM hr.people", "ddl:create-table public.t|sql:select hr.people"),
    ("CREATE VIEW w AS TABLE hr.people", "ddl:create-view public.w|sql:select hr.people"),
    (
        "CREATE MATERIALIZED VIEW w AS TABLE items",
        "ddl:create-view public.w|sql:select public.items",
    ),
    ("CREATE INDEX ON items (bad(id))", "ddl:create-index public.items|sql:execute public.bad"),
    (
        "CREATE INDEX ON items (id) WHERE bad()",
        "ddl:create-index public.items|sql:execute public.bad",
    ),
    (
        "ALTER TABLE items ADD COLUMN x int DEFAULT bad()",
        "ddl:alter-table public.items|sql:execute public.bad",
    ),
    (
        "ALTER TABLE items ALTER n TYPE text USING bad()",
        "ddl:alter-table public.items|ddl:rewrite public.items|sql:execute public.bad",
    ),
    ("CREATE SEQUENCE s START 5 CACHE 2", "ddl:create-sequence public.s"),
    ("ALTER SEQUENCE items_id_seq RESTART", "ddl:alter-sequence public.items_id_seq"),
    ("ALTER TABLE items RENAME TO x", "ddl:rename public.items|ddl:rename public.x"),
    ("DROP TABLE items, hr.people", "ddl:drop-table hr.people|ddl:drop-table public.items"),
    ("DROP TABLE IF EXISTS gone", "ddl:drop-table public.gone"),
    ("COMMENT ON COLUMN items.id IS 'x'", "ddl:comment public.items"),
    ("REFRESH MATERIALIZED VIEW v", "ddl:refresh public.v"),
    ("REINDEX TABLE items", "ddl:reindex public.items"),
    ("BEGIN; DROP TABLE items; COMMIT", "ddl:drop-table public.items|sql:transaction orders"),
)


@pytest.mark.parametrize("text,expected", ASKED, ids=[text or "empty" for text, _ in ASKED])
def test_a_statement_asks_for(text: str, expected: str) -> None:
    """A statement asks for exactly these accesses."""
    assert sorted(asked(text)) == sorted(one.strip() for one in expected.split("|") if one)


def test_a_path_of_two_schemas_makes_all_overloads_count() -> None:
    """A function or operator of any schema on the path may be the one that is called."""
    assert asked("SELECT 1 < 2", "public", "hr") == {'sql:execute hr."<"'}
    assert asked("SELECT pay(1)", "public", "hr") == {"sql:execute hr.pay"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT CASE 1 WHEN 2 THEN 3 END", "SELECT 1 IN (SELECT 2)", "SELECT NULLIF(1, 2)",
        "SELECT 1 FROM people JOIN salaries USING (id)", "SELECT 1 IS DISTINCT FROM 2",
        "SELECT 1 FROM people NATURAL JOIN salaries", "SELECT 1 = ANY (ARRAY[2])",
        "SELECT (1, 2) = (SELECT 3, 4)", "SELECT 1 IN (2)",
    ],
)  # fmt: skip
def test_hidden_comparisons_count(text: str) -> None:
    """Where SQL compares without an operator in sight, a user's `=` counts."""
    assert 'sql:execute hr."="' in asked(text, "hr")


def test_between_is_two_comparisons() -> None:
    """BETWEEN runs `>=` and `<=`, NOT BETWEEN `<` and `>`."""
    assert asked("SELECT 1 NOT BETWEEN 2 AND 3", "hr") == {'sql:execute hr."<"'}
    assert asked("SELECT 1 BETWEEN 2 AND 3", "hr") == set()


def test_what_is_remembered_is_the_exact_text() -> None:
    """Equal texts are read once; texts that differ in a literal are not equal."""
    one = classifier()
    first = one.classify("SELECT 1", Session())
    assert one.classify("SELECT 1", Session()) is first
    assert one.classify("SELECT 2", Session()) is not first


def test_the_cache_is_bounded() -> None:
    """The texts that were not used for longest are forgotten, and long ones never kept."""
    one = classifier()
    for number in range(1_100):
        one.classify(f"SELECT {number}", Session())
    one.classify("SELECT '" + "x" * 5_000 + "'", Session())
    assert len(one._known) == 1_024
    assert "SELECT 0" not in one._known
    assert "SELECT 1099" in one._known
