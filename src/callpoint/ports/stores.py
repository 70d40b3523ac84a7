"""State and evidence in one place: what a store must guarantee.

* A state change and its events commit in **one** database transaction: there is no state without
  evidence (architecture, "State and log").
* ``transact`` runs ``work`` on the store's own thread or connection. ``work`` is a plain function
  of the transaction alone: it may be run again after a conflict, so it must have no other effect.
  Transactions are serialisable: no two of them may both act on a state that the other changed.
* When ``transact`` returns, what it wrote is durable; unless ``urgent``, its events are also
  numbered and under a signed checkpoint, which is kept outside the database too (I1, I2).
* ``urgent`` is for what takes away: it never waits for the log. When the log cannot be signed or
  extended, an urgent transaction's events stay unnumbered in the database (the spool) and are
  numbered, in order, when the log works again; any other transaction raises LogUnavailableError
  and changes nothing.
* What a transaction signals is told to every process on the store once it is committed: a push, so
  that what ended is cut at once. It can be lost with a connection; who listens also asks.
* Failures: StoreUnavailableError (nothing is known to be written: the caller must read again),
  LogUnavailableError, ConflictError (after the store's own retries), TamperError (a row or an
  entry does not parse or does not agree).
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from callpoint.domain.event import AnyEvent
from callpoint.domain.record import Record

SIGNAL_LIMIT = 2000
"""Bytes of a signal."""

R = TypeVar("R", bound=Record)
T = TypeVar("T")

RecordName: TypeAlias = tuple[type[Record], str]
"""A record's class and key."""


class Where(msgspec.Struct, frozen=True):
    """Which records to select; unset members do not restrict.

    Attributes:
        states: Any of these states.
        due_before: ``due_at`` set and not after this moment; the result is then oldest first.
        by_priority: With ``due_before``: highest priority first, and then oldest first.
        newest: Last stored first, whatever happened to them since; not with ``due_before``.
        limit: At most so many.
        skip_claimed: For workers: rows that another transaction holds are passed over
            (``FOR UPDATE SKIP LOCKED``); a store with a single writer has none.
        skip_spoilt: For what takes away: a row that does not parse is passed over, or one row that
            was changed by hand would keep everything else alive (I11).
    """

    states: tuple[str, ...] = ()
    parent: str | None = None
    subject: str | None = None
    due_before: datetime | None = None
    by_priority: bool = False
    newest: bool = False
    limit: int = 1000
    skip_claimed: bool = False
    skip_spoilt: bool = False


class Entry(msgspec.Struct, frozen=True):
    """One numbered entry of the log: its place and exact bytes (``docs/audit-log-format.md``)."""

    index: int
    leaf: bytes


class PersonalValue(msgspec.Struct, frozen=True):
    """A value whose commitment is in an entry; gone after erasure."""

    index: int
    name: str
    salt: bytes
    value: str


class Cosignature(msgspec.Struct, frozen=True):
    """A witness's signature on one of the log's checkpoints.

    Attributes:
        origin: Of the checkpoint.
        size: Of the checkpoint.
        name: The witness's key name.
        line: The signature line of the note, without its newline.
    """

    origin: str
    size: int
    name: str
    line: str


class TimeStamp(msgspec.Struct, frozen=True):
    """A checkpoint that a time-stamping authority has seen (RFC 3161).

    Attributes:
        note: The checkpoint's exact text, which was stamped.
        response: The authority's answer, DER; it proves the rest.
        at: What the answer says.
    """

    origin: str
    size: int
    note: str
    response: bytes
    at: datetime


class View(Protocol):
    """A consistent reading of the store."""

    def now(self) -> datetime:
        """The store's clock, never before the persisted high-water mark (I4)."""
        ...

    def skew(self) -> timedelta:
        """How far the store's clock is *behind* its high-water mark; zero when it is not."""
        ...

    def find(self, kind: type[R], key: str) -> R | None:
        """The record, or None. TamperError when its row does not parse."""
        ...

    def get(self, kind: type[R], key: str) -> R:
        """The record, or NotFoundError."""
        ...

    def versions(self, rows: Sequence[RecordName]) -> tuple[int, ...]:
        """The version of each record, by its class and key; 0 where there is none.

        For who holds them already and asks whether one of them moved: it costs a fraction of
        reading them.
        """
        ...

    def select(self, kind: type[R], where: Where) -> tuple[R, ...]:
        """Matching records, by due time if it restricts, else by key or the newest first."""
        ...

    def subjects(
        self, kind: type[R], states: tuple[str, ...], due_before: datetime
    ) -> tuple[str, ...]:
        """Each subject, once, of records in ``states`` that are due, in order of their names."""
        ...

    def count_subjects(
        self, kind: type[R], subject: str, states: tuple[str, ...], since: datetime
    ) -> dict[str, int]:
        """Count records of ``subject`` in ``states``, first stored after ``since``, per parent.

        For budgets: distinct incidents of an eligibility.
        """
        ...

    def count_states(self, kind: type[R]) -> dict[str, int]:
        """How many records are in each state that any of them is in; their bodies are not read."""
        ...

    def entries(self, stream: str) -> tuple[Entry, ...]:
        """The numbered entries of a stream, in order."""
        ...

    def unnumbered(self, stream: str) -> int:
        """How many events of the stream wait for a number."""
        ...

    def personal(self, indices: tuple[int, ...]) -> tuple[PersonalValue, ...]:
        """Personal values beside these entries that were not erased."""
        ...

    def checkpoint(self) -> str:
        """The newest signed checkpoint (note text); empty before genesis."""
        ...

    def newest_of(self, origin: str) -> str:
        """The newest checkpoint (note text) under that origin; empty when there is none.

        Former origins keep those of their checkpoints that a loss has left.
        """
        ...

    def checkpoint_at(self, origin: str, size: int) -> str:
        """The checkpoint (note text) of exactly that size; empty when none was signed."""
        ...

    def cosignatures(self, origin: str, name: str) -> tuple[Cosignature, ...]:
        """What a witness cosigned, the largest checkpoint first; at most 200 of them."""
        ...

    def timestamp(self, origin: str, over: int) -> TimeStamp | None:
        """The smallest stamped checkpoint of the origin with more than ``over`` entries."""
        ...

    def newest_timestamp(self, origin: str) -> TimeStamp | None:
        """The largest stamped checkpoint of the origin."""
        ...

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Inclusion proof of an entry in the first ``size`` entries, or in the newest checkpoint.

        NotFoundError when there is no such entry or the log never had so many.
        """
        ...

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Proof that the first ``new`` entries begin with the first ``old``, or NotFoundError."""
        ...

    def tile(self, level: int, n: int, width: int) -> tuple[bytes, ...]:
        """The first ``width`` hashes of a tile (``audit.tiles``), or NotFoundError."""
        ...

    def find_leaf(self, leaf_hash: bytes) -> int | None:
        """The index of the entry with that leaf hash; reads all hashes, so it is slow."""
        ...

    def peaks(self, size: int) -> tuple[bytes, ...]:
        """Hashes of the complete subtrees that make up the first ``size`` entries, largest first.

        They are not trusted by the caller: a tree grown from them must give the signed root.
        """
        ...

    def log_slice(self, start: int, limit: int) -> tuple[Entry, ...]:
        """Entries from ``start`` on, at most ``limit``."""
        ...


class Transaction(View, Protocol):
    """A view that can also write."""

    def put(self, record: R) -> R:
        """Store it; returns it with its new version. Raises ConflictError if it moved meanwhile."""
        ...

    def remove(self, kind: type[R], key: str) -> None:
        """Forget a record that is no evidence (a spent nonce); no error when it is not there."""
        ...

    def cosign(self, cosignature: Cosignature) -> None:
        """Keep a witness's signature beside its checkpoint, in place of an older one of its."""
        ...

    def keep_timestamp(self, stamp: TimeStamp) -> None:
        """Keep it for ever; a second one of the same checkpoint changes nothing."""
        ...

    def append(self, stream: str, event: AnyEvent) -> None:
        """Add an event to a stream. A closing event's entry states the stream's length."""
        ...

    def signal(self, text: str) -> None:
        """Tell all who listen, here and in other processes, once this is committed.

        At most ``SIGNAL_LIMIT`` bytes; no secret, for whoever uses the database may hear it.
        """
        ...


class Store(Protocol):
    """State and event log of one installation."""

    async def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        urgent: bool = False,
        compares: Sequence[RecordName] = (),
    ) -> T:
        """Run ``work`` and commit; see the module for what holds on return.

        Args:
            work: What to do.
            urgent: See the module.
            compares: Records whose versions the work will ask for. It changes no answer: a store
                that serves many callers at once looks at the records of all of them in one go.
        """
        ...

    async def read(self, work: Callable[[View], T]) -> T:
        """Run ``work`` on a consistent view that never blocks writers."""
        ...

    def listen(self, hear: Callable[[str], None]) -> None:
        """From now on call ``hear`` with each signal, as soon as it is committed.

        On a thread of the store's: it must return at once and never raise.
        """
        ...

    async def log_works(self) -> bool:
        """Whether a non-urgent transaction could be numbered and signed now."""
        ...

    async def merge_spool(self) -> int:
        """Number what waits, if the log works; returns how many still wait."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then let go of files, connections and threads."""
        ...
