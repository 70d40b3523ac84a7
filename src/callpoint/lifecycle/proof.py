"""Reading state back from the log instead of believing rows (I9, "issue trusts no state row").

A stream is *proven* when the tree that is grown from its first entry to the newest one has exactly
the root that the log's key signed. Then no entry of the stream since then can be missing, changed,
added or reordered, whoever can write to the database.
"""

import base64
import re
from collections.abc import Iterable
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
from callpoint.ports.stores import View

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
        try:
            root = Frontier(size=size, hashes=view.peaks(size)).root()
        except ProofError as error:
            raise TamperError(f"the log's tree does not add up: {error}") from error
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
    return {stream: _parse(stream, found[stream], installation) for stream in wanted}


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


def _replay(
    view: View, checkpoint: Checkpoint, start: int, wanted: set[str]
) -> dict[str, list[tuple[int, bytes]]]:
    """Grow the tree from ``start`` and keep the wanted leaves; the root must be the signed one."""
    needles = {b'"stream":' + msgspec.json.encode(stream): stream for stream in wanted}
    found: dict[str, list[tuple[int, bytes]]] = {stream: [] for stream in wanted}
    try:
        tree = Frontier(size=start, hashes=view.peaks(start))
        while tree.size < checkpoint.size:
            part = view.log_slice(tree.size, min(_SLICE, checkpoint.size - tree.size))
            if [e.index for e in part] != list(range(tree.size, tree.size + len(part))) or not part:
                raise TamperError(f"the log has a hole after entry {tree.size - 1}")
            tree = tree.extend(leaf_hash(entry.leaf) for entry in part)
            for entry in part:
                for needle, stream in needles.items():
                    if needle in entry.leaf:
                        found[stream].append((entry.index, entry.leaf))
    except ProofError as error:
        raise TamperError(f"the log's tree does not add up: {error}") from error
    if tree.root() != checkpoint.root:
        raise TamperError(
            f"entries {start} to {checkpoint.size - 1} do not give the signed root hash",
            way_out="run `callpoint verify log` and keep the database as it is",
        )
    return found


def _parse(
    stream: str, leaves: list[tuple[int, bytes]], installation: Installation
) -> tuple[Proven, ...]:
    """Typed events of one stream, with dense numbers and an unbroken chain."""
    result: list[Proven] = []
    previous: str | None = None
    for index, leaf in leaves:
        try:
            entry = parse_entry(leaf)
            if entry.stream != stream:
                continue  # the needle stood inside another entry's data
            event = ev.parse(entry.type, entry.data)
            at = parse_time(entry.at)
        except (EntryError, ValueError) as error:
            raise TamperError(f"entry {index} of {stream} does not parse: {error}") from error
        if entry.installation != installation.id:
            raise TamperError(f"entry {index} belongs to installation {entry.installation}")
        if (entry.seq, entry.prev) != (len(result), previous):
            raise TamperError(f"entry {index} breaks the chain of {stream}")
        previous = entry_hash(leaf)
        result.append(Proven(event=event, at=at, index=index))
    return tuple(result)
