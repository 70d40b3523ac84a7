"""A journal in memory, and a gateway's side of offline grants by hand."""

from collections.abc import Sequence

from callpoint.domain.errors import UnavailableError
from callpoint.domain.offline_journal import BEGINNING, Chained, JournalEntry, chained


class MemoryJournal:
    """Implements ``ports.journals.OfflineJournal``.

    Attributes:
        is_broken: Nothing can be written.
        entries: All that was ever written.
    """

    def __init__(self, name: str = "journal1") -> None:
        self.is_broken = False
        self.entries: list[Chained] = []
        self._name = name
        self._told = 0

    @property
    def name(self) -> str:
        return self._name

    def append(self, entries: Sequence[JournalEntry]) -> None:
        if self.is_broken:
            raise UnavailableError("the disk is full")
        for entry in entries:
            last = self.entries[-1] if self.entries else None
            before = last.hash if last else BEGINNING
            self.entries.append(chained(len(self.entries) + 1, before, entry))

    def waiting(self) -> tuple[Chained, ...]:
        return tuple(self.entries[self._told :])

    def forget(self, seq: int) -> None:
        self._told = max(self._told, seq)
