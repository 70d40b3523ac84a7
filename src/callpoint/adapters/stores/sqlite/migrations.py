"""The SQLite schema, version by version."""

from callpoint.adapters.stores.sql.schema import Migration

_TABLES = (
    """
    CREATE TABLE records (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        version INTEGER NOT NULL,
        state TEXT NOT NULL,
        parent TEXT NOT NULL,
        subject TEXT NOT NULL,
        due_at TEXT,
        first_at TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT
    """,
    "CREATE INDEX records_due ON records (kind, due_at, key) WHERE due_at IS NOT NULL",
    "CREATE INDEX records_state ON records (kind, state, due_at)",
    "CREATE INDEX records_parent ON records (kind, parent)",
    "CREATE INDEX records_subject ON records (kind, subject, state, first_at)",
    """
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        installation TEXT NOT NULL,
        origin TEXT NOT NULL,
        size INTEGER NOT NULL,
        peaks BLOB NOT NULL,
        high_water TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE entries (
        idx INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        seq INTEGER NOT NULL,
        closes INTEGER NOT NULL,
        leaf_hash BLOB NOT NULL,
        leaf BLOB NOT NULL,
        UNIQUE (stream, seq)
    ) STRICT
    """,
    """
    CREATE TABLE personal (
        idx INTEGER NOT NULL,
        name TEXT NOT NULL,
        salt BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (idx, name)
    ) STRICT
    """,
    """
    CREATE TABLE tiles (
        level INTEGER NOT NULL,
        n INTEGER NOT NULL,
        root BLOB NOT NULL,
        hashes BLOB NOT NULL,
        PRIMARY KEY (level, n)
    ) STRICT
    """,
    """
    CREATE TABLE checkpoints (
        origin TEXT NOT NULL,
        size INTEGER NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (origin, size)
    ) STRICT
    """,
    """
    CREATE TABLE recoveries (
        origin TEXT PRIMARY KEY,
        old_origin TEXT NOT NULL,
        kept_size INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE spool (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        stream TEXT NOT NULL,
        closes INTEGER NOT NULL,
        draft BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX spool_stream ON spool (stream)",
)


def _refuse(verb: str, table: str) -> str:
    # Who can write the file can drop this too: it is against accidents, the tree against intent.
    return f"""
    CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}
    BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END
    """


_EVIDENCE = ("entries", "tiles", "checkpoints", "recoveries")

MIGRATIONS = (
    Migration(
        1,
        "state and log",
        (
            *_TABLES,
            *(_refuse("UPDATE", table) for table in _EVIDENCE),
            *(_refuse("DELETE", table) for table in _EVIDENCE),
            _refuse("UPDATE", "personal"),  # deleting is erasure, which the law may demand
        ),
    ),
    Migration(
        2,
        "what is more privileged comes first; where the database is",
        (
            "ALTER TABLE records ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
            # The next revocation of a target, however many wait for another one.
            """
            CREATE INDEX records_next ON records (kind, subject, state, priority DESC, due_at, key)
            WHERE due_at IS NOT NULL
            """,
            "ALTER TABLE head ADD COLUMN place TEXT NOT NULL DEFAULT ''",
        ),
    ),
    Migration(
        3,
        "cosignatures of witnesses",
        (
            """
            CREATE TABLE cosignatures (
                origin TEXT NOT NULL,
                name TEXT NOT NULL,
                size INTEGER NOT NULL,
                line TEXT NOT NULL,
                PRIMARY KEY (origin, name, size)
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
    Migration(
        4,
        "time stamps of checkpoints",
        (
            """
            CREATE TABLE timestamps (
                origin TEXT NOT NULL,
                size INTEGER NOT NULL,
                note TEXT NOT NULL,
                response BLOB NOT NULL,
                at TEXT NOT NULL,
                PRIMARY KEY (origin, size)
            ) STRICT, WITHOUT ROWID
            """,
            *(_refuse(verb, "timestamps") for verb in ("UPDATE", "DELETE")),
        ),
    ),
    Migration(
        5,
        "entries name the one before them: an index by stream was most of what a commit wrote",
        (
            """
            CREATE TABLE streams (
                id INTEGER PRIMARY KEY,
                name TEXT NOT NULL UNIQUE,
                last INTEGER NOT NULL
            ) STRICT
            """,
            """
            INSERT INTO streams (name, last)
            SELECT stream, max(idx) FROM entries GROUP BY stream ORDER BY min(idx)
            """,
            """
            CREATE TABLE chained_entries (
                idx INTEGER PRIMARY KEY,
                stream TEXT NOT NULL,
                seq INTEGER NOT NULL,
                closes INTEGER NOT NULL,
                leaf_hash BLOB NOT NULL,
                leaf BLOB NOT NULL,
                before INTEGER
            ) STRICT
            """,
            """
            INSERT INTO chained_entries (idx, stream, seq, closes, leaf_hash, leaf, before)
            SELECT idx, stream, seq, closes, leaf_hash, leaf,
                (SELECT idx FROM entries AS b WHERE b.stream = e.stream AND b.seq = e.seq - 1)
            FROM entries AS e ORDER BY idx
            """,
            "DROP TABLE entries",
            "ALTER TABLE chained_entries RENAME TO entries",
            *(_refuse(verb, "entries") for verb in ("UPDATE", "DELETE")),
        ),
    ),
)
"""All of them, oldest first."""

LEDGER_OF_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL
) STRICT
"""
