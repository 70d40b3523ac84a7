"""The facts that classification needs, read from real servers, and the server's own functions."""

from collections.abc import Iterator

import psycopg
import pytest

from callpoint.gateways.postgres.sql.catalogue_query import VERSION_QUERY
from callpoint.gateways.postgres.sql.classify import Classifier
from callpoint.gateways.postgres.sql.own_names import PURE_FUNCTIONS
from callpoint.gateways.postgres.sql.purity import FUNCTION_QUERY, pure_names
from callpoint.gateways.postgres.sql.session import Session
from tests.postgres_sql_site import Connection, classifier_of, pinned, read_catalogue
from tests.servers import FreshDatabase

OWNER_MADE = """
CREATE SCHEMA hr;
CREATE TABLE items (id serial PRIMARY KEY, n int);
CREATE TABLE orders (id int REFERENCES items ON DELETE CASCADE ON UPDATE SET NULL, note text);
CREATE TABLE lines (id int REFERENCES items ON DELETE SET NULL);
CREATE TABLE held (id int REFERENCES items);
CREATE TABLE old_items () INHERITS (items);
CREATE TABLE parted (id int) PARTITION BY LIST (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE owners (id int PRIMARY KEY);
CREATE TABLE owned (id int REFERENCES owners ON DELETE CASCADE) PARTITION BY LIST (id);
CREATE TABLE owned_1 PARTITION OF owned FOR VALUES IN (1);
CREATE VIEW hr.window AS SELECT * FROM items;
CREATE VIEW outer_window AS SELECT * FROM hr.window;
CREATE TABLE audited (id int);
CREATE TABLE hr.audit (id int);
CREATE RULE noted AS ON INSERT TO audited DO ALSO INSERT INTO hr.audit VALUES (new.id);
CREATE DOMAIN code AS text CHECK (value <> '');
CREATE FUNCTION hr.pay(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
"""

FOLLOWS = (
    ("TABLE outer_window", {"sql:select public.outer_window"}),
    ("INSERT INTO outer_window VALUES (1)", {
        "sql:insert public.outer_window", "sql:insert hr.window", "sql:insert public.items",
    }),
    ("DELETE FROM items", {
        "sql:delete public.items", "sql:select public.items", "sql:delete public.old_items",
        "sql:select public.old_items", "sql:delete public.orders", "sql:update public.lines",
    }),
    ("ALTER TABLE items ADD COLUMN m int", {
        "ddl:alter-table public.items", "ddl:alter-table public.old_items",
    }),
    ("ALTER TABLE items ALTER id TYPE int8", {
        "ddl:alter-table public.items", "ddl:alter-table public.old_items",
        "ddl:rewrite public.items", "ddl:rewrite public.old_items",
        "ddl:alter-table public.orders", "ddl:alter-table public.lines",
        "ddl:alter-table public.held",
    }),
    ("TRUNCATE items", {"sql:truncate public.items", "sql:truncate public.old_items"}),
    ("INSERT INTO audited VALUES (1)", {
        "sql:insert public.audited", "sql:insert hr.audit", "sql:update hr.audit",
        "sql:delete hr.audit", "sql:select hr.audit",
    }),
    ("DELETE FROM owners", {
        "sql:delete public.owners", "sql:select public.owners", "sql:delete public.owned",
    }),
    ("INSERT INTO parted VALUES (1)", {"sql:insert public.parted"}),
    ("COPY items FROM STDIN", {"sql:copy-in public.items", "sql:insert public.items"}),
)  # fmt: skip


@pytest.fixture
def session(database: FreshDatabase) -> Iterator[Connection]:
    """A superuser's session; the owner's objects are there."""
    with pinned(database) as connection:
        connection.execute(OWNER_MADE)
        yield connection


def asked(one: Classifier, text: str) -> set[str]:
    return {str(access) for access in one.classify(text, Session()).accesses}


@pytest.mark.parametrize("text,expected", FOLLOWS, ids=[text for text, _ in FOLLOWS])
def test_what_the_server_does_by_itself_is_asked_for(
    session: Connection, text: str, expected: set[str]
) -> None:
    """Views, foreign keys, children and rules lead on to other tables, as the catalogue says."""
    assert asked(classifier_of(session), text) == expected


def test_update_through_a_view_reaches_what_refers(session: Connection) -> None:
    """The steps are followed to their end: view, table, and the tables that refer to it."""
    found = asked(classifier_of(session), "UPDATE outer_window SET n = 1")
    assert {"sql:update public.items", "sql:update public.orders"} <= found
    assert "sql:update public.held" not in found


def test_the_servers_settings_cannot_be_written_through_a_view(session: Connection) -> None:
    """An UPDATE of pg_settings is a SET, of search_path and role as well: it is refused."""
    session.execute("CREATE VIEW knobs AS SELECT * FROM pg_settings")
    one = classifier_of(session)
    for relation in ("pg_settings", "pg_catalog.pg_settings", "knobs"):
        with pytest.raises(Exception, match="is changed through a gateway"):
            one.classify(f"UPDATE {relation} SET setting = 'hr'", Session())


def test_types_of_parameters_are_known_by_their_number(session: Connection) -> None:
    """A domain as a parameter's type runs its check, so it is asked for; int and text are not."""
    oid = session.execute("SELECT 'code'::regtype::oid").fetchone()
    one = classifier_of(session)
    assert oid is not None
    assert [str(one_) for one_ in one.parameters([0, 23, 25, oid[0]])] == ["sql:usage public.code"]
    with pytest.raises(Exception, match="is not known"):
        one.parameters([oid[0] + 10_000])


CHANGES = (
    "CREATE TABLE t (id int)", "ALTER TABLE lines RENAME TO x",
    "CREATE OR REPLACE VIEW outer_window AS SELECT id, n FROM old_items",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE orders SET SCHEMA hr",
    "ALTER TABLE held DROP CONSTRAINT held_id_fkey", "ALTER TABLE old_items NO INHERIT items",
    "CREATE TYPE e AS ENUM ('a')", "CREATE SCHEMA s", "DROP RULE noted ON audited",
    "ALTER DOMAIN code RENAME TO kode", "ALTER TABLE parted DETACH PARTITION parted_1",
    "DROP TABLE held",
)  # fmt: skip


def test_the_version_differs_after_every_change_of_the_facts(session: Connection) -> None:
    """Stale facts are noticed by one cheap query, whatever was changed."""
    assert version(session) == version(session) == read_catalogue(session).version
    for change in CHANGES:
        before = version(session)
        session.execute(change)
        assert version(session) != before, change
        assert read_catalogue(session).version == version(session)


def test_the_version_stays_when_only_rows_change(session: Connection) -> None:
    """Work on rows, upkeep and temporary tables of others do not make facts stale."""
    session.execute("VACUUM ANALYZE")
    before = version(session)
    session.execute("INSERT INTO items VALUES (5, 1)")
    session.execute("ANALYZE items")
    session.execute("CREATE TEMP TABLE mine (id int PRIMARY KEY)")
    assert version(session) == before


def version(session: Connection) -> str:
    row = session.execute(VERSION_QUERY).fetchone()
    assert row is not None
    return str(row[0])


def test_facts_are_of_the_session_that_reads_them(database: FreshDatabase) -> None:
    """What is not committed is seen by its own session only."""
    with pinned(database) as one, pinned(database) as other, one.transaction():
        one.execute("CREATE TABLE hidden (id int)")
        assert "hidden" in read_catalogue(one).relations
        assert "hidden" not in read_catalogue(other).relations


def test_the_list_of_pure_functions_is_what_the_rule_gives(database: FreshDatabase) -> None:
    """A name of the list is pure on each server that has it: nothing was added by hand."""
    with psycopg.connect(database.owner_url) as session:
        functions = [(str(n), bool(p)) for n, p in session.execute(FUNCTION_QUERY).fetchall()]
    there = PURE_FUNCTIONS & {name for name, _ in functions}
    assert there <= pure_names([functions])
    assert len(there) > 1_500
