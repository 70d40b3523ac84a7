"""Reading state back from the log instead of believing rows (I9, "issue trusts no state row").

A stream is *proven* when the tree that is grown from its first entry to the newest one has exactly
the root that the log's key signed. Then no entry of the stream since then can be missing, changed,
added or reordered, whoever can write to the database.
"""

import base64
import re
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from callpoint.audit.checkpoint import Checkpoint, CheckpointError, parse_checkpoint
from callpoint.audit.entry import EntryError, entry_hash, parse_entry, parse_time
from callpoint.audit.merkle import Frontier, ProofError, leaf_hash
from callpoint.audit.note import NoteError, Verifier, parse_note, verify_note
from callpoint.audit.origin import generation
from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, fold
from callpoint.domain.errors import DeniedError, LogUnavailableError, TamperError
from callpoint.domain.event import AnyEvent
from callpoint.domain.governance import Installation
from callpoint.domain.untrusted import printable
from callpoint.ports.stores import Entry, View

_SLICE = 4096
_SIZE = re.compile(r"[1-9][0-9]{0,15}")
_LINE_WORDS = 2


class Proven(msgspec.Struct, frozen=True):
    """One event that the log vouches for."""

    event: AnyEvent
    at: datetime
    index: int


def newest_checkpoint(view: View, installation: Installation) -> Checkpoint:
    """The newest checkpoint, its signature checked against the pinned log key.

    Raises:
        LogUnavailableError: There is none yet.
        TamperError: It is not signed by the log's key, or has another origin.
    """
    text = view.checkpoint()
    if not text:
        raise LogUnavailableError("the log has no checkpoint yet", way_out="run `callpoint init`")
    try:
        signed = parse_note(text.encode())
        verify_note(signed, [Verifier.parse(installation.log_key)])
        checkpoint = parse_checkpoint(signed.text)
    except (NoteError, CheckpointError) as error:
        raise TamperError(f"the newest checkpoint does not verify: {error}") from error
    if not generation(installation.origin, checkpoint.origin):
        raise TamperError(f"the newest checkpoint is of another log: {checkpoint.origin}")
    return checkpoint


def checkpoint_line(checkpoint: Checkpoint) -> str:
    """``<size> <root hash, base64>``: how a checkpoint is named inside statements."""
    return f"{checkpoint.size} {base64.b64encode(checkpoint.root).decode()}"


def must_be_ours(view: View, installation: Installation, line: str) -> None:
    """A checkpoint that somebody says to have seen is one of this very log's.

    Raises:
        DeniedError: It is not: they looked at another log, or somebody showed them another.
    """
    words = line.split(" ")
    size = int(words[0]) if _SIZE.fullmatch(words[0]) else -1
    newest = newest_checkpoint(view, installation)
    if len(words) == _LINE_WORDS and 0 < size <= newest.size:
        root = tree_before(view, size).root()
        if line == checkpoint_line(Checkpoint(newest.origin, size, root)):
            return
    raise DeniedError(
        f"{printable(line)!r} is not a checkpoint of this log",
        way_out="fetch the evidence again; if it comes back, run `callpoint verify log`",
    )


def proven(
    view: View, installation: Installation, streams: Iterable[str]
) -> dict[str, tuple[Proven, ...]]:
    """Every event of ``streams``, proven complete from the first entry on.

    Raises:
        TamperError: An entry was changed, removed, inserted or reordered, or does not parse.
        LogUnavailableError: A stream has events that are not numbered yet.
    """
    wanted = set(streams)
    checkpoint = newest_checkpoint(view, installation)
    firsts = [entries[0].index for s in wanted if (entries := view.entries(s))]
    for stream in wanted:
        if view.unnumbered(stream):
            raise LogUnavailableError(f"{stream} has entries that wait for the log")
    start = min(firsts, default=checkpoint.size)
    found = _replay(view, checkpoint, start, wanted)
    return {stream: tuple(found[stream].events(installation)) for stream in wanted}


def must_agree(row: Activation, events: tuple[Proven, ...]) -> None:
    """An activation's row is exactly what its proven events say.

    Raises:
        TamperError: The row was changed by hand.
    """
    logged = fold((item.event, item.at) for item in events)
    if logged.request.digest() != logged.digest:
        raise TamperError(f"the request of {row.id} does not have the digest that it states")
    if msgspec.structs.replace(row, version=0) != logged:
        raise TamperError(
            f"activation {row.id} in the database is not the one in the log",
            way_out="somebody changed the database by hand; run `callpoint verify log`",
        )


def grown(
    view: View, tree: Frontier, checkpoint: Checkpoint, each: Callable[[Entry], None]
) -> Frontier:
    """Grow ``tree`` to the checkpoint's size, telling ``each`` entry; the root must be the signed.

    Then ``tree`` itself was a true one too, wherever it came from.

    Raises:
        TamperError: It is another root, or an entry is missing.
    """
    start = tree.size
    try:
        while tree.size < checkpoint.size:
            part = view.log_slice(tree.size, min(_SLICE, checkpoint.size - tree.size))
            if [e.index for e in part] != list(range(tree.size, tree.size + len(part))) or not part:
                raise TamperError(f"the log has a hole after entry {tree.size - 1}")
            tree = tree.extend(leaf_hash(entry.leaf) for entry in part)
            for entry in part:
                each(entry)
    except ProofError as error:
        raise TamperError(f"the log's tree does not add up: {error}") from error
    if tree.root() != checkpoint.root:
        raise TamperError(
            f"entries {start} to {checkpoint.size - 1} do not give the signed root hash",
            way_out="run `callpoint verify log` and keep the database as it is",
        )
    return tree


def tree_before(view: View, size: int) -> Frontier:
    """The tree of the first ``size`` entries as stored: to be believed once it is ``grown``.

    Raises:
        TamperError: What is stored is no tree.
    """
    try:
        return Frontier(size=size, hashes=view.peaks(size))
    except ProofError as error:
        raise TamperError(f"the log's tree does not add up: {error}") from error


class Chain:
    """The entries of one stream that are believed, parsed when somebody asks for them."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._unread: list[Entry] = []
        self._events: list[Proven] = []
        self._previous: str | None = None

    def add(self, entry: Entry) -> None:
        """The next one."""
        self._unread.append(entry)

    @property
    def last(self) -> str | None:
        """Hash of the last one that was read; None before the first."""
        return self._previous

    def events(self, installation: Installation) -> list[Proven]:
        """Typed, with dense numbers and an unbroken chain from the first on; else TamperError."""
        while self._unread:
            self._read(self._unread[0], installation)
            del self._unread[0]
        return self._events

    def _read(self, item: Entry, installation: Installation) -> None:
        index, leaf = item.index, item.leaf
        try:
            entry = parse_entry(leaf)
            if entry.stream != self._stream:
                return  # the needle stood inside another entry's data
            event = ev.parse(entry.type, entry.data)
            at = parse_time(entry.at)
        except (EntryError, ValueError) as error:
            raise TamperError(f"entry {index} of {self._stream} does not parse: {error}") from error
        if entry.installation != installation.id:
            raise TamperError(f"entry {index} belongs to installation {entry.installation}")
        if (entry.seq, entry.prev) != (len(self._events), self._previous):
            raise TamperError(f"entry {index} breaks the chain of {self._stream}")
        self._previous = entry_hash(leaf)
        self._events.append(Proven(event=event, at=at, index=index))


def _replay(view: View, checkpoint: Checkpoint, start: int, wanted: set[str]) -> dict[str, Chain]:
    """Grow the tree from ``start`` and keep the wanted leaves."""
    needles = {b'"stream":' + msgspec.json.encode(stream): stream for stream in wanted}
    found = {stream: Chain(stream) for stream in wanted}

    def keep(entry: Entry) -> None:
        for needle, stream in needles.items():
            if needle in entry.leaf:
                found[stream].add(entry)

    grown(view, tree_before(view, start), checkpoint, keep)
    return found
