"""The PostgreSQL schema, version by version.

Text is compared by its bytes (``COLLATE "C"``), so that the order of times and keys is the same
whatever locale the database was made with.
"""

from callpoint.adapters.stores.sql.schema import Migration

_TABLES = (
    """
    CREATE TABLE records (
        kind text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        state text COLLATE "C" NOT NULL,
        parent text COLLATE "C" NOT NULL,
        subject text COLLATE "C" NOT NULL,
        due_at text COLLATE "C",
        first_at text COLLATE "C" NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (kind, key)
    )
    """,
    "CREATE INDEX records_due ON records (kind, due_at, key) WHERE due_at IS NOT NULL",
    "CREATE INDEX records_state ON records (kind, state, due_at)",
    "CREATE INDEX records_parent ON records (kind, parent)",
    "CREATE INDEX records_subject ON records (kind, subject, state, first_at)",
    """
    CREATE TABLE head (
        id integer PRIMARY KEY CHECK (id = 1),
        installation text NOT NULL,
        origin text NOT NULL,
        size bigint NOT NULL,
        peaks bytea NOT NULL,
        high_water text NOT NULL
    ) WITH (fillfactor = 10)
    """,
    """
    CREATE TABLE entries (
        idx bigint PRIMARY KEY,
        stream text COLLATE "C" NOT NULL,
        seq bigint NOT NULL,
        closes integer NOT NULL,
        leaf_hash bytea NOT NULL,
        leaf bytea NOT NULL,
        UNIQUE (stream, seq)
    )
    """,
    """
    CREATE TABLE personal (
        idx bigint NOT NULL,
        name text COLLATE "C" NOT NULL,
        salt bytea NOT NULL,
        value bytea NOT NULL,
        PRIMARY KEY (idx, name)
    )
    """,
    """
    CREATE TABLE tiles (
        level integer NOT NULL,
        n bigint NOT NULL,
        root bytea NOT NULL,
        hashes bytea NOT NULL,
        PRIMARY KEY (level, n)
    )
    """,
    """
    CREATE TABLE checkpoints (
        origin text COLLATE "C" NOT NULL,
        size bigint NOT NULL,
        note text NOT NULL,
        PRIMARY KEY (origin, size)
    )
    """,
    """
    CREATE TABLE recoveries (
        origin text PRIMARY KEY,
        old_origin text NOT NULL,
        kept_size bigint NOT NULL
    )
    """,
    """
    CREATE TABLE spool (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stream text COLLATE "C" NOT NULL,
        closes integer NOT NULL,
        draft bytea NOT NULL
    )
    """,
    "CREATE INDEX spool_stream ON spool (stream)",
    # Holds no row: its lock is how writers take turns (connection.py).
    "CREATE TABLE writer ()",
)

_REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'evidence is never changed: % on %', TG_OP, TG_TABLE_NAME;
END
$$
"""

_WAKE = """
CREATE FUNCTION wake() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], '');
    RETURN NULL;
END
$$
"""


def _refuse(events: str, table: str) -> str:
    # Who owns the table can drop this too: it is against accidents, the tree against intent.
    return (
        f"CREATE TRIGGER refuse_{table} BEFORE {events} ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _wake(event: str, channel: str) -> str:
    return (
        f"CREATE TRIGGER wake_{event.lower()} AFTER {event} ON spool "
        f"FOR EACH STATEMENT EXECUTE FUNCTION wake('{channel}')"
    )


SPOOLED = "callpoint_spooled"
"""Notified when events were put into the spool."""

NUMBERED = "callpoint_numbered"
"""Notified when events of the spool got their numbers."""

_EVIDENCE = ("entries", "tiles", "checkpoints", "recoveries")

MIGRATIONS = (
    Migration(
        1,
        "state and log",
        (
            *_TABLES,
            _REFUSE,
            _WAKE,
            *(_refuse("UPDATE OR DELETE OR TRUNCATE", table) for table in _EVIDENCE),
            _refuse("UPDATE OR TRUNCATE", "personal"),  # deleting is erasure
            _wake("INSERT", SPOOLED),
            _wake("DELETE", NUMBERED),
        ),
    ),
    Migration(
        2,
        "what is more privileged comes first; where the database is",
        (
            "ALTER TABLE records ADD COLUMN priority integer NOT NULL DEFAULT 0",
            # The next revocation of a target, however many wait for another one.
            """
            CREATE INDEX records_next ON records (kind, subject, state, priority DESC, due_at, key)
            WHERE due_at IS NOT NULL
            """,
            "ALTER TABLE head ADD COLUMN place text NOT NULL DEFAULT ''",
        ),
    ),
    Migration(
        3,
        "cosignatures of witnesses",
        (
            """
            CREATE TABLE cosignatures (
                origin text COLLATE "C" NOT NULL,
                name text COLLATE "C" NOT NULL,
                size bigint NOT NULL,
                line text NOT NULL,
                PRIMARY KEY (origin, name, size)
            )
            """,
        ),
    ),
    Migration(
        4,
        "time stamps of checkpoints",
        (
            """
            CREATE TABLE timestamps (
                origin text COLLATE "C" NOT NULL,
                size bigint NOT NULL,
                note text NOT NULL,
                response bytea NOT NULL,
                at text NOT NULL,
                PRIMARY KEY (origin, size)
            )
            """,
            _refuse("UPDATE OR DELETE OR TRUNCATE", "timestamps"),
        ),
    ),
)
"""All of them, oldest first."""

LEDGER_OF_MIGRATIONS = """
CREATE TABLE migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at text NOT NULL
)
"""
