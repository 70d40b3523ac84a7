"""Somebody who may only read sends everything that has ever worked elsewhere, as a superuser.

Between them and the server there is the classification and a policy that allows reading `public`;
docs/gateways/postgres.md is what the gateway does. What was found when this was written first has a
test of its own below, or in the tables of tests/unit/test_sql_*.py.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callpoint.gateways.postgres.sql.access import Access, Verb
from tests.postgres_sql_site import Connection, Gate, everything, of_the_session, pinned
from tests.servers import FreshDatabase
from tests.sql_hostile import HARMLESS, HOSTILE, OWNER_MADE

_ANYWHERE = (Verb.SHOW, Verb.EXPLAIN, Verb.TRANSACTION, Verb.SET, Verb.SESSION)

GIVEN_AWAY = (
    # By themselves harmless: what they say is what a reader may see and set.
    "SELECT has_table_privilege('items', 'x')",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
)


def may_read(access: Access) -> bool:
    """Read `public` and the catalogue; nothing else that has a name."""
    match access.verb:
        case Verb.SELECT:
            return access.schema in ("public", "pg_catalog")
        case Verb.COPY_OUT:
            return access.schema in ("public", "")
        case _:
            return access.verb in _ANYWHERE


@pytest.fixture
def observer(database: FreshDatabase) -> Iterator[Connection]:
    """Another superuser, who made everything and looks at it."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute(OWNER_MADE)
        yield connection


def test_a_reader_changes_nothing(database: FreshDatabase, observer: Connection) -> None:
    """Hundreds of hostile texts leave rows, catalogue, cluster and session as they are."""
    before = everything(observer)
    with pinned(database) as session:
        who = of_the_session(session)
        gate = Gate(session, may_read)
        for text in HOSTILE:
            if gate.send(text) in ("refused", "denied"):
                continue
            assert text in GIVEN_AWAY
            assert everything(observer) == before, text
            assert of_the_session(session) == who, text
        assert everything(observer) == before
        assert of_the_session(session) == who
        assert gate.sent == list(GIVEN_AWAY)


def test_a_reader_reads(database: FreshDatabase, observer: Connection) -> None:
    """The same policy lets ordinary reading through: it is not all refused."""
    before = everything(observer)
    with pinned(database) as session:
        gate = Gate(session, may_read)
        assert [gate.send(text) for text in HARMLESS] == ["done"] * len(HARMLESS)
    assert everything(observer) == before


_POWER = (
    "pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_proc", "pg_trigger", "pg_policy",
    "pg_namespace", "pg_language", "pg_extension", "pg_cast", "pg_operator", "pg_event_trigger",
    "pg_default_acl", "pg_largeobject_metadata", "pg_foreign_server", "pg_publication", "prepared",
    "pg_subscription", "pg_database", "pg_tablespace", "pg_seclabel", "pg_replication_origin",
)  # fmt: skip


def test_a_policy_that_allows_everything_gives_no_power(
    database: FreshDatabase, observer: Connection
) -> None:
    """Roles, code, settings and files are out of reach, whatever a policy says: only rows are not.

    Functions are left out: what they do, the policy allowed.
    """
    before = everything(observer)
    with pinned(database) as session:
        who = of_the_session(session)
        gate = Gate(session, lambda access: access.verb is not Verb.EXECUTE)
        for text in HOSTILE:
            gate.send(text)
            if session.pgconn.transaction_status:
                gate.send("ROLLBACK")
            assert of_the_session(session) == who, text
        after = everything(observer)
        changed = {name for name in _POWER if _in(after, name) != _in(before, name)}
        assert not changed, changed
        assert _in(after, "public.items") != _in(before, "public.items"), "nothing was tried"
    assert not list(Path("/tmp").glob("callpoint-x*"))  # noqa: S108 -- what COPY would have written


def _in(state: dict[str, str], name: str) -> str:
    return state.get(name) or state.get(f"pg_catalog.{name}", "gone")


WITHOUT_A_GATE = (
    "SELECT spoil()", "SELECT (1).spoil", "SELECT x.lower FROM generate_series(1, 1) x",
    "SELECT 'x'::sour", "SELECT 1 === 2", "SELECT items <> 1 FROM items",
    "UPDATE window_ SET n = 0",
    "DELETE FROM items", "SELECT nextval('counter')", "SELECT lo_create(0)",
    "CREATE SCHEMA x", "SELECT 1 -- \r; DELETE FROM items",
    "COMMENT ON TABLE items IS 'x'", "WITH items AS (SELECT 1 AS id) DELETE FROM items",
)  # fmt: skip


@pytest.mark.parametrize("text", WITHOUT_A_GATE)
def test_without_the_gate_it_works(
    database: FreshDatabase, observer: Connection, text: str
) -> None:
    """The same texts change something when they are sent directly: what is compared can change."""
    before = everything(observer)
    with pinned(database) as session:
        session.execute(text)
    assert everything(observer) != before


def test_an_update_of_pg_settings_moves_no_search_path(
    database: FreshDatabase, observer: Connection
) -> None:
    """Found: the view's rule is a SET of any setting; allowed by a policy it is refused still."""
    with pinned(database) as session:
        gate = Gate(session, lambda _: True)
        for relation in ("pg_settings", "pg_catalog.pg_settings"):
            update = f"UPDATE {relation} SET setting = 'hr' WHERE name = 'search_path'"
            assert gate.send(update) == "refused"
        assert gate.send("CREATE VIEW knobs AS TABLE pg_settings") == "done"
        assert gate.send("UPDATE knobs SET setting = 'hr' WHERE name = 'search_path'") == "refused"
        assert "hr" not in of_the_session(session)


def test_a_view_of_ones_own_is_no_way_to_write(
    database: FreshDatabase, observer: Connection
) -> None:
    """Found: who may make views and read a table could write the table through a view of it."""

    def may_make_views(access: Access) -> bool:
        return may_read(access) or access.name == "mine"

    before = everything(observer)["public.items"]
    with pinned(database) as session:
        gate = Gate(session, may_make_views)
        assert gate.send("CREATE VIEW mine AS TABLE items") == "done"
        assert gate.send("TABLE mine") == "done"
        for text in ("UPDATE mine SET n = 0", "DELETE FROM mine", "INSERT INTO mine VALUES (9)"):
            assert gate.send(text) == "denied"
    assert everything(observer)["public.items"] == before
