"""Signals, read from the verified log: nothing is told that the log's key did not sign.

A slice of entries is believed when the tree before it, grown by it, is one that the newest signed
checkpoint goes on from. What else of an activation is needed is believed by the chain of hashes
that leads back from an entry in that slice to the activation's first one. So a step costs what is
new and the activation's own entries, however long the log is.
"""

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.entry import Entry as Parsed
from callpoint.audit.entry import EntryError, entry_hash, parse_entry, parse_time
from callpoint.audit.merkle import ProofError, leaf_hash, verify_consistency, verify_inclusion
from callpoint.audit.origin import generation
from callpoint.domain import event as ev
from callpoint.domain.errors import NotFoundError, TamperError
from callpoint.domain.event import AnyEvent
from callpoint.domain.governance import Installation
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.outbox import Outbox, Pending
from callpoint.domain.signal import CONTEXT, TOLD, Signal, signal_of
from callpoint.domain.signal_stream import SignalStream
from callpoint.domain.untrusted_json import read_json
from callpoint.lifecycle.proof import newest_checkpoint, tree_before
from callpoint.ports.stores import Entry, View

SLICE = 2048
"""Entries that are looked at in one reading."""

_NEEDLES = tuple(f'"type":"{name}"'.encode() for name in sorted(TOLD))
_KIND = "activation:"


class _Link(msgspec.Struct, frozen=True):
    """What of an entry makes it a link of its stream's chain; its hash vouches for the rest."""

    type: str
    seq: int
    prev: str | None


class Slice(msgspec.Struct, frozen=True):
    """What a reading found.

    Attributes:
        start: The first entry that was looked at.
        end: The first that was not.
        found: Signals that the stream gets, oldest first.
        is_all: Nothing more was in the log.
    """

    start: int
    end: int
    found: tuple[Pending, ...]
    is_all: bool


class Whole(msgspec.Struct, frozen=True):
    """One reading of the log: its newest checkpoint is verified once, however much is read."""

    view: View
    installation: Installation
    newest: Checkpoint


def whole(view: View, installation: Installation) -> Whole:
    """The log as this view shows it.

    Raises:
        TamperError: Its checkpoint is not signed by the log's key.
    """
    return Whole(view, installation, newest_checkpoint(view, installation))


def placed(log: Whole, outbox: Outbox) -> Outbox:
    """The same outbox at a place in today's log.

    After a recovery the log goes on under another origin with those entries that were not lost.
    Rows say where; one that was changed by hand moves the place back, which repeats signals, or
    not, which an insider could do to the outbox as well.
    """
    newest, base = log.newest, log.installation.origin
    if outbox.origin == newest.origin and outbox.position <= newest.size:
        return outbox
    times = generation(base, newest.origin) - generation(base, outbox.origin)
    kept = _kept(log.view)[-times:] if times > 0 else []
    return outbox.moved(newest.origin, min((newest.size, *kept)))


def opened(log: Whole, stream: SignalStream) -> Outbox:
    """The outbox of a stream that has none: it begins where the rules that name it were published.

    Nothing is missed then, however late the first worker comes.
    """
    newest = log.newest
    published = [
        entry.index
        for entry in log.view.entries(INSTALLATION_STREAM)
        if b'"type":"bundle:published"' in entry.leaf
    ]
    start = min(published[-1] if published else newest.size, newest.size)
    return Outbox(stream=stream.id, origin=newest.origin, position=start)


def read_on(log: Whole, outbox: Outbox, stream: SignalStream, most: int = SLICE) -> Slice:
    """The next entries, verified, and the signals among them for which the outbox has room.

    Args:
        log: Of the installation.
        outbox: Where the stream stands.
        stream: Whose signals.
        most: Entries that are looked at.

    Raises:
        TamperError: The entries are not those that were signed.
    """
    start = outbox.position
    entries = _verified_slice(log, start, most)
    found: list[Pending] = []
    end = start
    for entry in entries:
        signal = _signal(log, entry)
        if signal is not None and signal.kind in stream.events:
            if len(found) == outbox.room:
                break
            found.append(Pending(entry.index, token_id(entry, stream), signal.at))
        end = entry.index + 1
    return Slice(start, end, tuple(found), is_all=end == log.newest.size)


def read_one(log: Whole, index: int) -> tuple[Entry, Signal]:
    """The signal that the entry of that index is, proven to be under the newest checkpoint.

    Raises:
        TamperError: It is not the entry that was signed, or it is no signal.
    """
    newest = log.newest
    try:
        (entry,) = log.view.log_slice(index, 1)
        proof = log.view.inclusion(index, newest.size)
        verify_inclusion(leaf_hash(entry.leaf), index, newest.size, proof, newest.root)
    except (ValueError, NotFoundError) as error:  # ProofError is a ValueError
        raise TamperError(f"entry {index} is not in the signed log: {error}") from error
    signal = _signal(log, entry)
    if signal is None:
        raise TamperError(f"entry {index} is no signal, and an outbox says that it is")
    return entry, signal


def token_id(entry: Entry, stream: SignalStream) -> str:
    """``jti``: the entry's leaf hash, by which anybody finds the evidence, and the stream."""
    return f"{entry_hash(entry.leaf)}.{stream.id}"


def _verified_slice(log: Whole, start: int, most: int) -> tuple[Entry, ...]:
    view, newest = log.view, log.newest
    end = min(start + most, newest.size)
    if start >= end:
        return ()
    entries = view.log_slice(start, end - start)
    if [entry.index for entry in entries] != list(range(start, end)):
        raise TamperError(f"the log has a hole between entries {start} and {end - 1}")
    try:
        grown = tree_before(view, start).extend(leaf_hash(entry.leaf) for entry in entries)
        proof = view.consistency(end, newest.size)
        verify_consistency(end, newest.size, proof, grown.root(), newest.root)
    except (ProofError, NotFoundError) as error:
        raise TamperError(
            f"entries {start} to {end - 1} are not those that were signed",
            way_out="run `callpoint verify log` and keep the database as it is",
        ) from error
    return entries


def _signal(log: Whole, entry: Entry) -> Signal | None:
    """What a believed entry says; None when it is nothing to tell."""
    if not any(needle in entry.leaf for needle in _NEEDLES):
        return None  # an entry has one spelling
    parsed = _parsed(entry)
    if parsed.type not in TOLD or not parsed.stream.startswith(_KIND):
        return None
    if parsed.installation != log.installation.id:
        raise TamperError(f"entry {entry.index} belongs to installation {parsed.installation}")
    history = [*_context(log.view, entry, parsed), parsed]
    return signal_of([(_event(one), parse_time(one.at)) for one in history])


def _context(view: View, entry: Entry, last: Parsed) -> list[Parsed]:
    """What is needed of the activation's entries before this one, first to last.

    Each is named by the hash in the next, so what is not needed need not be read: an activation
    with many uses has many entries.
    """
    found: list[Parsed] = []
    prev, seq = last.prev, last.seq
    for one in reversed([one for one in view.entries(last.stream) if one.index < entry.index]):
        link = _link(one)
        if (prev, seq) != (entry_hash(one.leaf), link.seq + 1):
            raise TamperError(f"entry {one.index} breaks the chain of {last.stream}")
        prev, seq = link.prev, link.seq
        if link.type in CONTEXT:
            found.append(_parsed(one))
    if prev is not None or seq != 0:
        raise TamperError(f"{last.stream} lacks entries before entry {entry.index}")
    return found[::-1]


def _link(entry: Entry) -> _Link:
    try:
        return read_json(entry.leaf, _Link)
    except msgspec.DecodeError as error:
        raise TamperError(f"entry {entry.index} does not parse") from error


def _kept(view: View) -> list[int]:
    """Of each recovery that the log names, how many entries were left."""
    entries = (
        _parsed(entry)
        for entry in view.entries(INSTALLATION_STREAM)
        if b'"type":"log:recovered"' in entry.leaf
    )
    events = [_event(one) for one in entries if one.type == "log:recovered"]
    return [event.kept_size for event in events if isinstance(event, ev.LogRecovered)]


def _parsed(entry: Entry) -> Parsed:
    try:
        return parse_entry(entry.leaf)
    except EntryError as error:
        raise TamperError(f"entry {entry.index} does not parse: {error}") from error


def _event(entry: Parsed) -> AnyEvent:
    try:
        return ev.parse(entry.type, entry.data)
    except ValueError as error:
        raise TamperError(f"an entry of {entry.stream} does not parse: {error}") from error
