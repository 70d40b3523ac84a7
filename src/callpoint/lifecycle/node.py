"""What this node knows and holds for the time when the store does not answer (I13).

* The *picture*: every live lease with its undo plan, so that a kill can find and attribute them.
* The *tombstones*: kills that were ordered meanwhile. Until they are merged nothing is given here.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from callpoint.domain.activation import Activation
from callpoint.domain.errors import CallpointError, StoreUnavailableError, UnavailableError
from callpoint.domain.known import KnownLease
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.tombstone import Tombstone
from callpoint.lifecycle.ending import row_of
from callpoint.ports.identity import OrderJudge
from callpoint.ports.stores import Store, View, Where
from callpoint.ports.tombstones import PictureFile, TombstoneShelf, Waiting

_OPEN = (LeaseState.PLANNED, LeaseState.LIVE, LeaseState.ENDING)
MOST = 10_000
"""Leases that a node remembers. Of what is beyond, the targets themselves are asked."""


class Picture:
    """The live leases, in memory and, with a file, over restarts.

    Args:
        file: None for a process that keeps none (a test, a single command).
    """

    def __init__(self, file: PictureFile | None = None) -> None:
        self._file = file
        self._known = {k.plan.handle: (0, k) for k in (file.load() if file else ())}
        self._version = 0  # moves with every change; what is on the disk is of ``_written``
        self._written = 0
        self._failed: StoreUnavailableError | None = None
        self._gone: frozenset[str] = frozenset()
        self.is_cut = False

    def leases(self) -> tuple[KnownLease, ...]:
        """What is known now, oldest end first."""
        found = (known for _, known in self._known.values())
        return tuple(sorted(found, key=lambda k: (k.plan.not_after, k.plan.handle)))

    def is_gone(self, known: KnownLease) -> bool:
        """It was proven gone at its target while the store could not be told."""
        return known.plan.handle in self._gone

    def note_gone(self, handles: Iterable[str]) -> None:
        """They are, as far as this process has seen; the store's own proof is yet to come."""
        self._gone |= frozenset(handles)

    def must_be_kept(self) -> None:
        """Nothing is given that a kill without the store would not find again after a restart.

        Raises:
            StoreUnavailableError: The file could not be written last time.
        """
        if self._failed is not None:
            raise self._failed

    def add(self, leases: tuple[KnownLease, ...]) -> None:
        """Before the first call to a target. Raises StoreUnavailableError; known all the same."""
        self._version += 1
        for lease in leases:
            self._known[lease.plan.handle] = (self._version, lease)
        file = self._file
        if file is not None:
            self._try(lambda: file.add(leases))
            self.must_be_kept()

    async def follow(self, store: Store) -> None:
        """Bring it up to what the store holds, and to the disk.

        Raises:
            StoreUnavailableError: Either does not answer; what was known stays known.
        """
        mark = self._version
        found = await store.read(self._open_leases)
        self.is_cut = len(found) > MOST
        fresh = {lease.plan.handle: lease for lease in found[:MOST]}
        # What was added while the store was read is not in what it answered.
        later = {h: item for h, item in self._known.items() if item[0] > mark}
        if {h: k for h, (_, k) in self._known.items()} != fresh:
            self._version += 1
        self._known = {h: (0, lease) for h, lease in fresh.items()} | later
        self._gone &= self._known.keys()
        file = self._file
        if file is None or (self._written == self._version and self._failed is None):
            return
        version, kept = self._version, self.leases()
        await asyncio.to_thread(self._try, lambda: file.replace(kept))
        self.must_be_kept()
        self._written = version

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StoreUnavailableError as error:
            self._failed = error
        else:
            self._failed = None

    def _open_leases(self, view: View) -> list[KnownLease]:
        where = Where(states=_OPEN, limit=MOST + 1, skip_spoilt=True)
        return [self._known_of(view, lease) for lease in view.select(Lease, where)]

    def _known_of(self, view: View, lease: Lease) -> KnownLease:
        before = self._known.get(lease.id)
        if before is not None and before[1].plan == lease.plan:
            # Nothing else of it changes, so the activation is not read again.
            is_ending = lease.state is LeaseState.ENDING
            return msgspec.structs.replace(before[1], is_ending=is_ending)
        return known_of(lease, row_of(view, lease))


def known_of(lease: Lease, activation: Activation | None) -> KnownLease:
    """What is remembered of a lease; of a spoilt activation only what the lease itself tells."""
    request = activation.request if activation else None
    return KnownLease(
        plan=lease.plan,
        activation=lease.activation,
        principal=lease.principal,
        persons=request.persons if request else (),
        incident=request.incident if request else "",
        opens=request.opens if request else (f"{lease.plan.target}:{lease.plan.role}",),
        is_ending=lease.state is LeaseState.ENDING,
    )


class Tombstones:
    """Kills without the store that are not merged yet.

    Args:
        shelf: None for a process that keeps none.
    """

    def __init__(self, shelf: TombstoneShelf | None = None) -> None:
        self._shelf = shelf
        self._unwritten: dict[str, Tombstone] = {}
        self._settled: dict[str, frozenset[str]] = {}

    def hold(self, tombstone: Tombstone) -> None:
        """From now on nothing is given, whether or not it can be written down."""
        self._unwritten[tombstone.id] = tombstone

    def write(self) -> None:
        """Bring what is held to the disk. Blocks. Raises StoreUnavailableError."""
        if self._shelf is None:
            return
        for tombstone in tuple(self._unwritten.values()):
            self._shelf.put(tombstone)
            self._unwritten.pop(tombstone.id, None)

    def unmerged(self) -> tuple[Waiting, ...]:
        """What waits; also what another process left in the folder.

        Raises:
            StoreUnavailableError: It cannot be looked.
        """
        kept = self._shelf.waiting() if self._shelf is not None else ()
        held = {one.id: one for one in kept}
        # A copy: the store's thread asks while the loop's thread holds another one.
        for tombstone in tuple(self._unwritten.values()):
            held.setdefault(tombstone.id, Waiting(tombstone.id, tombstone))
        return tuple(held[key] for key in sorted(held))

    def is_clear(self) -> bool:
        """Whether none waits, as far as can be looked."""
        try:
            return not self.unmerged()
        except StoreUnavailableError:
            return False

    def refused(self) -> tuple[str, ...]:
        """Ids of those that were not believed and are kept as evidence."""
        return self._shelf.aside() if self._shelf is not None else ()

    def retire(self, key: str) -> None:
        """It was merged. Raises StoreUnavailableError."""
        if self._shelf is not None:
            self._shelf.retire(key)
        self._forget(key)

    def set_aside(self, key: str) -> None:
        """It was refused. Raises StoreUnavailableError."""
        if self._shelf is not None:
            self._shelf.set_aside(key)
        self._forget(key)

    def _forget(self, key: str) -> None:
        self._unwritten.pop(key, None)
        self._settled.pop(key, None)

    def settle(self, key: str, targets: Iterable[str]) -> None:
        """Nothing is left to do there for this order; a restart looks again."""
        self._settled[key] = self.settled(key) | frozenset(targets)

    def settled(self, key: str) -> frozenset[str]:
        """Targets where nothing is left to do for this order."""
        return self._settled.get(key, frozenset())

    def must_be_merged(self) -> None:
        """Nothing is issued or revealed while one waits (I13).

        Raises:
            UnavailableError: One does, or it cannot be looked.
        """
        waiting = self.unmerged()
        if not waiting:
            return
        raise UnavailableError(
            f"a kill that was ordered while the store was down is not merged yet"
            f" (tombstone {waiting[0].id}): nothing is issued or revealed before",
            way_out="the server merges it within seconds once the store works; see"
            " `callpoint status` and the page on a store that is down",
        )


@dataclass(frozen=True)
class Node:
    """This node's own memory.

    Attributes:
        judge: Judges orders that were received without the store; None where none is received.
    """

    picture: Picture = field(default_factory=Picture)
    tombstones: Tombstones = field(default_factory=Tombstones)
    judge: OrderJudge | None = None


def must_be_able_to_take_away(node: Node) -> None:
    """Before anything is given: no kill waits, and this access would be found again.

    Raises:
        UnavailableError: One does, or it would not.
    """
    node.tombstones.must_be_merged()
    node.picture.must_be_kept()


def trouble(node: Node) -> tuple[str, ...]:
    """What a person should know of it, one line each."""
    lines: list[str] = []
    for check in (node.tombstones.must_be_merged, node.picture.must_be_kept):
        try:
            check()
        except CallpointError as error:
            lines.append(str(error))
    try:
        refused = node.tombstones.refused()
    except CallpointError as error:
        return (*lines, str(error))
    lines += [
        f"tombstone {key} was refused: somebody left an order here that nobody signed"
        " (look at it in tombstones/refused, then remove it)"
        for key in refused
    ]
    return tuple(lines)
