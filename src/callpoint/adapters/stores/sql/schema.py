"""Numbered migrations: applied in order, each once, never by a program older than the schema."""

from collections.abc import Sequence
from dataclasses import dataclass

from callpoint.adapters.stores.sql.connection import Connection
from callpoint.audit.entry import format_time
from callpoint.domain.errors import StoreUnavailableError


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema. A published one is never edited: a later one corrects it.

    Attributes:
        number: Dense from 1.
        name: What it is for.
        statements: Run in one transaction.
    """

    number: int
    name: str
    statements: tuple[str, ...]


def migrate(connection: Connection, migrations: Sequence[Migration]) -> None:
    """Bring the schema up to date inside the open transaction, and leave it open.

    The caller has created the table ``migrations (number, name, applied_at)``.

    Raises:
        StoreUnavailableError: The schema is of a newer Callpoint.
    """
    rows = connection.rows("SELECT number FROM migrations ORDER BY number")
    applied = {row[0] for row in rows}
    known = {migration.number for migration in migrations}
    if unknown := applied - known:
        raise StoreUnavailableError(
            f"the database's schema is at version {max(unknown)}, "
            f"this Callpoint knows versions up to {max(known)}",
            way_out="run the newer Callpoint, or restore the backup from before its first start",
        )
    for migration in migrations:
        if migration.number not in applied:
            for statement in migration.statements:
                connection.run(statement)
            connection.run(
                "INSERT INTO migrations (number, name, applied_at) VALUES (?, ?, ?)",
                (migration.number, migration.name, format_time(connection.clock())),
            )


def claim(connection: Connection, origin: str, installation: str) -> None:
    """Make an empty database this installation's, or check that it is.

    Raises:
        StoreUnavailableError: It is another installation's.
    """
    rows = connection.rows("SELECT installation FROM head")
    if not rows:
        connection.run(
            "INSERT INTO head (id, installation, origin, size, peaks, high_water) "
            "VALUES (1, ?, ?, 0, ?, '')",
            (installation, origin, b""),
        )
    elif rows[0][0] != installation:
        raise StoreUnavailableError(
            f"the database belongs to installation {rows[0][0]}, not to {installation}",
            way_out="name this installation's own database",
        )
