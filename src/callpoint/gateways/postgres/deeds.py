"""The deeds of one session: asked for, drawn on, reported."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from math import inf

from callpoint.domain.errors import (
    CallpointError,
    ConflictError,
    DeniedError,
    RequestError,
    UnavailableError,
)
from callpoint.gateways.guard import Admission
from callpoint.gateways.postgres.messages import Refusal
from callpoint.gateways.postgres.running import Running, limit
from callpoint.ports.authority import Authority, Deed, Outcome, Standing, Verdict
from callpoint.ports.clock import Clock

DENIED, OVER, SPENT, UNREACHABLE, NO_SQL = "42501", "57P01", "54000", "08006", "42601"
_MOST_UNREPORTED = 256
_OVER = "over"


class Deeds:
    """Everything that a session has to tell the authority and to ask it.

    Reports go out one after the other beside the session, so a client never waits for one; if too
    many wait, the next deed does.
    """

    def __init__(self, authority: Authority, admission: Admission, clock: Clock) -> None:
        self._authority = authority
        self._admission = admission
        self._session = admission.opened.session
        self._clock = clock
        self._ended: deque[Outcome] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._spent: Running | None = None
        self._on_answer: Callable[[bool], Awaitable[None]] | None = None

    async def decide(self, deed: Deed) -> Running:
        """Ask whether it may be done now.

        Raises:
            DeniedError: It may not.
            ConflictError: The session is over, and is being cut.
            UnavailableError: Nobody can say.
        """
        while len(self._ended) >= _MOST_UNREPORTED:
            self._room.clear()
            await self._room.wait()
        try:
            verdict = await self._authority.decide(self._session, deed)
        except ConflictError:
            self._admission.cut(_OVER)
            raise
        if not verdict.allowed:
            raise _denied(verdict)
        portion = verdict.portion
        return Running(
            number=verdict.number,
            began=self._clock.monotonic(),
            row_limit=limit(portion.rows),
            byte_limit=limit(portion.bytes),
        )

    async def refused(self, deed: Deed) -> None:
        """Put on record what the gateway itself refuses.

        Raises:
            ConflictError: The session is over, and is being cut.
            UnavailableError: It cannot be put on record now.
        """
        with suppress(DeniedError):
            await self.decide(deed)

    def ended(self, running: Running, code: str) -> None:
        """It is over; tell the authority when there is time."""
        if running.is_over:
            return
        running.is_over = True
        took = timedelta(seconds=max(0.0, self._clock.monotonic() - running.began))
        self._ended.append(Outcome(running.number, running.used, code, took))
        self._wake.set()

    async def more(self, running: Running) -> bool:
        """Ask for a further portion; False if the allowance is spent or nobody can say."""
        try:
            portion = await self._authority.draw(self._session, running.number, running.used)
        except ConflictError:
            self._admission.cut(_OVER)
            return False
        except CallpointError:
            return False
        if portion.rows == 0 or portion.bytes == 0:
            return False
        return running.extend(portion)

    def draw(self, running: Running, answer: Callable[[bool], Awaitable[None]]) -> None:
        """As ``more``, but from where nothing can be waited for."""
        self._spent = running
        self._on_answer = answer
        self._wake.set()

    async def run(self) -> None:
        """Draw and report until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._spent is not None or self._ended:
                if self._spent is not None:
                    running, self._spent = self._spent, None
                    if self._on_answer is not None:
                        await self._on_answer(await self.more(running))
                else:
                    await self._report(self._ended[0])
                    self._ended.popleft()
                    self._room.set()

    async def finish(self, within: timedelta) -> None:
        """Report what is left, as long as there is time for it."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                while self._ended:
                    await self._report(self._ended[0])
                    self._ended.popleft()
        except TimeoutError:
            pass  # the authority sees at the session's end which deeds have no outcome

    async def _report(self, outcome: Outcome) -> None:
        try:
            standing = await self._authority.report(self._session, outcome)
        except ConflictError:
            standing = Standing.OVER
        except CallpointError:
            return  # the guard cuts when the authority stays silent
        if standing is Standing.OVER:
            self._admission.cut(_OVER)


def _denied(verdict: Verdict) -> DeniedError:
    reasons = verdict.reasons or ("no policy allows it",)
    error = DeniedError(reasons[0], reasons=reasons[1:], way_out=verdict.way_out)
    if verdict.is_paused:
        error = DeniedError(
            "the session is paused: its allowance is spent",
            reasons=reasons,
            way_out=verdict.way_out,
        )
    return error


def refusal_of(error: CallpointError) -> Refusal:
    """What the client is told; whose fault it is decides the SQLSTATE."""
    match error:
        case DeniedError():
            code = DENIED
        case UnavailableError():
            code = UNREACHABLE
        case ConflictError():
            code = OVER
        case RequestError():
            code = NO_SQL
        case _:
            code = "XX000"
    detail = "; ".join(getattr(error, "reasons", ()))
    return Refusal(code, error.message, detail, error.way_out)


def spent(running: Running) -> Refusal:
    """What the client is told when its allowance ends in the middle of a result."""
    is_known = running.row_limit < inf or running.byte_limit < inf
    return Refusal(
        SPENT,
        "the allowance of this activation is spent: the result ends here",
        f"{running.rows} rows were let through" if is_known else "",
        "the session is paused; only a person can resume it. What the statement changed stands",
    )
