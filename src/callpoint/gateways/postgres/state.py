"""What both ways of a session share: names, portals, and what is on its way."""

import asyncio
from collections.abc import Callable

import structlog

from callpoint.domain.errors import DeniedError, TargetError
from callpoint.gateways.postgres import messages
from callpoint.gateways.postgres.deeds import Deeds, spent
from callpoint.gateways.postgres.frames import HEADER
from callpoint.gateways.postgres.link import GoneError, Link
from callpoint.gateways.postgres.messages import Refusal
from callpoint.gateways.postgres.relay import Relay
from callpoint.gateways.postgres.replies import Asked, Entry, Replies
from callpoint.gateways.postgres.row_counter import RowCounter
from callpoint.gateways.postgres.running import Running
from callpoint.gateways.postgres.session_facts import SessionFacts
from callpoint.gateways.postgres.settings import Limits
from callpoint.gateways.postgres.sql.access import Binding, BindingKind
from callpoint.gateways.postgres.sql.facts import Pins
from callpoint.gateways.postgres.sql.session import Session
from callpoint.gateways.postgres.upstream import Upstream, refused
from callpoint.gateways.postgres.wanted import Catalogues, Wanted, refused_deed
from callpoint.ports.authority import Opened
from callpoint.ports.clock import Clock, Random

CUT = "cut"
_NAME_SIZE = 16
_SKIPPED = "skipped"
_BINARY = 1


class State:
    """One session at work. It is what ``relay.Session`` and ``session_facts.Asker`` ask for.

    Attributes:
        nobody: A name that no statement and no portal has, because nobody can guess it.
        held: Names and what they may stand for.
        portals: Bound and not finished.
        barrier: A message whose answer must come before anything else is sent.
        takes_rows: The target waits for rows of COPY.
        row_counter: Counts them.
        out: What is sent next.
        trouble: Why the session cannot go on.
    """

    def __init__(
        self,
        *,
        client: Link,
        upstream: Upstream,
        opened: Opened,
        deeds: Deeds,
        limits: Limits,
        clock: Clock,
        random: Random,
        pins: Pins,
        catalogues: Catalogues,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.client, self.server, self.upstream = client, upstream.link, upstream
        self.opened, self.deeds, self.limits = opened, deeds, limits
        self.replies = Replies(self._over)
        self.relay = Relay(client, upstream.link, self.replies, self)
        self.relay.changed = self.wake
        self.nobody = random.token(_NAME_SIZE).hex()
        self.held = Session()
        self.portals: dict[str, Running] = {}
        self.barrier: Entry | None = None
        self.takes_rows = False
        self.row_counter = RowCounter(is_binary=False)
        self.out = bytearray()
        self.trouble: TargetError | None = None
        self._own = random.token(_NAME_SIZE).hex()
        self._own_count = 0
        self._unnamed: Entry | None = None
        self._types: dict[tuple[str, str], set[tuple[int, ...]]] = {}
        self._waiting: asyncio.Future[None] | None = None
        self._logger = logger
        way = upstream.way
        self.facts = SessionFacts(
            self, pins, (way.host, way.port, way.dbname), catalogues, clock, limits.stale
        )

    # ---------------------------------------------------------------- sending

    def send(self, frame: bytes, entry: Entry | None = None) -> None:
        """Put a message on its way; what the target would discard is not sent."""
        if self.replies.skips and (entry is None or entry.asked is not Asked.SYNC):
            if entry is not None:
                self._over(entry, _SKIPPED)
            return
        self.out += frame
        if entry is not None:
            self.replies.sent(entry)

    def flush(self) -> None:
        """Hand everything to the connection."""
        if self.out:
            self.server.write(bytes(self.out))
            self.out.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for answers.

        Raises:
            GoneError: One of both sides has left.
        """
        while not condition():
            if self.client.is_gone or self.server.is_gone:
                raise GoneError
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None

    async def settled(self) -> None:
        """Wait until everything that was sent is answered."""
        if not self.replies.is_ended:
            self.send(messages.FLUSH)
        self.flush()
        await self.until(lambda: not len(self.replies))

    async def ask(self, text: str) -> list[tuple[str | None, ...]]:
        """A query that the client does not see, in its transaction."""
        await self.settled()
        is_between = self.replies.is_ended
        self._own_count += 1
        entry = Entry(Asked.OWN, is_hidden=is_between)
        self.send(messages.own_query(f"{self._own}{self._own_count}", text), entry)
        if is_between:
            self.send(messages.SYNC, Entry(Asked.SYNC, is_hidden=True))
        else:
            self.send(messages.FLUSH)
        self.flush()
        await self.until(lambda: not len(self.replies))
        if entry.error:
            raise refused(entry.error)
        return entry.rows

    # ---------------------------------------------------------------- names

    async def want(self, text: str, types: tuple[int, ...] = ()) -> Wanted:
        """What a text asks for, by facts that are true now; a refused one is put on record.

        Raises:
            DeniedError, RequestError: As ``Facts.want``.
            ConflictError, UnavailableError: As ``Deeds.refused``.
        """
        try:
            return await self.facts.want(text, types, self.held)
        except DeniedError as error:
            await self.deeds.refused(refused_deed(text, error.message, self.opened.recording))
            raise

    def prepare(self, name: str, text: str, types: tuple[int, ...]) -> None:
        """A name may stand for a text from now on."""
        self.held = self.held.bound(Binding(BindingKind.PREPARED, name, text))
        self._types.setdefault((name, text), set()).add(types)

    async def texts_of(self, statement: str) -> list[tuple[str, tuple[int, ...]]]:
        """Every text, with parameter types, that a statement's name may stand for."""
        if not statement:
            entry, must_wait = self.replies.last(Asked.PARSE, "")
            if must_wait:
                self.flush()
                await self.until(lambda: self.replies.last(Asked.PARSE, "") == (None, False))
            entry = entry or self._unnamed
            return [(entry.text, entry.types)] if entry is not None else []
        texts = self.held.texts.get((BindingKind.PREPARED, statement), frozenset())
        return [
            (text, types)
            for text in sorted(texts)
            for types in sorted(self._types.get((statement, text), {()}))
        ]

    def portal_at_hand(self, name: str) -> tuple[Running | None, bool]:
        """The deed behind a portal that was bound, and whether an answer must come first."""
        entry, must_wait = self.replies.last(Asked.BIND, name)
        return (entry.running if entry is not None else self.portals.get(name)), must_wait

    async def portal(self, name: str) -> Running | None:
        """The deed behind a portal that was bound."""
        running, must_wait = self.portal_at_hand(name)
        if must_wait:
            self.flush()
            await self.until(lambda: self.replies.last(Asked.BIND, name) == (None, False))
            running = self.portals.get(name)
        return running

    # ---------------------------------------------------------------- what answers do

    def answered(self, entry: Entry) -> None:
        """A Parse, Bind or Close worked."""
        match entry.asked:
            case Asked.PARSE if not entry.name:
                self._unnamed = entry
            case Asked.BIND if entry.running is not None:
                self._leave(entry.name)
                self.portals[entry.name] = entry.running
            case Asked.CLOSE if entry.is_portal:
                self._leave(entry.name)
            case Asked.CLOSE if not entry.name:
                self._unnamed = None
            case Asked.CLOSE:
                self._closed(entry.name)
            case _:
                pass

    def is_ready(self, entry: Entry) -> None:
        """A series has ended; without a transaction no portal outlives it."""
        if self.barrier is entry:
            self.barrier, self.takes_rows = None, False
        if self.replies.status == "I":
            for name in tuple(self.portals):
                self._leave(name)
            if self.held.ddl_open and not len(self.replies):
                self.facts.stale = True
                self.held = self.held.idle()

    def ended(self, running: Running | None, code: str) -> None:
        """A deed has ended."""
        if running is not None:
            self.deeds.ended(running, code)

    def wants_rows(self, frame: bytes) -> None:
        """The target waits for rows."""
        if self.barrier is None or self.replies.head is not self.barrier:
            raise TargetError("the target waits for rows that no statement gives")
        self.row_counter = RowCounter(is_binary=frame[HEADER] == _BINARY)
        self.takes_rows = True

    def spent(self, running: Running) -> None:
        """A result waits for a further portion."""

        async def answer(is_more: bool) -> None:  # noqa: FBT001 -- the answer to one question
            if is_more:
                self.relay.go_on()
                return
            try:
                # Before the rest is read, so that it cannot hit what the client asks next.
                await self.upstream.cancel()
            except TargetError as error:
                self._logger.warning("not_cancelled", error=error.message)
            self.relay.stop(spent(running))

        self.deeds.draw(running, answer)

    def refused(self, refusal: Refusal) -> None:
        """Something was refused; the authority has its record of what it was asked."""
        self._logger.info("statement_refused", session=self.opened.session, code=refusal.code)

    def broken(self, error: TargetError) -> None:
        """Answers cannot be told apart any more."""
        self.trouble = error
        self._logger.error("session_broken", session=self.opened.session, error=error.message)
        self.server.abort()

    def _over(self, entry: Entry, code: str) -> None:
        """An entry will never be answered."""
        self.ended(entry.running, code)
        if self.barrier is entry:
            self.barrier, self.takes_rows = None, False

    def _leave(self, name: str) -> None:
        running = self.portals.pop(name, None)
        if running is not None:
            self.deeds.ended(running, "")

    def _closed(self, name: str) -> None:
        """The target says that a name is free; what was sent since may have taken it again."""
        self.held = self.held.closed(BindingKind.PREPARED, name)
        for key in [key for key in self._types if key[0] == name]:
            del self._types[key]
        for entry in self.replies:
            if entry.asked is Asked.PARSE and entry.name == name and entry.refusal is None:
                self.prepare(name, entry.text, entry.types)
            for binding in entry.bindings:
                self.held = self.held.bound(binding)

    def wake(self) -> None:
        """Look again: something was answered, or somebody left."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
