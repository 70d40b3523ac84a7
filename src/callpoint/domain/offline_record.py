"""What the store keeps about sessions that may go on without the authority."""

from datetime import datetime
from enum import StrEnum

import msgspec

from callpoint.domain.offline import NOTHING, OfflineAllowance
from callpoint.domain.offline_journal import BEGINNING
from callpoint.domain.record import Index


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
    """How far a gateway's journal was taken.

    Attributes:
        seq: Of the newest entry that was.
        head: Its hash.
    """

    id: str
    gateway: str
    seq: int = 0
    head: str = BEGINNING
    version: int = 0

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index(subject=self.gateway)

    def stored(self, version: int) -> "TakenJournal":
        return msgspec.structs.replace(self, version=version)


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
