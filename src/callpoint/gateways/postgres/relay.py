"""From the target to the client: headers are read, rows pass as they come.

Rows are counted without being held: whatever size a result has, a connection keeps no more of it
than came in one piece. When a deed has used its portion up the rest waits, and so does the target.
"""

import struct
from collections.abc import Callable
from typing import Protocol

from callpoint.domain.errors import TargetError
from callpoint.gateways.postgres import messages
from callpoint.gateways.postgres.frames import HEADER
from callpoint.gateways.postgres.link import Link
from callpoint.gateways.postgres.replies import Asked, Entry, Replies, confused
from callpoint.gateways.postgres.running import Running

_ROW, _COPY, _COLUMNS = ord("D"), ord("d"), ord("T")
_STREAMED = frozenset(b"DdTt")
_LARGEST_READ = 1024 * 1024
_READ = frozenset(b"123nsICEZGHcSNKA")
_ROWS = frozenset((_ROW, _COPY))
_ASIDE, _PARAMETER, _KEY = frozenset(b"NSKA"), ord("S"), ord("K")
_ERROR, _READY, _WANTS_ROWS = ord("E"), ord("Z"), ord("G")
_ENDS, _SUSPENDED, _OF_COPY = frozenset(b"CIs"), ord("s"), frozenset(b"Hc")
_ANSWERS = {
    ord("1"): Asked.PARSE, ord("2"): Asked.BIND, ord("3"): Asked.CLOSE, ord("n"): Asked.DESCRIBE,
}  # fmt: skip
_HEAD = struct.Struct("!BI")
_PINNED = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}


class Session(Protocol):
    """What happens because of an answer."""

    def answered(self, entry: Entry) -> None:
        """An entry worked."""

    def is_ready(self, entry: Entry) -> None:
        """A series has ended, and with it perhaps a transaction."""

    def ended(self, running: Running | None, code: str) -> None:
        """A deed has ended."""

    def wants_rows(self, frame: bytes) -> None:
        """The target waits for rows."""

    def spent(self, running: Running) -> None:
        """A deed has used its portion up: ``Relay.go_on`` or ``Relay.stop`` follows."""

    def broken(self, error: TargetError) -> None:
        """Nothing that follows can be attributed: cut."""


class Relay:
    """The way back of one session.

    Attributes:
        is_inside: The client has got a part of a message and waits for the rest.
        has_ended: The target has said its last words.
        changed: Called after answers.
    """

    def __init__(self, client: Link, server: Link, replies: Replies, session: Session) -> None:
        self.has_ended = False
        self.changed: Callable[[], None] = lambda: None
        self._client = client
        self._server = server
        self._replies = replies
        self._session = session
        self._rest = b""
        self._left = 0  # bytes of the message that passes now
        self._passes = True  # or is dropped
        self._held: Running | None = None
        self._stalled = False
        self._mutes = False
        self._code = ""
        self._out: list[bytes | memoryview] = []

    @property
    def is_inside(self) -> bool:
        """Whether the client waits for the rest of a message."""
        return self._left > 0 and self._passes

    def take(self, data: bytes) -> None:
        """Bytes came from the target."""
        if self._held is not None:
            self._rest += data
            return
        data = self._rest + data if self._rest else data
        self._rest = b""
        try:
            self._scan(data)
        except TargetError as error:
            self._session.broken(error)
            return
        if self._out:
            self._client.write(b"".join(self._out))
            self._out.clear()
        self.changed()

    def stall(self, is_stalled: bool) -> None:  # noqa: FBT001 -- asyncio's two callbacks, as one
        """The client does not read, or reads again."""
        self._stalled = is_stalled
        self._throttle()

    def go_on(self) -> None:
        """There is a further portion."""
        self._held = None
        self._throttle()
        self.take(b"")

    def stop(self, refusal: messages.Refusal) -> None:
        """There is none: the client is told, and gets nothing more of this series."""
        self._client.write(refusal.encoded())
        self._mutes = True
        if all(entry.asked is not Asked.SYNC for entry in self._replies) and (
            self._replies.head.asked is not Asked.QUERY
        ):
            self._replies.skips = True
        self.go_on()

    def _throttle(self) -> None:
        self._server.stop(self._stalled or self._held is not None)

    def _scan(self, data: bytes) -> None:
        """Find the ends of messages; what passes is sent in as few pieces as possible."""
        view, size, replies = memoryview(data), len(data), self._replies
        at = min(self._left, size)
        self._left -= at
        begin = 0 if self._passes else at
        while size - at >= HEADER:
            kind, length = _HEAD.unpack_from(data, at)
            end = at + 1 + length
            if kind in _STREAMED and not replies.is_own:
                if not self._streams(kind, end - at):
                    break
                if self._mutes:
                    self._keep(view[begin:at])
                    begin = min(end, size)
                self._passes = not self._mutes
                self._left = max(end - size, 0)
                at = min(end, size)
                continue
            if not self._is_readable(kind, end - at):
                raise confused()
            if size < end:
                break
            frame = data[at:end]
            answer = self._read(kind, frame)
            if answer is not frame:
                self._keep(view[begin:at])
                self._keep(answer)
                begin = end
            at = end
        self._keep(data if begin == 0 and at == size else view[begin:at])
        self._rest = data[at:]

    def _is_readable(self, kind: int, size: int) -> bool:
        is_known = kind in _READ or (kind == _ROW and self._replies.is_own)
        return is_known and HEADER <= size <= _LARGEST_READ

    def _streams(self, kind: int, size: int) -> bool:
        """Whether a message without an end of its own may pass now."""
        if size < HEADER:
            raise confused()
        if kind in _ROWS:
            return self._counts(size)
        self._described(kind)
        return True

    def _keep(self, part: bytes | memoryview) -> None:
        if len(part):
            self._out.append(part)

    def _counts(self, size: int) -> bool:
        """One more row; False if it must wait."""
        running = self._replies.expect(Asked.QUERY, Asked.EXECUTE).running
        if running is None:
            raise confused()
        if self._mutes:
            return True
        if running.rows >= running.row_limit or running.bytes >= running.byte_limit:
            self._held = running
            self._throttle()
            self._session.spent(running)
            return False
        running.rows += 1
        running.bytes += size
        return True

    def _described(self, kind: int) -> None:
        """The columns of a result, or the parameters of a statement, which columns follow."""
        if kind == _COLUMNS and self._replies.head.asked is Asked.DESCRIBE:
            self._replies.done(Asked.DESCRIBE)
        else:
            self._replies.expect(Asked.QUERY if kind == _COLUMNS else Asked.DESCRIBE)

    def _read(self, kind: int, frame: bytes) -> bytes:
        """What the client gets for one message: the same object if it passes as it is."""
        if kind == _READY:
            return self._ready(frame)
        if kind in _ASIDE:
            return self._aside(kind, frame)
        if kind == _ERROR:
            return self._error(frame)
        if self._replies.is_own:
            self._own(chr(kind), frame)
            return b""
        self._matched(kind, frame)
        return b"" if self._mutes else frame

    def _aside(self, kind: int, frame: bytes) -> bytes:
        """What comes at any time."""
        if kind == _KEY:
            raise confused()
        if kind == _PARAMETER:
            name, value = messages.parameter(frame)
            if _PINNED.get(name, value) != value:
                raise TargetError(
                    f"{name} of the session changed to a value in which texts mean something else",
                    way_out="leave the setting alone; connect again",
                )
        return frame

    def _matched(self, kind: int, frame: bytes) -> None:
        """Take an answer off the queue."""
        replies, session = self._replies, self._session
        if (asked := _ANSWERS.get(kind)) is not None:
            session.answered(replies.done(asked))
            return
        entry = replies.expect(Asked.QUERY, Asked.EXECUTE)
        if kind in _ENDS:
            if entry.asked is Asked.EXECUTE:
                replies.done(Asked.EXECUTE)
                if kind != _SUSPENDED:
                    session.ended(entry.running, "")
        elif kind == _WANTS_ROWS:
            session.wants_rows(frame)
        elif kind not in _OF_COPY:
            raise confused()

    def _own(self, letter: str, frame: bytes) -> None:
        """An answer to the gateway's own query."""
        head = self._replies.head
        match letter:
            case "D":
                head.rows.append(messages.row(frame))
            case "3":
                head.closed += 1
                if head.closed == 2:  # noqa: PLR2004 -- portal and statement
                    self._replies.done(Asked.OWN)
            case "1" | "2" | "C":
                pass
            case _:
                raise confused()

    def _error(self, frame: bytes) -> bytes:
        """An error: the target's own, or the one that a refusal takes the place of."""
        fields = messages.error_fields(frame)
        code = fields.get("C", "")
        if fields.get("V") in ("FATAL", "PANIC"):
            self.has_ended = True
            return frame
        entry = self._replies.failed(code)
        self._code = code
        if entry is None:
            return frame
        if entry.asked is Asked.OWN:
            entry.error = frame
        answer = frame if entry.refusal is None else entry.refusal.encoded()
        entry.refusal = None
        return b"" if self._mutes or entry.is_hidden else answer

    def _ready(self, frame: bytes) -> bytes:
        entry = self._replies.ready(chr(frame[HEADER]))
        if entry.refusal is not None:
            raise confused()
        self._session.ended(entry.running, self._code)
        self._code = ""
        self._mutes = False
        self._session.is_ready(entry)
        return b"" if entry.is_hidden else frame
