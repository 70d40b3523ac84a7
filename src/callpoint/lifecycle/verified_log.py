"""What this process has verified of the log, so that only what is new is verified again.

``proof.proven`` grows the tree from a stream's first entry to the newest one, each time. Here the
tree stays grown: every entry since a first moment was hashed, in order, under a root that the log's
key signed, and the open activations' and incidents' entries are at hand. A step then costs what was
logged since the step before, however long the log and however old the incident is.

Nothing more is taken from rows than ``proven`` takes: streams are told apart by what the leaves
say, and the database only says where a stream begins that is not at hand. Each process has its own
(``docs/adr/0001-state-is-the-fold-of-events.md``).
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from threading import Lock

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.entry import CLOSING_KEY
from callpoint.audit.merkle import Frontier
from callpoint.domain.errors import LogUnavailableError, TamperError
from callpoint.domain.governance import Installation
from callpoint.domain.untrusted_json import read_json
from callpoint.lifecycle.landmark import Landmark, landmark_of, resumed
from callpoint.lifecycle.proof import (
    Chain,
    Proven,
    checkpoint_line,
    grown,
    must_be_ours,
    newest_checkpoint,
    proven,
    tree_before,
)
from callpoint.ports.stores import Entry, View

STREAMS_KEPT = 20_000
"""Bounds memory; a stream beyond them is proven from its first entry each time."""

_POSITIONS_KEPT = 256
_LINES_KEPT = 1024
_KINDS = ("activation:", "incident:")


class _Place(msgspec.Struct, frozen=True):
    """Where an entry belongs. All of it is checked when its stream is asked for."""

    stream: str
    seq: int
    data: dict[str, msgspec.Raw]


_Noted = tuple[_Place, Entry]


class _Held:
    """The entries of one stream since the first moment; whole when ``first`` is its number 0.

    Of a closed stream only its name is kept, so that an entry after its end is noticed.
    """

    def __init__(self, stream: str, first: int, chain: Chain | None = None) -> None:
        self.chain: Chain | None = Chain(stream) if chain is None else chain
        self.first = first
        self.goes_on = False

    def add(self, entry: Entry, *, is_last: bool) -> None:
        if self.chain is None:
            self.goes_on = True
        elif is_last:
            self.chain = None
        else:
            self.chain.add(entry)


class VerifiedLog:
    """Answers as ``proof.proven`` does, to any number of threads.

    Args:
        kinds: Beginnings of the names of the streams that are kept at hand.
        keep: Streams at hand at a time; of more, those are put aside that were touched longest ago.
        landmark: Where an earlier process ended.
    """

    def __init__(
        self,
        kinds: tuple[str, ...] = _KINDS,
        *,
        keep: int = STREAMS_KEPT,
        landmark: Landmark | None = None,
    ) -> None:
        self._kinds = kinds
        self._needles = tuple(f'"stream":"{kind}'.encode() for kind in kinds)
        self._keep_streams = keep
        self._lock = Lock()
        self._lines: OrderedDict[str, None] = OrderedDict()
        self._newest: tuple[str, Checkpoint] | None = None
        self._landmark = landmark
        self._forget("")

    def checkpoint(self, view: View, installation: Installation) -> Checkpoint:
        """The newest one, verified, and remembered as this log's. Errors as there."""
        with self._lock:
            found = self._verified(view, installation)
            self._lines[checkpoint_line(found)] = None
            if len(self._lines) > _LINES_KEPT:
                self._lines.popitem(last=False)
        return found

    def must_be_ours(self, view: View, installation: Installation, line: str) -> None:
        """As ``proof.must_be_ours``; one that was seen signed is known already."""
        with self._lock:
            self._verified(view, installation)
            if line in self._lines:
                return
        must_be_ours(view, installation, line)

    def proven(
        self, view: View, installation: Installation, streams: Iterable[str]
    ) -> dict[str, tuple[Proven, ...]]:
        """Every event of ``streams``, proven complete from the first entry on.

        Raises:
            TamperError: An entry was changed, removed, inserted or reordered, or does not parse.
            LogUnavailableError: A stream has events that are not numbered yet.
        """
        wanted = tuple(dict.fromkeys(streams))
        for stream in wanted:
            if view.unnumbered(stream):
                raise LogUnavailableError(f"{stream} has entries that wait for the log")
        with self._lock:
            checkpoint = self._verified(view, installation)
            self._resume(view, checkpoint, installation)
            self._reach_back(view, checkpoint, wanted)
            if self._catch_up(view, checkpoint):
                found = {s: self._read(view, s, checkpoint.size, installation) for s in wanted}
                whole = {s: events for s, events in found.items() if events is not None}
                if len(whole) == len(wanted):
                    return whole
        # Closed, put aside, or a view of long ago: from the first entry, for this once.
        return proven(view, installation, wanted)

    def landmark(self, view: View, installation: Installation) -> Landmark | None:
        """How far the streams at hand are proven, for a later process; None while there are none.

        Raises:
            TamperError, LogUnavailableError: As ``proven``.
        """
        with self._lock:
            checkpoint = self._verified(view, installation)
            self._resume(view, checkpoint, installation)
            if not self._trees or not self._catch_up(view, checkpoint):
                return None
            held = self._streams.items()
            whole = {
                name: one.chain for name, one in held if one.chain is not None and not one.first
            }
            return landmark_of(self._origin, self._trees[-1], whole, installation)

    def _forget(self, origin: str) -> None:
        self._origin = origin
        self._since = 0
        self._trees: deque[Frontier] = deque(maxlen=_POSITIONS_KEPT)
        self._streams: OrderedDict[str, _Held] = OrderedDict()
        self._lines.clear()

    def _verified(self, view: View, installation: Installation) -> Checkpoint:
        text = view.checkpoint()
        if self._newest is None or self._newest[0] != text:
            self._newest = (text, newest_checkpoint(view, installation))
        found = self._newest[1]
        if found.origin != self._origin:
            # After a recovery, what was verified here may be lost: everything begins anew.
            self._forget(found.origin)
        return found

    def _resume(self, view: View, checkpoint: Checkpoint, installation: Installation) -> None:
        """Begin where an earlier process ended: once, before anything else."""
        mark, self._landmark = self._landmark, None
        if mark is None or self._trees:
            return
        found = resumed(view, checkpoint, mark, installation)
        if found is not None:
            tree, chains = found
            self._streams.update((name, _Held(name, 0, chain)) for name, chain in chains.items())
            self._since = mark.size
            self._trees.append(tree)

    def _reach_back(self, view: View, checkpoint: Checkpoint, wanted: Iterable[str]) -> None:
        """Begin anew where a wanted stream began before everything that is at hand."""
        missing = [s for s in wanted if not self._is_at_hand(s)]
        firsts = [entries[0].index for s in missing if (entries := view.entries(s))]
        start = min(firsts, default=checkpoint.size)
        if self._trees and start >= self._since:
            return
        fresh: list[_Noted] = []
        before = tree_before(view, start)
        tree = grown(view, before, checkpoint, lambda entry: fresh.extend(self._noted(entry)))
        self._since = start
        self._trees.clear()
        self._streams.clear()
        self._keep(tree, fresh)

    def _catch_up(self, view: View, checkpoint: Checkpoint) -> bool:
        """Verify up to the view's checkpoint; False when the view is older than we remember.

        Views of several readers come in any order, so one may be older than what is at hand.
        """
        known = next((t for t in reversed(self._trees) if t.size <= checkpoint.size), None)
        if known is None:
            return False
        fresh: list[_Noted] = []
        tree = grown(view, known, checkpoint, lambda entry: fresh.extend(self._noted(entry)))
        if tree.size > self._trees[-1].size:
            self._keep(tree, fresh)
        return True

    def _keep(self, tree: Frontier, fresh: Iterable[_Noted]) -> None:
        """Take over what is verified; nothing in it fails, so nothing is taken over by half."""
        for place, entry in fresh:
            held = self._streams.get(place.stream)
            if held is None:
                held = self._streams[place.stream] = _Held(place.stream, place.seq)
            held.add(entry, is_last=CLOSING_KEY in place.data)
            self._streams.move_to_end(place.stream)
            if len(self._streams) > self._keep_streams:
                self._streams.popitem(last=False)
        self._trees.append(tree)

    def _is_at_hand(self, stream: str) -> bool:
        held = self._streams.get(stream)
        return held is not None and held.first == 0 and held.chain is not None

    def _read(
        self, view: View, stream: str, size: int, installation: Installation
    ) -> tuple[Proven, ...] | None:
        """Its events below ``size``; None when they are not all at hand."""
        held = self._streams.get(stream)
        if held is None:
            return None if view.entries(stream) else ()
        if held.goes_on:
            raise TamperError(f"{stream} has entries after its end")
        if held.chain is None or held.first:
            return None
        self._streams.move_to_end(stream)
        return tuple(item for item in held.chain.events(installation) if item.index < size)

    def _noted(self, entry: Entry) -> tuple[_Noted, ...]:
        """The entry if its stream is one that is kept."""
        if not any(needle in entry.leaf for needle in self._needles):
            return ()  # an entry has one spelling, so it is of another stream
        try:
            place = read_json(entry.leaf, _Place)
        except msgspec.DecodeError as error:
            raise TamperError(f"entry {entry.index} does not parse") from error
        return ((place, entry),) if place.stream.startswith(self._kinds) else ()
