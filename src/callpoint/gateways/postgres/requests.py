"""From the client to the target: each message is read, decided if it does something, then sent.

What is refused is not left out: a message that surely fails at the target goes in its place, and
the target's error comes back as the refusal (docs/adr/0021). So order, the end of a transaction and
the skipping up to a Sync are the target's own, and nothing here has to imitate them.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from callpoint.domain.errors import CallpointError, DeniedError, RequestError
from callpoint.gateways.postgres import messages
from callpoint.gateways.postgres.deeds import refusal_of
from callpoint.gateways.postgres.frames import HEADER
from callpoint.gateways.postgres.intake import Intake
from callpoint.gateways.postgres.link import Link
from callpoint.gateways.postgres.messages import Refusal
from callpoint.gateways.postgres.replies import Asked, Entry
from callpoint.gateways.postgres.running import Running
from callpoint.gateways.postgres.sql.access import BindingKind
from callpoint.gateways.postgres.state import State
from callpoint.gateways.postgres.wanted import Wanted, deed_of
from callpoint.ports.authority import Deed

_NO_STATEMENT, _NO_PORTAL = "26000", "34000"
_OUT = 64 * 1024
_TURN = 128
"""Messages of one client in one turn of the loop: others must be heard meanwhile."""
_TERMINATE, _SYNC = ord("X"), ord("S")
_COPYING = frozenset(b"dcf")


class Requests:
    """The way out of one session.

    Args:
        client: Where messages come from.
        state: What the session is.
    """

    def __init__(self, client: Link, state: State) -> None:
        self._client = client
        self._state = state
        self._intake = Intake(state)
        self._is_refused = False  # and so the target discards everything up to a Sync
        # What never waits is a plain call: of five messages of a statement only one has to ask.
        self._handlers: dict[int, Callable[[bytes], Awaitable[None] | None]] = {
            ord("Q"): self._query,
            ord("P"): self._parse,
            ord("B"): self._bind,
            ord("D"): self._describe,
            ord("E"): self._execute,
            ord("C"): self._close,
            ord("S"): self._sync,
            ord("H"): self._flush,
            ord("F"): self._call,
        }

    async def run(self) -> None:
        """Until the client says goodbye.

        Raises:
            RequestError: What it sends cannot be read, so nothing that follows can.
            GoneError: It left.
            TargetError: The target did.
        """
        state, inbox = self._state, self._client.inbox
        for number in itertools.count(1):
            if number % _TURN == 0:
                await asyncio.sleep(0)
            frame = inbox.next()
            if frame is None:
                state.flush()
                await self._client.more()
                continue
            kind = frame[0]
            if kind == _TERMINATE:
                return
            if self._is_crowded:
                await self._have_room()
            if state.takes_rows or kind in _COPYING:
                await self._intake.take(frame)
            elif (kind == _SYNC or not (self._is_refused or state.replies.skips)) and (
                waits := self._handlers[kind](frame)
            ) is not None:
                await waits

    @property
    def _is_crowded(self) -> bool:
        """Whether ``_have_room`` has anything to do."""
        state = self._state
        return (
            state.barrier is not None
            or state.server.is_full
            or len(state.out) > _OUT
            or len(state.replies) >= state.limits.backlog
        )

    async def _have_room(self) -> None:
        """Nothing is sent that the target or the queue cannot take."""
        state = self._state
        if len(state.out) > _OUT:
            state.flush()
        if state.server.is_full:
            await state.server.writable()
        if state.barrier is not None:
            state.flush()
            await state.until(lambda: state.barrier is None or state.takes_rows)
        if len(state.replies) >= state.limits.backlog:
            state.send(messages.FLUSH)
            state.flush()
            await state.until(lambda: len(state.replies) < state.limits.backlog)

    async def _query(self, frame: bytes) -> None:
        state = self._state
        try:
            text = messages.query_text(frame)
            wanted = await state.want(text)
            held = state.held.after(wanted.found)
            running = await self._decided(wanted)
        except CallpointError as error:
            self._refuse(Asked.QUERY, messages.query_frame(messages.NO_SQL), error)
            return
        state.held = held
        state.facts.stale |= wanted.found.alters_catalogue
        entry = Entry(Asked.QUERY, running=running, bindings=wanted.found.bindings)
        state.send(frame, entry)
        if wanted.takes_rows:
            state.barrier = entry

    async def _parse(self, frame: bytes) -> None:
        state = self._state
        name = ""
        try:
            parsed = messages.parse(frame)
            name = parsed.name
            wanted = await state.want(parsed.text, parsed.types)
            if len(wanted.found.statements) > 1:
                raise RequestError("a prepared text has more than one statement")
            if name:
                state.prepare(name, parsed.text, parsed.types)
        except CallpointError as error:
            self._refuse(Asked.PARSE, messages.parse_frame(name, messages.NO_SQL), error)
            return
        entry = Entry(Asked.PARSE, name=name, text=parsed.text, types=parsed.types)
        state.send(frame, entry)

    async def _bind(self, frame: bytes) -> None:
        state = self._state
        failing = b""
        try:
            bound = messages.bind(frame)
            failing = bound.of_another(state.nobody)
            if len(state.portals) >= state.limits.portals:
                raise DeniedError("too many portals are open", way_out="close some")
            running = await self._bound(bound)
        except CallpointError as error:
            failing = failing or messages.bind_frame(state.nobody)
            self._refuse(Asked.BIND, failing, error)
            return
        state.send(frame, Entry(Asked.BIND, name=bound.portal, running=running))

    async def _bound(self, bound: messages.Bind) -> Running:
        """Decide an execution of a prepared statement with its values."""
        state = self._state
        wanted = [
            await state.want(text, types) for text, types in await state.texts_of(bound.statement)
        ]
        if not wanted:
            raise MissingError(
                _NO_STATEMENT, f'prepared statement "{bound.statement}" does not exist'
            )
        held = state.held
        for one in wanted:
            held = held.after(one.found)
        running = await self._decided(*wanted, values=bound.values)
        state.held = held
        state.facts.stale |= any(one.found.alters_catalogue for one in wanted)
        return running

    def _describe(self, frame: bytes) -> None:
        try:
            _, name = messages.named(frame, "Describe")
        except RequestError as error:
            self._refuse(Asked.DESCRIBE, messages.describe_frame(self._state.nobody), error)
            return
        self._state.send(frame, Entry(Asked.DESCRIBE, name=name))

    def _execute(self, frame: bytes) -> Awaitable[None] | None:
        state = self._state
        try:
            portal = messages.execute(frame)
        except RequestError as error:
            self._refuse(Asked.EXECUTE, messages.execute_frame(state.nobody), error)
            return None
        running, must_wait = state.portal_at_hand(portal)
        if must_wait or running is None:
            return self._execute_later(frame, portal)
        self._executed(frame, portal, running)
        return None

    async def _execute_later(self, frame: bytes, portal: str) -> None:
        """Of a portal that SQL made, or of one whose Bind must be answered first."""
        state = self._state
        try:
            running = await state.portal(portal) or await self._cursor(portal)
        except CallpointError as error:
            self._refuse(Asked.EXECUTE, messages.execute_frame(state.nobody), error)
            return
        self._executed(frame, portal, running)

    def _executed(self, frame: bytes, portal: str, running: Running) -> None:
        state = self._state
        entry = Entry(Asked.EXECUTE, name=portal, running=running)
        state.facts.stale |= running.alters
        state.send(frame, entry)
        if running.takes_rows:
            state.send(messages.FLUSH)
            state.barrier = entry

    async def _cursor(self, portal: str) -> Running:
        """A cursor that SQL declared is a portal, too: fetching from it is decided again."""
        state = self._state
        texts = state.held.texts.get((BindingKind.CURSOR, portal), frozenset())
        if not texts:
            raise MissingError(_NO_PORTAL, f'portal "{portal}" does not exist')
        return await self._decided(*[await state.want(text) for text in sorted(texts)])

    def _close(self, frame: bytes) -> None:
        state = self._state
        try:
            kind, name = messages.named(frame, "Close")
        except RequestError as error:
            # Closing what does not exist is no error, so something else must fail.
            self._refuse(Asked.CLOSE, messages.execute_frame(state.nobody), error)
            return
        state.send(frame, Entry(Asked.CLOSE, name=name, is_portal=kind == "P"))

    def _sync(self, frame: bytes) -> None:
        _exactly(frame, "Sync")
        self._is_refused = self._state.replies.skips = False
        self._state.send(frame, Entry(Asked.SYNC))

    def _flush(self, frame: bytes) -> None:
        _exactly(frame, "Flush")
        self._state.send(frame)

    async def _call(self, _frame: bytes) -> None:
        refused = DeniedError(
            "FunctionCall names functions by number, which is not decided here",
            way_out="call the function in SQL",
        )
        await self._state.deeds.refused(Deed((), refused=refused.message))
        self._refuse(Asked.QUERY, messages.query_frame(messages.NO_SQL), refused)

    async def _decided(
        self, *wanted: Wanted, values: tuple[tuple[int, bytes | None], ...] = ()
    ) -> Running:
        """Ask the authority; an empty text does nothing, and nobody is asked."""
        state = self._state
        deed = deed_of(wanted, values, state.opened.recording)
        if not deed.operations:
            return Running.of_nothing()
        running = await state.deeds.decide(deed)
        running.alters = any(one.found.alters_catalogue for one in wanted)
        running.takes_rows = any(one.takes_rows for one in wanted)
        return running

    def _refuse(self, asked: Asked, failing: bytes, error: CallpointError) -> None:
        state = self._state
        refusal = (
            Refusal(error.code, error.message)
            if isinstance(error, MissingError)
            else refusal_of(error)
        )
        state.refused(refusal)
        state.send(failing, Entry(asked, refusal=refusal))
        self._is_refused = asked is not Asked.QUERY


class MissingError(RequestError):
    """What is named is not there, in the server's own words.

    Args:
        code: SQLSTATE.
        message: As the server would say it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _exactly(frame: bytes, what: str) -> None:
    if len(frame) != HEADER:
        raise RequestError(f"a {what} message does not end where it says")
