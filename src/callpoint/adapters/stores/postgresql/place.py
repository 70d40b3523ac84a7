"""Where a PostgreSQL database is: which server, which database, which schema.

A physical standby that takes over has the system identifier of its primary, so a failover moves
nothing. A dump that is restored elsewhere, and ``pg_upgrade``, have another one.
"""

from callpoint.adapters.stores.postgresql.connection import PostgresConnection

_MAY_ASK = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"
_DATABASE = "SELECT current_database()::text"


def place_of(connection: PostgresConnection, schema: str) -> str:
    """A name for it, without a secret; some hosted servers do not tell their identifier."""
    system = connection.rows(_SYSTEM)[0][0] if connection.rows(_MAY_ASK)[0][0] else ""
    return f"postgresql {system}/{connection.rows(_DATABASE)[0][0]}/{schema}"
