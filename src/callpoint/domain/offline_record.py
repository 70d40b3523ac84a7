"""What the store keeps about sessions that may go on without the authority."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from callpoint.domain.offline import NOTHING, OfflineAllowance
from callpoint.domain.offline_journal import BEGINNING
from callpoint.domain.record import Index

_RECENT: Final = 64
"""More than one call tells (``authority_calls.MAX_TOLD``): a gateway that got no answer to a call
tells the same again."""


class OfflineSpending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an activation has used without the authority, as its gateways told."""

    activation: str
    spent: OfflineAllowance = NOTHING
    version: int = 0

    def key(self) -> str:
        return self.activation

    def index(self) -> Index:
        return Index(parent=self.activation)

    def stored(self, version: int) -> "OfflineSpending":
        return msgspec.structs.replace(self, version=version)


class TakenJournal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a journal was taken from a gateway; what another one tells under its name is apart.

    Attributes:
        journal: Its name.
        seq: Of the newest entry that was.
        head: Its hash.
        recent: Hashes of the newest ones, without a gap, the newest last: what is told again is
            told from them, and something else in their places shows.
    """

    gateway: str
    journal: str
    seq: int = 0
    head: str = BEGINNING
    recent: tuple[str, ...] = ()
    version: int = 0

    def key(self) -> str:
        return taken_key(self.gateway, self.journal)

    def index(self) -> Index:
        return Index(subject=self.gateway)

    def stored(self, version: int) -> "TakenJournal":
        return msgspec.structs.replace(self, version=version)

    def has(self, seq: int, digest: str) -> bool:
        """Whether that entry was taken."""
        back = self.seq - seq
        return 0 <= back < len(self.recent) and self.recent[-1 - back] == digest

    def with_one(self, seq: int, digest: str) -> "TakenJournal":
        """With that entry as the newest, in the place of whatever was taken from there on."""
        kept = len(self.recent) - (self.seq + 1 - seq)
        before = self.recent[: max(kept, 0)] if seq <= self.seq + 1 else ()
        recent = (*before, digest)[-_RECENT:]
        return msgspec.structs.replace(self, seq=seq, head=digest, recent=recent)


def taken_key(gateway: str, journal: str) -> str:
    """Where the store has it; no name has a slash."""
    return f"{gateway}/{journal}"


class Debt(StrEnum):
    """Whether a gateway still has to tell what it did with a session's grants."""

    OPEN = "open"
    SETTLED = "settled"


class OfflineDebt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One session's: from its first grant until its gateway has told all.

    Attributes:
        journal: Where its use is on record.
        until: No grant of it holds longer.
    """

    session: str
    activation: str
    gateway: str
    journal: str
    until: datetime
    state: Debt = Debt.OPEN
    version: int = 0

    def key(self) -> str:
        return self.session

    def index(self) -> Index:
        return Index(state=self.state, parent=self.activation, subject=self.journal)

    def stored(self, version: int) -> "OfflineDebt":
        return msgspec.structs.replace(self, version=version)
