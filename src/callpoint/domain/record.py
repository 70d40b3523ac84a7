"""What a store must know of a row: its key, its version, and the few columns it is found by."""

from datetime import datetime
from typing import Protocol, Self

import msgspec


class Index(msgspec.Struct, frozen=True):
    """The searchable columns of a record; everything else is opaque to a store.

    Attributes:
        state: The record's state, for instance ``live``.
        parent: What it belongs to, for instance the activation of a lease.
        subject: Whom or what it concerns, for instance the eligibility of an activation.
        due_at: When something must be done about it, if ever.
        priority: Of two that are due, the higher one comes first where the reader asks for that.
    """

    state: str = ""
    parent: str = ""
    subject: str = ""
    due_at: datetime | None = None
    priority: int = 0


class Record(Protocol):
    """A frozen msgspec Struct that a store can keep.

    ``version`` is 0 for a record that was never stored; a store writes ``version + 1`` and refuses
    when the stored version is not ``version`` (somebody else changed it meanwhile).
    """

    @property
    def version(self) -> int:
        """How often this record was stored."""
        ...

    def key(self) -> str:
        """Primary key within its kind."""
        ...

    def index(self) -> Index:
        """Searchable columns, derived from the record."""
        ...

    def stored(self, version: int) -> Self:
        """The same record with another version."""
        ...
