"""A gateway's own journal, for what it does while it has no authority (``domain.offline_journal``).

One process writes it. What ``append`` took is durable when it returns, whole and in order; what it
did not take has left nothing that is read back. A journal that was damaged by hand is read as far
as its lines parse: who takes it sees where its chain breaks.
"""

from collections.abc import Sequence
from typing import Protocol

from callpoint.domain.offline_journal import Chained, JournalEntry


class OfflineJournal(Protocol):
    """Durable, append-only until it is told. Its methods block on the disk."""

    @property
    def name(self) -> str:
        """Unique among journals, drawn when the file was begun: grants name it."""
        ...

    def append(self, entries: Sequence[JournalEntry]) -> None:
        """Write them at its end, all or none.

        Raises:
            UnavailableError: They cannot be written; nothing may take effect.
        """
        ...

    def waiting(self) -> tuple[Chained, ...]:
        """What was not told yet, in order."""
        ...

    def forget(self, seq: int) -> None:
        """All up to that entry was told and is durable there.

        Raises:
            UnavailableError: The file cannot be written; it is told again, which changes nothing.
        """
        ...
