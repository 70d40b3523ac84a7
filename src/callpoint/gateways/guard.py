"""What ends live sessions of a gateway, whatever it speaks: push, poll, time, and silence (I13).

Four things end a session, and none waits for another:

* an order that was pushed (``Authority.cuts``), within the moment that it takes to come;
* the answer that it is over (``Authority.standing``), asked for every ``POLL``;
* ``not_after`` by this process's own clock;
* silence: the authority could not say for ``lost_after`` how they stand. A line that still sends
  heartbeats is no answer: an order may have been given where the heartbeats do not come from.
  Sessions with an offline grant go on until that ends (``gateways.offline``).

A session is opened in here, so that none slips through between the answer that it is open and the
moment from which on orders find it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from callpoint.domain.errors import CallpointError, ConflictError, UnavailableError
from callpoint.gateways.offline import EnduringAuthority
from callpoint.ports.authority import LOSS, POLL, Arrival, Authority, Cut, Opened, Standing
from callpoint.ports.clock import Clock

EXPIRED = "expired"
LOST = "authority_lost"
STOPPED = "gateway_stopped"

_TICK = timedelta(milliseconds=250)
_ANSWER_WITHIN = POLL
_TELL_WITHIN = 2 * POLL
_LINE_AGAIN = timedelta(milliseconds=500)
_REMEMBERED = 1_000
_AT_ONCE = 500
"""Sessions asked about in one question."""


@dataclass(eq=False)
class Admission:
    """A session between its opening and its end.

    Attributes:
        opened: What the authority said.
        began: When it was asked for, by this process's clock.
        cut_for: Why it was cut; empty while it stands.
    """

    opened: Opened
    began: datetime
    cut_for: str = ""
    _on_cut: list[Callable[[str], None]] = field(default_factory=list)

    def on_cut(self, act: Callable[[str], None]) -> None:
        """Call ``act`` with the reason when it is cut; at once if it was cut already.

        ``act`` must not wait and must not raise: others are cut after it.
        """
        self._on_cut.append(act)
        if self.cut_for:
            act(self.cut_for)

    def cut(self, reason: str) -> None:
        """End it; a second time changes nothing."""
        if self.cut_for:
            return
        self.cut_for = reason
        for act in self._on_cut:
            act(reason)


class Guard:
    """Watches the sessions of one gateway process. ``run`` must run for as long as any is open.

    Args:
        authority: Who is asked.
        clock: This process's.
        logger: For what ends sessions.
        lost_after: Without an answer for so long all are cut; never more than ``LOSS``.

    Attributes:
        is_heard: The authority's line is up: orders would be heard.
    """

    def __init__(
        self,
        authority: Authority,
        clock: Clock,
        logger: structlog.typing.FilteringBoundLogger,
        lost_after: timedelta = LOSS,
        offline: EnduringAuthority | None = None,
    ) -> None:
        self.is_heard = False
        self._lost_after = min(lost_after, LOSS).total_seconds()
        self._offline = offline
        self._authority = authority
        self._clock = clock
        self._logger = logger
        self._open: dict[str, Admission] = {}
        self._orders: deque[tuple[int, Cut]] = deque(maxlen=_REMEMBERED)
        self._count = 0
        self._tells = asyncio.Event()
        self._answered = clock.monotonic()

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._open)

    async def admit(self, arrival: Arrival) -> Admission:
        """Open a session with the authority and watch it from here on. ``leave`` ends it.

        Raises:
            UnavailableError: Orders would not be heard now, so nobody is let in.
            ConflictError: It was cut while it was opened.
            DeniedError, StoreUnavailableError: As ``Authority.open_session``.
        """
        if not self.is_heard or self._is_lost():
            raise UnavailableError(
                "the gateway does not hear its authority, so it opens no session",
                way_out="try again in a moment; look at the gateway's log",
            )
        before, began = self._count, self._clock.now()
        opened = await self._authority.open_session(arrival)
        admission = Admission(opened, began)
        self._open[opened.session] = admission
        self._tells.set()  # it may get a grant
        meanwhile = [cut for number, cut in self._orders if number > before]
        overrun = self._count - before > _REMEMBERED
        for cut in (c for c in meanwhile if c.covers(opened, began)):
            admission.cut(cut.reason)
        if overrun or not self.is_heard:
            admission.cut(LOST)
        if admission.cut_for:
            await self.leave(admission, admission.cut_for)
            raise ConflictError(f"the session was ended while it was opened: {admission.cut_for}")
        return admission

    async def leave(self, admission: Admission, reason: str) -> None:
        """It is over on this side; says so to the authority, which finds out by itself if not."""
        self._open.pop(admission.opened.session, None)
        try:
            async with asyncio.timeout(_ANSWER_WITHIN.total_seconds()):
                await self._authority.end_session(admission.opened.session, reason)
        except (CallpointError, TimeoutError) as error:
            self._logger.warning(
                "session_end_not_told", session=admission.opened.session, error=_words(error)
            )
            if self._offline is not None:
                await self._offline.left(admission.opened.session, reason)

    def cut(self, session: str, reason: str) -> bool:
        """End one session now, whoever says so; False if it is not here."""
        admission = self._open.get(session)
        if admission is not None:
            self._cut(admission, reason)
        return admission is not None

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until ``stop`` is set; then cut what is left."""
        self._answered = self._clock.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(work(), name=f"guard:{work.__name__}")
                    for work in (self._hear, self._ask, self._tell, self._keep_time)
                ]
                await stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            self.is_heard = False
            self._cut_all(STOPPED)

    async def _hear(self) -> None:
        """Obey orders; a line that is lost is asked for again, for ever."""
        while True:
            try:
                async for order in self._authority.cuts():
                    if not self.is_heard:
                        self.is_heard = True
                        self._logger.info("authority_heard")
                    if order is not None:
                        self._obey(order)
            except CallpointError as error:
                self._logger.warning("authority_line_lost", error=_words(error))
            finally:
                self.is_heard = False
                if self._offline is not None:
                    self._offline.line_broke()
            await self._clock.sleep(_LINE_AGAIN)

    async def _ask(self) -> None:
        """How do they stand? The answer is the only sign of life that counts for all of them."""
        said = ""
        while True:
            asked = tuple(self._open)
            try:
                async with asyncio.timeout(_ANSWER_WITHIN.total_seconds()):
                    for start in range(0, max(len(asked), 1), _AT_ONCE):
                        part = asked[start : start + _AT_ONCE]
                        self._settle(part, await self._authority.standing(part))
                self._answered, said = self._clock.monotonic(), ""
                if self._offline is not None:
                    self._offline.back()
                    self._tells.set()
            except (CallpointError, TimeoutError) as error:
                if said != _words(error):  # once, not each second
                    said = _words(error)
                    self._logger.warning("authority_silent", error=said)
            await self._clock.sleep(POLL / 2)

    async def _tell(self) -> None:
        """After each answer; apart from asking, which must not wait for it."""
        while self._offline is not None:
            await self._tells.wait()
            self._tells.clear()
            try:
                async with asyncio.timeout(_TELL_WITHIN.total_seconds()):
                    await self._offline.answered()
            except (CallpointError, TimeoutError) as error:
                self._logger.warning("journal_not_told", error=_words(error))

    def _settle(self, asked: tuple[str, ...], answer: dict[str, Standing]) -> None:
        for session in asked:
            admission = self._open.get(session)
            if admission and answer.get(session, Standing.OVER) is Standing.OVER:
                self._cut(admission, "over")

    async def _keep_time(self) -> None:
        """Expiry and silence, by this process's own clocks."""
        while True:
            now = self._clock.now()
            for admission in tuple(self._open.values()):
                if now >= admission.opened.not_after:
                    self._cut(admission, EXPIRED)
            if self._is_lost():
                self._lose()
            await self._clock.sleep(_TICK)

    def _lose(self) -> None:
        """Cut what has no grant to go on."""
        if self._offline is not None:
            self._offline.lost()
        for admission in tuple(self._open.values()):
            if self._offline is None or not self._offline.stands(admission.opened.session):
                self._cut(admission, LOST)

    def _is_lost(self) -> bool:
        return self._clock.monotonic() - self._answered >= self._lost_after

    def _obey(self, order: Cut) -> None:
        self._count += 1
        self._orders.append((self._count, order))
        for admission in tuple(self._open.values()):
            if order.covers(admission.opened, admission.began):
                self._cut(admission, order.reason)

    def _cut_all(self, reason: str) -> None:
        for admission in tuple(self._open.values()):
            self._cut(admission, reason)

    def _cut(self, admission: Admission, reason: str) -> None:
        if admission.cut_for:
            return
        session = admission.opened.session
        try:
            admission.cut(reason)
        except Exception as error:  # whatever one session does, the others are cut
            self._logger.critical("session_cut_crashed", session=session, exc_info=error)
        self._logger.info("session_cut", session=session, reason=reason)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
