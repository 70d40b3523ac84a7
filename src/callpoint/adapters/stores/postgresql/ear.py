"""What other processes on the database signal (``ports.stores``, "signals")."""

from collections.abc import Callable

from callpoint.adapters.stores.postgresql.connection import SIGNALLED, PostgresConnection
from callpoint.adapters.stores.postgresql.sequencer import Listener, OpenConnection


def ear(connect: OpenConnection, hear: Callable[[str], None]) -> Listener:
    """Hears what any process signals, this one included: a cut that comes twice cuts once.

    What is signalled while its connection is lost it never hears.
    """
    return Listener(connect, SIGNALLED, _nothing, "postgres-ear", hear)


def _nothing(connection: PostgresConnection) -> None:
    """There is nothing to look up between two notifications."""
