"""Where a PostgreSQL database is: which server, which database, which schema.

A physical standby that takes over has the system identifier of its primary, so a failover moves
nothing. A dump that is restored elsewhere, and ``pg_upgrade``, have another one.
"""

from callpoint.adapters.stores.postgresql.connection import PostgresConnection
from callpoint.domain.errors import StoreUnavailableError

_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"
_DATABASE = "SELECT current_database()::text"


def place_of(connection: PostgresConnection, schema: str) -> str:
    """A name for it, without a secret; some hosted servers do not tell their identifier."""
    return f"postgresql {_system(connection)}/{connection.rows(_DATABASE)[0][0]}/{schema}"


def _system(connection: PostgresConnection) -> str:
    connection.run("SAVEPOINT place")
    try:
        system: str = connection.rows(_SYSTEM)[0][0]
    except StoreUnavailableError:
        connection.run("ROLLBACK TO SAVEPOINT place")  # raises where it was the connection
        return ""
    return system
