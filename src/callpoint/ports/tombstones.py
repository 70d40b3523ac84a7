"""Tombstones and the picture on this node's own disk: what a kill without the store works with.

Both are for the time when the store does not answer (I13), so neither is in it. They hold no
secret. A failing disk is StoreUnavailableError; what takes away goes on without it.
"""

from typing import Protocol

import msgspec

from callpoint.domain.known import KnownLease
from callpoint.domain.tombstone import Tombstone


class Waiting(msgspec.Struct, frozen=True):
    """A tombstone that is not merged yet.

    Attributes:
        id: Also the file's name; of a file that does not parse, that name.
        tombstone: None when the file does not parse.
    """

    id: str
    tombstone: Tombstone | None


class TombstoneShelf(Protocol):
    """Where tombstones wait, durably."""

    def put(self, tombstone: Tombstone) -> None:
        """Keep it, down to the disk; again with the same id changes nothing.

        Raises:
            StoreUnavailableError: It is not known to be kept.
        """
        ...

    def waiting(self) -> tuple[Waiting, ...]:
        """What is not merged, by id; cheap, for it is asked before anything is given.

        Raises:
            StoreUnavailableError: It cannot be looked: then nothing may be given.
        """
        ...

    def retire(self, key: str) -> None:
        """It was merged. No error when it is gone."""
        ...

    def set_aside(self, key: str) -> None:
        """It was refused: kept as evidence, and blocks nothing any more."""
        ...

    def aside(self) -> tuple[str, ...]:
        """Ids of those that were refused."""
        ...


class PictureFile(Protocol):
    """The live leases, so that a restarted node knows them while the store is down."""

    def load(self) -> tuple[KnownLease, ...]:
        """What was kept; lines that do not parse are passed over."""
        ...

    def add(self, leases: tuple[KnownLease, ...]) -> None:
        """Write them down, before the first call to a target. Raises StoreUnavailableError."""
        ...

    def replace(self, leases: tuple[KnownLease, ...]) -> None:
        """Exactly these, down to the disk. Raises StoreUnavailableError."""
        ...
