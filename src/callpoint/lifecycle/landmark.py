"""How far a stream was proven by a process that is over, so that the next one goes on there.

A tree shows by its root that it is the one that was grown entry by entry, and each entry of a
stream names the hash of the one before it. So the root, the number of entries and the hash of the
last are all that has to be remembered; the rest is read from the database and compared
(docs/adr/0030-a-start-goes-on-where-a-proof-ended.md).
"""

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.merkle import Frontier
from callpoint.domain.errors import TamperError
from callpoint.domain.governance import Installation
from callpoint.lifecycle.proof import Chain, tree_before
from callpoint.ports.stores import View


class Landmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stream, complete in one tree.

    Attributes:
        origin: Of the log; after a recovery it is another.
        size: Entries in the tree.
        root: Its root hash.
        stream: The stream's name.
        entries: How many of the tree's entries are the stream's.
        last: Hash of the last of those (``audit.entry.entry_hash``).
    """

    origin: str
    size: int
    root: bytes
    stream: str
    entries: int
    last: str


def landmark_of(
    origin: str, tree: Frontier, stream: str, chain: Chain, installation: Installation
) -> Landmark | None:
    """Of a tree that was grown, and the stream's entries in it; None where it has none.

    Raises:
        TamperError: The entries are no stream.
    """
    events = chain.events(installation)
    if chain.last is None:
        return None
    return Landmark(origin, tree.size, tree.root(), stream, len(events), chain.last)


def resumed(
    view: View, checkpoint: Checkpoint, mark: Landmark, installation: Installation
) -> tuple[Frontier, Chain] | None:
    """Tree and stream as they were proven; None if the database does not have exactly these.

    Then everything is to be proven from its first entry, which also tells what is wrong.
    """
    if mark.origin != checkpoint.origin or not 0 < mark.size <= checkpoint.size:
        return None
    chain = Chain(mark.stream)
    try:
        tree = tree_before(view, mark.size)
        for entry in view.entries(mark.stream):
            if entry.index < mark.size:
                chain.add(entry)
        found = (tree.root(), len(chain.events(installation)), chain.last)
    except TamperError:
        return None
    return (tree, chain) if found == (mark.root, mark.entries, mark.last) else None
