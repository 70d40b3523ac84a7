"""The chains that streams form: sequence numbers and previous hashes, and what breaks in them.

A broken chain is worth more than a wrong root because it says *where*. Each rule below names the
smallest change that explains what is seen.
"""

from dataclasses import dataclass, field

from callpoint.audit.entry import CLOSING_KEY, Entry
from callpoint.audit.verify.report import MAX_FINDINGS, Code, Findings


@dataclass(frozen=True, slots=True)
class Link:
    """One entry's place in its stream."""

    index: int
    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers ``[first, end)`` that are missing between two log indices."""

    first: int
    end: int
    after: int
    before: int


@dataclass(slots=True)
class Stream:
    """What is known of one stream so far.

    Attributes:
        last: The newest entry in order.
        suspect: Two neighbours whose link is broken, until the next entry shows which was changed.
        twin: A second entry with the newest one's number, until the next shows which is the true.
        gaps: Numbers not seen yet.
        closed: Whether an entry stated the stream's length.
    """

    last: Link | None = None
    suspect: tuple[Link, Link] | None = None
    twin: Link | None = None
    gaps: list[Gap] = field(default_factory=list)
    closed: bool = False


class Chains:
    """Follows every stream through the entries of a log or of a bundle, in the order given."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._streams: dict[str, Stream] = {}
        self._unreadable: list[int] = []

    def add(self, index: int, digest: str, entry: Entry) -> None:
        """Take the next entry; `digest` is its leaf hash in hexadecimal."""
        stream = self._streams.setdefault(entry.stream, Stream())
        link = Link(index, entry.seq, digest)
        expected = 0 if stream.last is None else stream.last.seq + 1
        if entry.seq < expected:
            self._add_late(stream, link, entry)
            return
        if stream.closed:
            message = f"stream {entry.stream} was closed before this entry"
            self._findings.add(Code.ENTRY_AFTER_CLOSE, message, index)
        if entry.seq > expected:
            after = -1 if stream.last is None else stream.last.index
            self._add_gap(stream, entry.stream, Gap(expected, entry.seq, after, index))
            self._settle(stream)
        elif stream.last is not None:
            self._follow(stream, stream.last, link, entry)
        stream.last = link
        self._check_length(stream, link, entry)

    def add_unreadable(self, index: int) -> None:
        """Take an entry that cannot be read: it may be what is missing in some stream."""
        if len(self._unreadable) < MAX_FINDINGS:
            self._unreadable.append(index)

    def finish(self) -> None:
        """Report what only the end shows: numbers that never came, and undecided suspicions."""
        for name, stream in self._streams.items():
            self._settle(stream)
            for gap in stream.gaps:
                self._report_gap(name, gap)

    def heads(self) -> list[int]:
        """The indices of the entries that no later one vouches for."""
        return [s.last.index for s in self._streams.values() if s.last is not None]

    def open_streams(self) -> int:
        """How many streams have no closing event."""
        return sum(not stream.closed for stream in self._streams.values())

    def _add_gap(self, stream: Stream, name: str, gap: Gap) -> None:
        # A hostile log could have a gap at every entry: what is kept, and searched, is bounded.
        if len(stream.gaps) < MAX_FINDINGS:
            stream.gaps.append(gap)
        else:
            self._report_gap(name, gap)

    def _follow(self, stream: Stream, last: Link, link: Link, entry: Entry) -> None:
        """Compare the link from `last` to the entry that comes next in number."""
        if stream.twin is not None:
            if entry.prev == stream.twin.digest:
                self._report_twin(last, entry.stream)
                stream.twin = stream.suspect = None
                return
            self._report_twin(stream.twin, entry.stream)
            stream.twin = None
        holds = entry.prev == last.digest
        if stream.suspect is not None:
            before, after = stream.suspect
            stream.suspect = None
            # The middle entry's own hash decides: if its successor vouches for it, the one before
            # it was changed; if not, one change to the middle entry explains both broken links.
            changed = before if holds else after
            message = f"seq {changed.seq} of stream {entry.stream} is not what its neighbours say"
            self._findings.add(Code.ENTRY_ALTERED, message, changed.index)
        elif not holds:
            stream.suspect = (last, link)

    def _add_late(self, stream: Stream, link: Link, entry: Entry) -> None:
        """An entry whose number was passed already: it came late, or is one too many."""
        for position, gap in enumerate(stream.gaps):
            if gap.first <= link.seq < gap.end:
                parts = (
                    Gap(gap.first, link.seq, gap.after, gap.before),
                    Gap(link.seq + 1, gap.end, gap.after, gap.before),
                )
                stream.gaps[position : position + 1] = [p for p in parts if p.first < p.end]
                message = f"seq {link.seq} of stream {entry.stream} stands behind its successor"
                self._findings.add(Code.ENTRY_REORDERED, message, link.index)
                return
        if stream.twin is None and stream.last is not None and link.seq == stream.last.seq:
            stream.twin = link
            return
        self._report_twin(link, entry.stream)

    def _report_twin(self, link: Link, name: str) -> None:
        message = f"stream {name} has a second entry with seq {link.seq}"
        self._findings.add(Code.ENTRY_INSERTED, message, link.index)

    def _settle(self, stream: Stream) -> None:
        """Report what no later entry will decide."""
        if stream.twin is not None:
            message = f"this entry, or the one before it with the same seq {stream.twin.seq}"
            self._findings.add(Code.ENTRY_INSERTED, message, stream.twin.index)
        if stream.suspect is not None:
            before, after = stream.suspect
            message = f"this entry, or the link to it in entry {after.index}, was changed"
            self._findings.add(Code.ENTRY_ALTERED, message, before.index)
        stream.twin = stream.suspect = None

    def _report_gap(self, name: str, gap: Gap) -> None:
        inside = [i for i in self._unreadable if gap.after < i < gap.before]
        if len(inside) >= gap.end - gap.first:
            # An unreadable entry is reported as such, and is the simplest reason for the gap.
            for index in inside[: gap.end - gap.first]:
                self._unreadable.remove(index)
            return
        numbers = (
            f"seq {gap.first}"
            if gap.end == gap.first + 1
            else (f"seq {gap.first} to {gap.end - 1}")
        )
        message = f"{numbers} of stream {name} is missing before this entry"
        self._findings.add(Code.ENTRY_REMOVED, message, gap.before)

    def _check_length(self, stream: Stream, link: Link, entry: Entry) -> None:
        if not entry.is_closing:
            return
        stream.closed = True
        length = entry.data[CLOSING_KEY]
        if type(length) is not int or length != link.seq + 1:
            message = f"stream {entry.stream} closes at seq {link.seq} but states another length"
            self._findings.add(Code.STREAM_LENGTH_WRONG, message, link.index)
