"""A store in memory that keeps every promise of ``ports.stores`` but durability.

It passes the same contract suite as the real ones. Faults: ``fail`` makes the next transactions
raise before or after they took effect; ``log_down`` halts the log; ``dead`` refuses everything.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from callpoint.audit import log
from callpoint.audit.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    subtree_root,
)
from callpoint.audit.tiles import TILE_WIDTH
from callpoint.domain.errors import (
    ConflictError,
    LogUnavailableError,
    NotFoundError,
    StoreUnavailableError,
)
from callpoint.domain.event import AnyEvent
from callpoint.domain.record import Record
from callpoint.ports.clock import Clock
from callpoint.ports.keys import LogSigner
from callpoint.ports.stores import (
    Cosignature,
    Entry,
    PersonalValue,
    RecordName,
    TimeStamp,
    Transaction,
    View,
    Where,
)

R = TypeVar("R", bound=Record)
T = TypeVar("T")


@dataclass
class State:
    """Everything that a real store keeps on disk."""

    records: dict[tuple[type, str], tuple[Record, datetime]] = field(default_factory=dict)
    spool: list[log.Draft] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    streams: dict[str, list[int]] = field(default_factory=dict)
    ends: dict[str, log.StreamEnd] = field(default_factory=dict)
    personal: dict[int, dict[str, tuple[bytes, str]]] = field(default_factory=dict)
    note: str = ""
    notes: dict[tuple[str, int], str] = field(default_factory=dict)
    cosignatures: dict[tuple[str, str, int], str] = field(default_factory=dict)
    stamps: dict[tuple[str, int], TimeStamp] = field(default_factory=dict)
    high_water: datetime | None = None

    def clone(self) -> "State":
        """A copy that shares no container; the values are frozen."""
        made = copy(self)
        made.records = dict(self.records)
        made.spool = list(self.spool)
        made.leaves = list(self.leaves)
        made.streams = {name: list(found) for name, found in self.streams.items()}
        made.ends = dict(self.ends)
        made.personal = dict(self.personal)
        made.notes = dict(self.notes)
        made.cosignatures = dict(self.cosignatures)
        made.stamps = dict(self.stamps)
        return made


class MemoryView:
    """Implements ``View`` and ``Transaction`` over a private copy of the state."""

    def __init__(self, state: State, clock: datetime) -> None:
        self.state = state
        self.signals: list[str] = []
        self._clock = clock

    def now(self) -> datetime:
        return max(self._clock, self.state.high_water or self._clock)

    def skew(self) -> timedelta:
        return self.now() - self._clock

    def find(self, kind: type[R], key: str) -> R | None:
        found = self.state.records.get((kind, key))
        return found[0] if found else None  # type: ignore[return-value]  # keyed by its type

    def get(self, kind: type[R], key: str) -> R:
        found = self.find(kind, key)
        if found is None:
            raise NotFoundError(f"there is no {kind.__name__.lower()} {key!r}")
        return found

    def versions(self, rows: Sequence[tuple[type[Record], str]]) -> tuple[int, ...]:
        found = (self.state.records.get(row) for row in rows)
        return tuple(held[0].version if held else 0 for held in found)

    def select(self, kind: type[R], where: Where) -> tuple[R, ...]:
        found = [r for (k, _), (r, _) in self.state.records.items() if k is kind]
        if where.states:
            found = [r for r in found if r.index().state in where.states]
        if where.parent is not None:
            found = [r for r in found if r.index().parent == where.parent]
        if where.subject is not None:
            found = [r for r in found if r.index().subject == where.subject]
        found.sort(key=lambda r: r.key())
        if where.newest:
            first_at = {k[1]: at for k, (_, at) in self.state.records.items() if k[0] is kind}
            found.sort(key=lambda r: first_at[r.key()], reverse=True)
        if (before := where.due_before) is not None:
            found = [r for r in found if (d := r.index().due_at) is not None and d <= before]
            found.sort(key=lambda r: (r.index().due_at or before, r.key()))
            if where.by_priority:
                found.sort(key=lambda r: -r.index().priority)
        return tuple(found[: where.limit])  # type: ignore[arg-type]  # selected by its type

    def subjects(
        self, kind: type[R], states: tuple[str, ...], due_before: datetime
    ) -> tuple[str, ...]:
        where = Where(states=states, due_before=due_before, limit=len(self.state.records))
        return tuple(sorted({r.index().subject for r in self.select(kind, where)}))

    def count_subjects(
        self, kind: type[R], subject: str, states: tuple[str, ...], since: datetime
    ) -> dict[str, int]:
        counts: dict[str, int] = {}
        for (k, _), (record, first_at) in self.state.records.items():
            index = record.index()
            alike = k is kind and index.subject == subject and index.state in states
            if alike and first_at > since:
                counts[index.parent] = counts.get(index.parent, 0) + 1
        return counts

    def count_states(self, kind: type[R]) -> dict[str, int]:
        found = (r.index().state for (k, _), (r, _) in self.state.records.items() if k is kind)
        return {str(state): count for state, count in Counter(found).items()}

    def entries(self, stream: str) -> tuple[Entry, ...]:
        return tuple(Entry(i, self.state.leaves[i]) for i in self.state.streams.get(stream, []))

    def unnumbered(self, stream: str) -> int:
        return sum(waiting.stream == stream for waiting in self.state.spool)

    def personal(self, indices: tuple[int, ...]) -> tuple[PersonalValue, ...]:
        return tuple(
            PersonalValue(index, name, salt, value)
            for index in indices
            for name, (salt, value) in self.state.personal.get(index, {}).items()
        )

    def checkpoint(self) -> str:
        return self.state.note

    def newest_of(self, origin: str) -> str:
        sizes = [size for known, size in self.state.notes if known == origin]
        return self.checkpoint_at(origin, max(sizes)) if sizes else ""

    def checkpoint_at(self, origin: str, size: int) -> str:
        return self.state.notes.get((origin, size), "")

    def cosignatures(self, origin: str, name: str) -> tuple[Cosignature, ...]:
        held = sorted(self.state.cosignatures.items(), key=lambda item: -item[0][2])
        return tuple(
            Cosignature(of, size, by, line)
            for (of, by, size), line in held[:200]
            if (of, by) == (origin, name)
        )

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        tree = len(self.state.leaves) if size is None else size
        if not 0 <= index < tree <= len(self.state.leaves):
            raise NotFoundError(f"there is no entry {index}")
        return tuple(inclusion_proof(index, tree, self._node))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        if not 0 <= old <= new <= len(self.state.leaves):
            raise NotFoundError(f"the log never grew from {old} to {new}")
        return tuple(consistency_proof(old, new, self._node))

    def tile(self, level: int, n: int, width: int) -> tuple[bytes, ...]:
        first = n * TILE_WIDTH
        if (first + width) << (8 * level) > len(self.state.leaves):
            raise NotFoundError("there is no such tile")
        return tuple(self._node(8 * level, first + i) for i in range(width))

    def find_leaf(self, leaf_hash: bytes) -> int | None:
        found = (n for n, leaf in enumerate(self.state.leaves) if _hash(leaf) == leaf_hash)
        return next(found, None)

    def peaks(self, size: int) -> tuple[bytes, ...]:
        return Frontier().extend(leaf_hash(x) for x in self.state.leaves[:size]).hashes

    def log_slice(self, start: int, limit: int) -> tuple[Entry, ...]:
        part = self.state.leaves[start : start + limit]
        return tuple(Entry(start + n, leaf) for n, leaf in enumerate(part))

    def put(self, record: R) -> R:
        key = (type(record), record.key())
        held, first_at = self.state.records.get(key, (None, self.now()))
        if (held.version if held else 0) != record.version:
            raise ConflictError(f"{record.key()} moved meanwhile")
        made = record.stored(record.version + 1)
        self.state.records[key] = (made, first_at)
        return made

    def remove(self, kind: type[R], key: str) -> None:
        self.state.records.pop((kind, key), None)

    def timestamp(self, origin: str, over: int) -> TimeStamp | None:
        held = sorted(key for key in self.state.stamps if key[0] == origin and key[1] > over)
        return self.state.stamps[held[0]] if held else None

    def newest_timestamp(self, origin: str) -> TimeStamp | None:
        held = sorted(key for key in self.state.stamps if key[0] == origin)
        return self.state.stamps[held[-1]] if held else None

    def keep_timestamp(self, stamp: TimeStamp) -> None:
        self.state.stamps.setdefault((stamp.origin, stamp.size), stamp)

    def cosign(self, cosignature: Cosignature) -> None:
        c = cosignature
        self.state.cosignatures[c.origin, c.name, c.size] = c.line

    def append(self, stream: str, event: AnyEvent) -> None:
        end = self.state.ends.get(stream)
        waits = any(made.stream == stream and made.closes for made in self.state.spool)
        if waits or (end is not None and end.is_closed):
            raise ConflictError(f"{stream} is closed: no event can be added to it")
        self.state.spool.append(log.draft(stream, event, self.now()))

    def signal(self, text: str) -> None:
        self.signals.append(text)

    def _node(self, level: int, index: int) -> bytes:
        first = index << level
        return subtree_root([leaf_hash(x) for x in self.state.leaves[first : first + (1 << level)]])


class MemoryStore:
    """Implements ``ports.stores.Store``.

    Attributes:
        state: What is "on disk"; tests may change it as an insider would.
        log_down: The log cannot be signed.
        dead: The store does not answer.
        before, after: Hooks that run before and after each commit; they may raise.
    """

    def __init__(self, *, signer: LogSigner, clock: Clock, origin: str, installation: str) -> None:
        self.state = State()
        self.log_down = False
        self.dead = False
        self.before: Callable[[], None] = _nothing
        self.after: Callable[[], None] = _nothing
        self._listeners: list[Callable[[str], None]] = []
        self._signer = signer
        self._clock = clock
        self._origin = origin
        self._installation = installation

    async def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        urgent: bool = False,
        compares: Sequence[RecordName] = (),
    ) -> T:
        self._must_live()
        if not urgent and not await self.log_works():
            raise LogUnavailableError("the log cannot be signed now")
        view = MemoryView(self.state.clone(), self._clock.now())
        result = work(view)
        self.before()
        view.state.high_water = view.now()
        if not self.log_down:
            self._number(view.state)
        self.state = view.state
        for text in view.signals:
            for hear in self._listeners:
                hear(text)
        self.after()
        return result

    def listen(self, hear: Callable[[str], None]) -> None:
        self._listeners.append(hear)

    async def read(self, work: Callable[[View], T]) -> T:
        self._must_live()
        return work(MemoryView(self.state.clone(), self._clock.now()))

    async def log_works(self) -> bool:
        return not self.log_down

    async def merge_spool(self) -> int:
        self._must_live()
        if not self.log_down and self.state.spool:
            self._number(self.state)
        return len(self.state.spool)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _must_live(self) -> None:
        if self.dead:
            raise StoreUnavailableError("the store does not answer")

    def _number(self, state: State) -> None:
        if not state.spool:
            return
        frontier = Frontier().extend(leaf_hash(x) for x in state.leaves)
        head = log.Head(self._origin, self._installation, frontier)
        head, made = log.number(head, state.spool, state.ends.get)
        for entry in made:
            state.leaves.append(entry.leaf)
            state.streams.setdefault(entry.stream, []).append(entry.index)
            state.ends[entry.stream] = entry.end
            if entry.private:
                held = {name: (p.salt, p.value) for name, p in entry.private.items()}
                state.personal[entry.index] = held
        state.spool.clear()
        state.note = self._signer.sign(head.checkpoint().format())
        state.notes[head.origin, head.size] = state.note


def _hash(leaf: bytes) -> bytes:
    return leaf_hash(leaf)


def _nothing() -> None:
    """No hook."""
