"""What the target still owes: one entry for each message that it was sent, in order.

The target answers in order, so each answer belongs to the head of the queue. After an error in the
extended protocol it skips everything up to the next Sync, and so does the queue; that is all that
must be known to put a refusal in an answer's place (docs/adr/0021).
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from callpoint.domain.errors import TargetError
from callpoint.gateways.postgres.messages import Refusal
from callpoint.gateways.postgres.running import Running
from callpoint.gateways.postgres.sql.access import Binding


class Asked(Enum):
    """A message that is answered."""

    QUERY = "Q"
    PARSE = "P"
    BIND = "B"
    DESCRIBE = "D"
    EXECUTE = "E"
    CLOSE = "C"
    SYNC = "S"
    OWN = "own"
    """The gateway's own query, extended; its answers are not the client's."""


@dataclass(slots=True, eq=False)
class Entry:
    """One message that was sent.

    Attributes:
        asked: Which.
        name: The statement's or portal's.
        is_portal: Of a Close.
        text: A Parse's.
        types: Likewise.
        running: The deed of a Query, Bind or Execute.
        refusal: What the client is told in place of the target's error, which must come.
        bindings: Names that a Query's text gives statements to.
        is_hidden: The client does not know of it.
        rows: What an own query brought.
        error: The error that an own query brought.
        closed: How much of an own query is cleared away.
    """

    asked: Asked
    name: str = ""
    is_portal: bool = False
    text: str = ""
    types: tuple[int, ...] = ()
    running: Running | None = None
    refusal: Refusal | None = None
    bindings: tuple[Binding, ...] = ()
    is_hidden: bool = False
    rows: list[tuple[str | None, ...]] = field(default_factory=list)
    error: bytes = b""
    closed: int = 0


class Replies:
    """The queue.

    Attributes:
        skips: The target discards everything until it gets a Sync that was not sent yet.
        status: Of the last ReadyForQuery: ``I``, ``T`` or ``E``.
        is_ended: The last message that was sent ends a series (Sync, Query): nothing is open.
    """

    __slots__ = ("_over", "_queue", "is_ended", "skips", "status")

    def __init__(self, over: Callable[[Entry, str], None]) -> None:
        self.skips = False
        self.status = "I"
        self.is_ended = True
        self._over = over
        self._queue: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._queue)

    def sent(self, entry: Entry) -> Entry:
        """It is on its way."""
        self._queue.append(entry)
        self.is_ended = entry.asked is Asked.SYNC or (entry.asked is Asked.QUERY and self.is_ended)
        return entry

    @property
    def is_own(self) -> bool:
        """Whether the gateway's own query is answered now."""
        queue = self._queue
        return bool(queue) and queue[0].asked is Asked.OWN

    @property
    def head(self) -> Entry:
        """What is answered now.

        Raises:
            TargetError: Nothing was asked.
        """
        if not self._queue:
            raise confused()
        return self._queue[0]

    def expect(self, *asked: Asked) -> Entry:
        """The head, which must be one of these.

        Raises:
            TargetError: It is not: no answer can be attributed any more.
        """
        head = self.head
        if head.asked not in asked or head.refusal is not None:
            raise confused()
        return head

    def done(self, *asked: Asked) -> Entry:
        """As ``expect``; it is answered whole."""
        entry = self.expect(*asked)
        self._queue.popleft()
        return entry

    def failed(self, code: str) -> Entry | None:
        """The target sent an error; the entry that it is for, None if it is for none.

        Args:
            code: SQLSTATE, for what is skipped now.
        """
        if not self._queue:
            return None
        head = self._queue[0]
        if head.asked in (Asked.QUERY, Asked.SYNC):
            return head  # ReadyForQuery follows by itself
        while self._queue and self._queue[0].asked is not Asked.SYNC:
            self._over(self._queue.popleft(), code)
        self.skips = not self._queue
        return head

    def ready(self, status: str) -> Entry:
        """ReadyForQuery came: the head, a Query or Sync, is answered whole.

        Raises:
            TargetError: It belongs to neither.
        """
        head = self.head
        if head.asked not in (Asked.QUERY, Asked.SYNC):
            raise confused()
        self._queue.popleft()
        self.status = status
        return head

    def last(self, asked: Asked, name: str) -> tuple[Entry | None, bool]:
        """The newest unanswered message of a kind about a name.

        Returns:
            It, if what is sent next runs only if it worked: no Sync was sent in between. Else
            None, and whether there is one before a Sync, whose answer must be waited for.
        """
        is_same_series = True
        for entry in reversed(self._queue):
            if entry.asked is Asked.SYNC:
                is_same_series = False
            elif entry.asked is asked and entry.name == name:
                return (entry, False) if is_same_series else (None, True)
        return None, False


def confused() -> TargetError:
    """The end of a session in which answers cannot be told apart."""
    return TargetError(
        "the target gave an answer that nothing asked for",
        way_out="connect again; if it comes back, show this to whoever runs the gateway",
    )
