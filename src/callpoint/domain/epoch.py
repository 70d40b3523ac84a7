"""An epoch: the span in which what the database says can be taken for what happened (I8).

A new one begins when a part of the past was lost (a restored backup) and when the installation was
moved. In it nothing is given on a target that was not compared with the leases since.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from callpoint.domain.errors import UnavailableError
from callpoint.domain.record import Index

CURRENT = "current"
"""The key of the one record; without it the first epoch goes on."""


class Began(StrEnum):
    """Why an epoch began."""

    RECOVERED = "recovered"
    MOVED = "moved"


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The epoch that goes on.

    Attributes:
        number: 2 for the first that began after genesis.
        began_at: By the store's clock.
        lost_at: When a part of the past was lost last; None when none ever was.
        compared: Targets that were compared with the leases since.
    """

    number: int
    why: Began
    began_at: datetime
    lost_at: datetime | None = None
    compared: tuple[str, ...] = ()
    version: int = 0

    def key(self) -> str:
        return CURRENT

    def index(self) -> Index:
        return Index(state=self.why)

    def stored(self, version: int) -> "Epoch":
        return msgspec.structs.replace(self, version=version)

    def must_know(self, target: str) -> None:
        """Nothing is given on a target of which nobody knows what exists there.

        Raises:
            UnavailableError: It was not compared in this epoch.
        """
        if target not in self.compared:
            cause = {
                Began.RECOVERED: "the database was recovered",
                Began.MOVED: "this installation was moved",
            }[self.why]
            raise UnavailableError(
                f"{target} was not compared with the leases since {cause}",
                way_out="that is done within a minute once it answers: see `callpoint doctor`",
            )
