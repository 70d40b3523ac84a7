"""How far streams were proven by a process that is over, so that the next one goes on there.

A tree shows by its root that it is the one that was grown entry by entry, and each entry of a
stream names the hash of the one before it. So the root, and of each stream the number of entries
and the hash of the last, are all that has to be remembered; the rest is read from the database and
compared (docs/adr/0030-a-start-goes-on-where-a-proof-ended.md).
"""

from collections.abc import Mapping

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.merkle import Frontier
from callpoint.domain.errors import TamperError
from callpoint.domain.governance import Installation
from callpoint.lifecycle.proof import Chain, tree_before
from callpoint.ports.stores import View


class StreamMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stream as it is in a tree: how many entries, and the hash of the last (`entry_hash`)."""

    entries: int
    last: str


class Landmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Streams that are complete in one tree.

    Attributes:
        origin: Of the log; after a recovery it is another.
        size: Entries in the tree.
        root: Its root hash.
        streams: By name.
    """

    origin: str
    size: int
    root: bytes
    streams: dict[str, StreamMark]


class Landmarks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a process leaves to the next.

    Attributes:
        publications: Of every configuration since genesis.
        open: Of activations and incidents that were open.
    """

    publications: Landmark | None = None
    open: Landmark | None = None


def landmark_of(
    origin: str, tree: Frontier, chains: Mapping[str, Chain], installation: Installation
) -> Landmark:
    """Of a tree that was grown, and the streams that are complete in it.

    Raises:
        TamperError: The entries are no stream.
    """
    marks: dict[str, StreamMark] = {}
    for name, chain in chains.items():
        events = chain.events(installation)
        if chain.last is not None:
            marks[name] = StreamMark(len(events), chain.last)
    return Landmark(origin, tree.size, tree.root(), marks)


def resumed(
    view: View, checkpoint: Checkpoint, mark: Landmark, installation: Installation
) -> tuple[Frontier, dict[str, Chain]] | None:
    """Tree and streams as they were proven; None if the database does not have exactly these.

    Then everything is to be proven from its first entry, which also tells what is wrong.
    """
    if mark.origin != checkpoint.origin or not 0 < mark.size <= checkpoint.size:
        return None
    try:
        tree = tree_before(view, mark.size)
        if tree.root() != mark.root:
            return None
        chains = {name: _chain(view, name, mark.size) for name in mark.streams}
        found = landmark_of(mark.origin, tree, chains, installation)
    except TamperError:
        return None
    return (tree, chains) if found == mark else None


def _chain(view: View, stream: str, size: int) -> Chain:
    chain = Chain(stream)
    for entry in view.entries(stream):
        if entry.index < size:
            chain.add(entry)
    return chain
