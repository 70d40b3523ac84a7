"""No sequence of statements that the classifier allows changes what the policy denies."""

import time
from collections import Counter

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callpoint.gateways.postgres.sql.access import Access, Verb
from tests.postgres_sql_site import Connection, Gate, of_the_session, pinned
from tests.property.sql_statements import DENIED, MARK, OWNER_MADE, texts
from tests.servers import FreshDatabase

EXAMPLES = 60
LEAST = 5
SECONDS = 10.0
"""On a busy machine fewer examples are tried, not for longer."""

_CLEAN = "DROP SCHEMA IF EXISTS hr CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;"

_NEVER_CHANGED = (
    "pg_proc", "pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_database", "pg_operator",
    "pg_policy", "pg_namespace", "pg_language", "pg_extension", "pg_cast", "pg_default_acl",
    "pg_largeobject_metadata", "pg_event_trigger", "pg_opclass", "pg_seclabel",
    "hr.people", "hr.refs", "hr.child", "hr.log", "public.vault",
)  # fmt: skip

_DENIED_ONES = "(SELECT oid FROM d)"
_OF_THE_DENIED = (
    f"pg_class WHERE oid IN {_DENIED_ONES}",
    f"pg_attribute WHERE attrelid IN {_DENIED_ONES}",
    f"pg_index WHERE indrelid IN {_DENIED_ONES}",
    f"pg_constraint WHERE conrelid IN {_DENIED_ONES} OR confrelid IN {_DENIED_ONES}",
    f"pg_trigger WHERE tgrelid IN {_DENIED_ONES}",
    f"pg_rewrite WHERE ev_class IN {_DENIED_ONES}",
    f"pg_inherits WHERE inhrelid IN {_DENIED_ONES} OR inhparent IN {_DENIED_ONES}",
    f"pg_description WHERE objoid IN {_DENIED_ONES}",
)

_STATE = """
WITH d AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'hr' OR (n.nspname = 'public' AND c.relname = ANY (%s))
)
SELECT 'ticks', concat_ws(' ', last_value, is_called) FROM public.ticks
UNION ALL SELECT 'prepared', count(*)::text FROM pg_prepared_xacts
""" + "".join(
    f"UNION ALL SELECT '{source.split()[0]}', concat_ws(' ', count(*),"
    f" sum(hashtextextended(concat_ws(' ', ctid, xmin), 0))) FROM {source}\n"
    for source in (*_NEVER_CHANGED, *_OF_THE_DENIED)
)


def allows(access: Access) -> bool:
    """Everything in `public` but code and what is denied; the catalogue may be read."""
    if access.verb in (Verb.EXECUTE, Verb.USAGE):
        return access.schema == "public" and access.name == "==="
    if access.schema == "pg_catalog":
        return access.verb is Verb.SELECT
    return access.schema in ("", "public") and access.name not in DENIED


def denied_state(observer: Connection) -> dict[str, str]:
    """What must not change: rows and definitions of what is denied, roles, code, settings."""
    return {name: str(state) for name, state in observer.execute(_STATE, [list(DENIED)])}


BY_HAND: tuple[tuple[str, ...], ...] = (
    # Each ends with a text that must not be sent on.
    ("CREATE VIEW x AS TABLE shown", "UPDATE x SET n = 5"),
    (
        "CREATE VIEW x AS TABLE stock",
        "BEGIN",
        "CREATE OR REPLACE VIEW x AS SELECT id, n, '' ::text AS note FROM shown",
        "UPDATE x SET n = 5",
    ),
    (
        "BEGIN",
        "CREATE VIEW x AS TABLE shown",
        "SAVEPOINT s",
        "DROP VIEW x",
        "CREATE TABLE x (id int, n int)",
        "ROLLBACK TO s",
        "UPDATE x SET n = 7",
    ),
    (
        "CREATE VIEW x AS TABLE shown",
        "BEGIN",
        "DROP VIEW x",
        "CREATE TABLE x (id int, n int)",
        "ROLLBACK",
        "UPDATE x SET n = 7",
    ),
    (
        "PREPARE p AS UPDATE stock SET n = 5",
        "EXECUTE p",
        "ALTER TABLE stock RENAME TO stock2",
        "CREATE VIEW stock AS TABLE shown",
        "EXECUTE p",
    ),
    ("ALTER TABLE stock RENAME COLUMN note TO peep", "SELECT stock.peep FROM stock"),
    ("CREATE TABLE peep (id int)", "SELECT stock.peep FROM stock"),
    ("ALTER TABLE items ALTER id TYPE bigint",),
    ("CREATE TABLE t (id int)", "ALTER TABLE t INHERIT hr.people"),
)


def test_sequences_that_were_thought_out(database: FreshDatabase) -> None:
    """Names change their meaning under way; the last text of each sequence is stopped."""
    with psycopg.connect(database.owner_url, autocommit=True) as observer:
        for sent in BY_HAND:
            observer.execute(_CLEAN + OWNER_MADE)
            before = denied_state(observer)
            with pinned(database) as session:
                gate = Gate(session, allows)
                assert [gate.send(text) for text in sent[:-1]] == ["done"] * (len(sent) - 1), sent
                assert gate.send(sent[-1]) in ("denied", "refused"), sent
                if session.pgconn.transaction_status:
                    session.execute("COMMIT")
            assert denied_state(observer) == before, sent


def test_nothing_that_is_denied_changes_or_is_read(database: FreshDatabase) -> None:
    """Whatever is sent, in whatever order, denied objects stay as they are, and unseen."""
    seen: Counter[str] = Counter()
    end = time.monotonic() + SECONDS

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(texts(), min_size=3, max_size=12))
    def run(sent: list[str]) -> None:
        if time.monotonic() > end:
            return
        observer.execute(_CLEAN + OWNER_MADE)
        before = denied_state(observer)
        with pinned(database) as session:
            session.execute("SET lock_timeout = '2s'")
            who = of_the_session(session)
            gate = Gate(session, allows)
            for text in sent:
                seen[gate.send(text)] += 1
            if session.pgconn.transaction_status:
                session.execute("COMMIT")
            assert denied_state(observer) == before, gate.sent
            assert of_the_session(session) == who, gate.sent
            assert not [one for one in gate.received if MARK.encode() in one], gate.sent

    with psycopg.connect(database.owner_url, autocommit=True) as observer:
        run()
    # A classifier that refuses everything proves nothing.
    assert seen["done"] > LEAST, seen
    assert seen["denied"] > LEAST, seen
