"""What a gateway writes down while it has no authority, before anything takes effect.

Each entry stands in a chain: ``hash`` is over the entry and the hash before it, so nothing can be
changed, left out or put in between without its showing. The authority takes each entry once, by its
place in the journal (``lifecycle/offline_take.py``).
"""

import hashlib
from datetime import datetime, timedelta

import msgspec

from callpoint.domain import canonical
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.operation import Operation

BEGINNING = "0" * 64
"""The hash before the first entry of a journal."""


class GrantUsed(msgspec.Struct, frozen=True, tag="grant"):
    """The signed grant that the following entries name by its digest."""

    session: str
    token: str


class DecidedOffline(msgspec.Struct, frozen=True, tag="decided"):
    """An action that was asked for; written before it is let through, or refused.

    Attributes:
        number: Within the session, from 1 on, of what was decided without the authority.
        grant: SHA-256 hex of the signed grant.
        at: By the gateway's clock.
        portion: What it may let through at first.
        reason: Why not; empty when it was allowed.
    """

    session: str
    number: int
    grant: str
    at: datetime
    operations: tuple[Operation, ...]
    allowed: bool
    text: str = ""
    text_sha256: str = ""
    parameters: tuple[str, ...] = ()
    portion: Portion = Portion()
    reason: str = ""


class FinishedOffline(msgspec.Struct, frozen=True, tag="finished"):
    """What became of an action.

    Attributes:
        number: Of a ``DecidedOffline``.
    """

    session: str
    number: int
    used: Used
    at: datetime
    code: str = ""
    duration: timedelta = timedelta(0)


class ReportedLate(msgspec.Struct, frozen=True, tag="reported"):
    """What became of an action that the authority itself had allowed, and could not be told."""

    session: str
    number: int
    used: Used
    at: datetime
    code: str = ""
    duration: timedelta = timedelta(0)


class LeftOffline(msgspec.Struct, frozen=True, tag="left"):
    """A session ended while the authority could not be told."""

    session: str
    reason: str
    at: datetime


JournalEntry = GrantUsed | DecidedOffline | FinishedOffline | ReportedLate | LeftOffline


class Chained(msgspec.Struct, frozen=True):
    """One entry in its place.

    Attributes:
        seq: From 1 on, dense.
        hash: SHA-256 hex over ``seq``, the hash before it, and the entry.
    """

    seq: int
    hash: str
    entry: JournalEntry


class Told(msgspec.Struct, frozen=True):
    """A part of a journal, in order.

    Attributes:
        journal: Its name.
        is_whole: Nothing else waits in it, and no session of before is open in its gateway but
            those in ``open``.
        open: Sessions that are open there.
    """

    journal: str
    entries: tuple[Chained, ...] = ()
    is_whole: bool = False
    open: tuple[str, ...] = ()


def chained(seq: int, before: str, entry: JournalEntry) -> Chained:
    """The entry behind the one with that hash."""
    return Chained(seq, link_hash(seq, before, entry), entry)


def link_hash(seq: int, before: str, entry: JournalEntry) -> str:
    """What binds an entry to its place."""
    body = canonical.encode(canonical.plain(entry))
    return hashlib.sha256(f"{seq}\n{before}\n".encode() + body).hexdigest()
