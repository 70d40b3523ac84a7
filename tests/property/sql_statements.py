"""Hypothesis strategies for SQL: statements that mix what is allowed with what is not.

They are written for `OWNER_MADE` here: everything in `hr`, and `vault`, is denied; the rest of
`public` may be read, written, made and dropped.
"""

from hypothesis import strategies as st

MARK = "never-to-be-seen"
"""A value of every denied table."""

DENIED = ("vault", "ticks")

OWNER_MADE = f"""
CREATE TABLE stock (id int, n int, note text);
INSERT INTO stock VALUES (1, 1, 'a'), (2, 2, 'b');
CREATE TABLE items (id int PRIMARY KEY, n int, note text);
INSERT INTO items VALUES (1, 1, 'a'), (2, 2, 'b');
CREATE TABLE family (id int, n int, note text);
CREATE TABLE noted (id int, n int, note text);
CREATE TABLE vault (id int PRIMARY KEY, n int, note text);
INSERT INTO vault VALUES (1, 1, '{MARK}');
CREATE SEQUENCE ticks;
CREATE SCHEMA hr;
CREATE TABLE hr.people (id int PRIMARY KEY, n int, note text);
INSERT INTO hr.people VALUES (1, 1, '{MARK}'), (2, 2, '{MARK}');
CREATE TABLE hr.refs (id int REFERENCES items ON DELETE CASCADE ON UPDATE SET NULL);
INSERT INTO hr.refs VALUES (1), (2);
CREATE TABLE hr.child () INHERITS (family);
INSERT INTO hr.child VALUES (1, 1, '{MARK}');
CREATE TABLE hr.log (id int);
CREATE RULE also AS ON INSERT TO noted DO ALSO INSERT INTO hr.log VALUES (new.id);
CREATE VIEW shown AS SELECT id, n FROM hr.people;
CREATE FUNCTION spoil() RETURNS int LANGUAGE sql AS
  'DELETE FROM hr.people; SELECT nextval(''ticks'')::int';
CREATE FUNCTION spoil(anyelement) RETURNS int LANGUAGE sql AS
  'DELETE FROM vault; SELECT nextval(''ticks'')::int';
CREATE FUNCTION peep(anyelement) RETURNS text LANGUAGE sql AS
  'SELECT note FROM hr.people LIMIT 1';
CREATE FUNCTION sour_check(text) RETURNS bool LANGUAGE sql AS
  'SELECT nextval(''ticks'') > 0';
CREATE DOMAIN sour AS text CHECK (sour_check(value));
CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int);
"""

_NEW = ("new_a", "new_b", "new_c")
_relations = st.sampled_from((
    *(("stock",) * 14), "items", "family", "noted", "shown", "vault", "hr.people", "people",
    "hr.refs",
    "public.stock", "public.vault", '"stock"', "STOCK", "public.shown", "pg_settings", "hr.log",
    *(_NEW * 5),
))  # fmt: skip
_new = st.sampled_from(
    (*(_NEW * 5), "public.new_a", "hr.new_a", "stock", "vault", "people", "pg_temp.new_a")
)
_plain_values = st.sampled_from(
    ("1", "2", "NULL", "'x'", "id", "n", "note", "now()", "t.id", "n + 1")
)
_names = st.sampled_from(("p", "q", "c"))
_settings = st.sampled_from((
    "search_path = hr, public", "ROLE postgres", "SESSION AUTHORIZATION postgres", "a.b = 'x'",
    "statement_timeout = 0", "session_replication_role = replica", "TRANSACTION READ WRITE",
))  # fmt: skip


@st.composite
def _values(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 4)):
        return draw(_plain_values)
    relation = draw(_relations)
    return draw(
        st.sampled_from((
            "spoil()", "public.spoil(1)", "peep(1)", "t.spoil", "(t).spoil", "t.peep", "(1).peep",
            "'x'::sour", "sour('x')", "('x'::text).sour", "1 === 1", "nextval('ticks')",
            f"(SELECT max(n) FROM {relation})", f"(SELECT note FROM {relation} LIMIT 1)",
            f"EXISTS (TABLE {relation})", f"ARRAY(SELECT note FROM {relation})",
            f"(SELECT t FROM {relation} t LIMIT 1)::text", "set_config('search_path', 'hr', false)",
            "ticks.last_value", "query_to_xml('TABLE vault', true, true, '')",
        ))
    )  # fmt: skip


@st.composite
def _writes(draw: st.DrawFn) -> str:
    to, other = draw(_relations), draw(_relations)
    value, when = draw(_values()), draw(_values())
    more = draw(st.sampled_from(("", "", " RETURNING id", " RETURNING note", " RETURNING t.peep")))
    return draw(
        st.sampled_from((
            f"INSERT INTO {to} AS t VALUES (5, {value}){more}",
            f"INSERT INTO {to} AS t (id) SELECT id FROM {other}{more}",
            f"INSERT INTO {to} AS t VALUES (1) ON CONFLICT DO NOTHING{more}",
            f"INSERT INTO {to} AS t VALUES (1) ON CONFLICT (id) DO UPDATE SET n = {value}{more}",
            f"UPDATE {to} AS t SET n = {value}{more}",
            f"UPDATE {to} AS t SET id = 7 WHERE t.id = 1 OR {when} IS NULL{more}",
            f"UPDATE {to} AS t SET n = o.n FROM {other} o WHERE t.id = o.id",
            f"DELETE FROM {to} AS t{more}",
            f"DELETE FROM ONLY {to} AS t WHERE {when} IS NOT NULL{more}",
            f"DELETE FROM {to} AS t USING {other} o WHERE t.id = o.id",
            f"MERGE INTO {to} t USING {other} o ON t.id = o.id WHEN MATCHED THEN DELETE",
            f"MERGE INTO {to} t USING {other} o ON false WHEN NOT MATCHED THEN INSERT VALUES (5)",
        ))
    )  # fmt: skip


@st.composite
def _queries(draw: st.DrawFn) -> str:
    of, other = draw(_relations), draw(_relations)
    value, inner = draw(_values()), draw(st.one_of(_writes(), st.just(f"TABLE {other}")))
    name = draw(st.sampled_from(("w", "stock", "people", "vault", "new_a")))
    return draw(
        st.sampled_from((
            f"TABLE {of}",
            f"SELECT {value} FROM {of} t",
            f"SELECT t.* FROM {of} t ORDER BY {value}",
            f"SELECT 1 FROM {of} t WHERE {value} IS NULL FOR UPDATE",
            f"WITH {name} AS ({inner}) SELECT * FROM {name}",
            f"WITH {name} AS ({inner}) SELECT t.* FROM {of} t",
            f"WITH {name} AS (SELECT 5 AS id) SELECT * FROM {name}, (TABLE {of}) x",
            f"SELECT id FROM {of} UNION ALL SELECT id FROM {other}",
            f"SELECT t FROM {of} t JOIN {other} o USING (id)",
            f"SELECT (SELECT note FROM {other} LIMIT 1) FROM {of}",
        ))
    )  # fmt: skip


_run = st.one_of(_queries(), _writes())


@st.composite
def _definitions(draw: st.DrawFn) -> str:
    new, of, query, value = draw(_new), draw(_relations), draw(_queries()), draw(_values())
    short = draw(st.sampled_from((*_NEW, "vault", "stock", "people")))
    return draw(
        st.sampled_from((
            f"CREATE VIEW {new} AS {query}",
            f"CREATE OR REPLACE VIEW {new} AS SELECT id, n, note FROM {of}",
            f"CREATE TABLE {new} AS {query}",
            f"CREATE TABLE {new} (id int PRIMARY KEY, n int, note text DEFAULT {value})",
            f"CREATE TABLE {new} (id int REFERENCES {of} ON DELETE CASCADE ON UPDATE CASCADE)",
            f"CREATE TABLE {new} () INHERITS ({of})",
            f"CREATE TABLE {new} (LIKE {of})",
            f"CREATE TEMP TABLE {short} AS {query}",
            f"CREATE MATERIALIZED VIEW {new} AS {query}",
            f"SELECT * INTO {new} FROM {of}",
            f"CREATE INDEX ON {of} (id)",
            f"CREATE INDEX ON {of} ((note::sour))",
            f"CREATE RULE r AS ON SELECT TO {of} DO INSTEAD TABLE {new}",
            f"ALTER TABLE {of} RENAME TO {short}",
            f"ALTER TABLE {of} RENAME COLUMN note TO id2",
            f"ALTER TABLE {of} ADD COLUMN x int DEFAULT {value}",
            f"ALTER TABLE {of} ALTER n TYPE text USING ({value})::text",
            f"ALTER TABLE {of} ALTER id TYPE bigint",
            f"ALTER TABLE {of} ADD FOREIGN KEY (id) REFERENCES {new} ON DELETE CASCADE",
            f"ALTER TABLE {of} SET SCHEMA hr",
            f"ALTER TABLE {of} INHERIT {new}",
            f"DROP TABLE {of}", f"DROP TABLE IF EXISTS {of} CASCADE", f"DROP VIEW {of}",
            f"TRUNCATE {of}", f"TRUNCATE {of}, {new} CASCADE", f"COMMENT ON TABLE {of} IS 'x'",
            f"LOCK {of}", f"REFRESH MATERIALIZED VIEW {new}", f"VACUUM {of}", f"ANALYZE {of}",
        ))
    )  # fmt: skip


@st.composite
def _of_the_session(draw: st.DrawFn) -> str:
    name, run, of, value = draw(_names), draw(_run), draw(_relations), draw(_values())
    return draw(
        st.sampled_from((
            f"PREPARE {name} AS {run}", f"EXECUTE {name}", f"DEALLOCATE {name}",
            f"EXPLAIN ANALYZE {run}", f"EXPLAIN ANALYZE EXECUTE {name}",
            f"CREATE TABLE new_c AS EXECUTE {name}", f"PREPARE {name} (sour) AS SELECT $1",
            f"DECLARE {name} CURSOR FOR {run}", f"FETCH ALL {name}", f"CLOSE {name}",
            f"DELETE FROM {of} WHERE CURRENT OF {name}", f"EXECUTE {name} ({value})",
            f"COPY {of} FROM STDIN", f"COPY {of} TO STDOUT", f"COPY ({run}) TO STDOUT",
            f"COPY {of} TO PROGRAM 'false'", "DO $$BEGIN DELETE FROM vault; END$$", "CALL spoil()",
            "BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s",
            f"SET {draw(_settings)}", "RESET ALL", "DISCARD ALL", "LISTEN x",
            f"UPDATE pg_settings SET setting = {value}",
        ))
    )  # fmt: skip


_one = st.one_of(
    _queries(), _writes(), _writes(), _definitions(), _definitions(), _of_the_session()
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """One text: mostly one statement, sometimes several, sometimes in an odd writing."""
    parts = (
        draw(st.lists(_one, min_size=1, max_size=3))
        if draw(st.integers(0, 3)) == 3
        else [draw(_one)]
    )
    text = draw(st.sampled_from(("; ", ";", " ;-- ;\n", ";/* ; */"))).join(parts)
    match draw(st.integers(0, 7)):
        case 0:
            return text.replace(
                " ", draw(st.sampled_from(("/**/", "\t", "\n", " --\n", "/*/**/*/")))
            )
        case 1:
            return text.upper() if "'" not in text and '"' not in text else text
        case 2:
            return text.replace("vault", 'U&"\\0076ault"').replace("stock", '"stock"')
        case 3:
            return (
                draw(st.sampled_from(("SELECT '\\'; ", "SELECT E'\\''; ", "SELECT $$;$$; "))) + text
            )
        case _:
            return text
