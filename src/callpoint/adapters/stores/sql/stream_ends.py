"""The last entry of each stream, remembered by who writes the log.

What is remembered holds as long as the tree is as this process left it, which the ledger sees from
the head before each transaction; else it forgets everything and asks the database again.
"""

from collections.abc import Iterable

from callpoint.adapters.stores.sql.connection import Statements
from callpoint.audit.log import Numbered, StreamEnd

_REMEMBERED = 4096
"""Streams at most; a few hundred bytes each."""


class StreamEnds:
    """Used by one thread."""

    def __init__(self) -> None:
        self._ends: dict[str, StreamEnd] = {}

    def find(self, connection: Statements, stream: str) -> StreamEnd | None:
        """The last entry of a stream, remembered or looked up."""
        known = self._ends.get(stream)
        return known if known is not None else connection.streams.end(connection, stream)

    def learn(self, entries: Iterable[Numbered]) -> None:
        """These entries are committed."""
        for entry in entries:
            self._ends.pop(entry.stream, None)  # what was added last is forgotten last
            self._ends[entry.stream] = entry.end
        while len(self._ends) > _REMEMBERED:
            del self._ends[next(iter(self._ends))]

    def forget(self) -> None:
        """Another process wrote, or nobody knows what was committed."""
        self._ends.clear()
