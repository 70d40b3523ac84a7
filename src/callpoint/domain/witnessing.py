"""Witnesses: who must have seen the log before anything is given, and which logs we see for others.

A log's own key cannot show that the log was not rewritten as a whole. A witness outside our reach
remembers the largest tree that it saw and signs no other, so a rewritten or rolled-back log is
found by whoever asks for its cosignature (C2SP tlog-witness).
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from callpoint.domain.record import Index

WITHIN = timedelta(hours=1)
"""How old a cosignature may be that counts, unless the configuration says otherwise."""


class Witness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One witness of our log.

    Attributes:
        id: Configured name.
        url: Its submission prefix, without a slash at the end.
        key: Its key, C2SP vkey text of type 0x04.
    """

    id: str
    url: str
    key: str

    @property
    def key_name(self) -> str:
        """The name under which it signs."""
        return self.key.partition("+")[0]


class WitnessedLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log that this installation cosigns.

    Attributes:
        id: Configured name.
        origin: The log's origin; after a recovery it is another log.
        keys: Its verifier keys, C2SP vkey text of type 0x01; two while one is replaced.
    """

    id: str
    origin: str
    keys: tuple[str, ...]


class Witnessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both sides of being seen.

    Attributes:
        quorum: How many witnesses must have cosigned a checkpoint of ours before anything is
            issued; 0 waits for nobody. Revocation never waits.
        within: How old those cosignatures may be.
        witnesses: Who sees our log.
        logs: Whose logs we see.
    """

    quorum: int = 0
    within: timedelta = WITHIN
    witnesses: dict[str, Witness] = {}
    logs: dict[str, WitnessedLog] = {}


class Answer(StrEnum):
    """What a witness said the last time."""

    COSIGNED = "cosigned"
    SILENT = "silent"
    REFUSED = "refused"
    CONTRADICTED = "contradicted"


class Watch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a witness: a row, not evidence, and never a reason to give anything.

    Attributes:
        witness: Its key name.
        origin: Of the log that it was asked about.
        answer: The last one.
        at: When.
        size: The largest size that it is known to have seen.
        detail: What was wrong, for a person; empty when nothing was.
    """

    witness: str
    origin: str
    answer: Answer
    at: datetime
    size: int = 0
    detail: str = ""
    version: int = 0

    def key(self) -> str:
        return self.witness

    def index(self) -> Index:
        return Index(state=self.answer)

    def stored(self, version: int) -> "Watch":
        return msgspec.structs.replace(self, version=version)


class Cosigned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The largest tree of another log that this installation, as a witness, has cosigned.

    Attributes:
        origin: Of that log.
        size: Entries.
        root: Root of that tree.
        note: The checkpoint as it came.
        line: Our cosignature, without its newline; empty when we died before it was made.
    """

    origin: str
    size: int
    root: bytes
    note: str
    line: str = ""
    version: int = 0

    def key(self) -> str:
        return self.origin

    def index(self) -> Index:
        return Index(state="cosigned")

    def stored(self, version: int) -> "Cosigned":
        return msgspec.structs.replace(self, version=version)
