"""The authority as a gateway sees it that may go on without one. Implements ``ports.authority``.

While the authority answers all is its word. Once the guard knows that it is lost (I13), actions of
sessions with a grant are decided here. ``answered`` is called each time that the authority has
said how the sessions stand: first it is told what was done without it, then new grants are asked
for, so that none allows again what was spent.

What became of an action is not on record yet when the authority has taken it: it rides along with
the session's next decision, in that process's memory. So the last ones are kept here for a moment;
once the line breaks, which the process may not have outlived, they are told again by the journal.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import CallpointError, UnavailableError
from callpoint.domain.offline import GrantError, OnLoss
from callpoint.domain.offline_journal import Chained, LeftOffline, ReportedLate, Told
from callpoint.gateways.offline.keeping import Keeping
from callpoint.ports.authority import (
    POLL,
    Arrival,
    Authority,
    Cut,
    Deed,
    Granted,
    Greeting,
    Opened,
    Outcome,
    Standing,
    Taken,
    Verdict,
)
from callpoint.ports.authority_calls import MAX_GRANTS, MAX_TOLD
from callpoint.ports.clock import Clock

_RIDES = 2 * POLL
"""An outcome that was taken so long before the line broke is on record: the authority writes it
within a tenth of a second, and takes no further ones while it cannot; and a line that says nothing
for one and a half ``POLL`` has broken."""

_RECENT = 256

_MOST_BYTES = 150_000
"""Texts and operations of one call: well within what the authority reads."""


@dataclass(frozen=True, slots=True)
class _Reported:
    """An outcome that the authority took, at a monotonic second."""

    at: float
    session: str
    outcome: Outcome


class EnduringAuthority:
    """Between a gateway and its authority.

    Args:
        authority: Who is asked.
        keeping: Grants, journal, and decisions by them.
        clock: This process's.
        logger: For what happens; no statement.
    """

    def __init__(
        self,
        authority: Authority,
        keeping: Keeping,
        clock: Clock,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._authority = authority
        self._keeping = keeping
        self._clock = clock
        self._logger = logger
        self._is_told = False
        self._recent: deque[_Reported] = deque(maxlen=_RECENT)
        self._in_doubt: list[_Reported] = []

    # ---------------------------------------------------------------- the port

    async def greet(self, connection: str, source: str) -> Greeting:
        return await self._authority.greet(connection, source)

    async def open_session(self, arrival: Arrival) -> Opened:
        opened = await self._authority.open_session(arrival)
        if opened.on_loss is OnLoss.OFFLINE:
            self._keeping.watch(opened)
        return opened

    async def decide(self, session: str, deed: Deed) -> Verdict:
        keeping = self._keeping
        if keeping.is_lost and keeping.knows(session):
            return await keeping.decide(session, deed)
        verdict = await self._authority.decide(session, deed)
        if verdict.allowed:
            keeping.learn(session, deed.operations)
        elif not deed.refused:
            keeping.refused(session, deed.operations)
        return verdict

    async def draw(self, session: str, number: int, used: Used) -> Portion:
        if number < 0:
            return self._keeping.draw(session, number, used)
        return await self._authority.draw(session, number, used)

    async def report(self, session: str, outcome: Outcome) -> Standing:
        keeping = self._keeping
        if outcome.number < 0:
            await keeping.finish(session, outcome)
            return Standing.OPEN  # the guard knows better, and cuts by itself
        if not keeping.knows(session):
            return await self._authority.report(session, outcome)
        try:
            standing = await self._authority.report(session, outcome)
        except UnavailableError:
            await keeping.report_late(((session, outcome),))
            return Standing.OPEN
        self._recent.append(_Reported(self._clock.monotonic(), session, outcome))
        self._obey({session: standing})
        return standing

    async def end_session(self, session: str, reason: str) -> None:
        await self._authority.end_session(session, reason)
        self._keeping.forget(session)

    async def standing(self, sessions: Sequence[str]) -> dict[str, Standing]:
        answer = await self._authority.standing(sessions)
        self._obey(answer)
        return answer

    def _obey(self, answer: Mapping[str, Standing]) -> None:
        """What waits for a person does not go on without anybody."""
        for session, standing in answer.items():
            if standing is not Standing.OPEN:
                self._keeping.withdraw(session)

    async def grants(self, journal: str, sessions: Sequence[str]) -> Granted:
        return await self._authority.grants(journal, sessions)

    async def take(self, told: Told) -> Taken:
        return await self._authority.take(told)

    def cuts(self) -> AsyncIterator[Cut | None]:
        return self._authority.cuts()

    # ---------------------------------------------------------------- what the guard says

    def stands(self, session: str) -> bool:
        """Whether a session may go on although the authority is lost."""
        return self._keeping.stands(session)

    def lost(self) -> None:
        """It has said nothing for too long: from here on it is not waited for."""
        if not self._keeping.is_lost:
            self._keeping.is_lost = True
            self.line_broke()
            self._logger.warning("authority_lost", going_on=len(self._keeping.sessions))

    def line_broke(self) -> None:
        """Who was told of the last outcomes may be gone, and the record of them with it."""
        since = self._clock.monotonic() - _RIDES.total_seconds()
        doubted = [one for one in self._recent if one.at >= since]
        self._in_doubt = [*self._in_doubt, *doubted][-_RECENT:]
        self._recent.clear()

    def back(self) -> None:
        """It has said how the sessions stand, and those that are over are cut: it decides again."""
        if self._keeping.is_lost:
            self._keeping.is_lost = False
            self._logger.info("authority_back")

    async def answered(self) -> None:
        """After that: tell it what was done without it, and have grants that are fresh."""
        keeping = self._keeping
        if not await self._tell_all():
            return
        due = keeping.due()
        for start in range(0, len(due), MAX_GRANTS):
            await self._renew(due[start : start + MAX_GRANTS])

    async def left(self, session: str, reason: str) -> None:
        """A session is over, and the authority could not be told."""
        if not self._keeping.knows(session):
            return
        try:
            await self._keeping.left(session, reason)
        except UnavailableError as error:
            self._logger.warning("session_end_not_recorded", session=session, error=error.message)
        self._keeping.forget(session)

    # ---------------------------------------------------------------- telling and asking

    async def _tell_all(self) -> bool:
        """Whether the authority knows all that is in the journal."""
        journal = self._keeping.journal
        try:
            if doubted := tuple(self._in_doubt):
                await self._keeping.report_late([(one.session, one.outcome) for one in doubted])
                # Only these: the line may have broken once more while they were written.
                self._in_doubt = [one for one in self._in_doubt if one not in doubted]
            waiting = journal.waiting()
            if self._is_told and not waiting:
                return True
            if any(_spends(one) for one in waiting):
                self._keeping.withdraw()
            while part := _part(journal.waiting()):
                told = Told(journal.name, part)
                taken = await self._authority.take(told)
                await asyncio.to_thread(journal.forget, taken.seq)
                self._logger.info("journal_told", entries=len(part))
                if taken.seq < part[-1].seq:
                    raise UnavailableError("the authority did not take the journal")
            whole = Told(journal.name, is_whole=True, open=self._keeping.sessions)
            await self._authority.take(whole)
        except CallpointError as error:
            self._is_told = False
            self._logger.error("journal_not_told", error=str(error))  # noqa: TRY400 -- ours
            return False
        self._is_told = True
        return True

    async def _renew(self, sessions: Sequence[str]) -> None:
        """Fresh grants for these; one that does not verify is worth nothing."""
        keeping = self._keeping
        keeping.asked_for(sessions)
        try:
            granted = await self._authority.grants(keeping.journal.name, sessions)
        except CallpointError as error:
            self._logger.warning("offline_grants_not_given", error=str(error))
            return
        for session in sessions:
            token = granted.grants.get(session)
            if token is None:
                keeping.withdraw(session)
                continue
            try:
                keeping.accept(session, token, granted.keys)
            except GrantError as error:
                self._logger.error("offline_grant_refused", session=session, error=error.message)  # noqa: TRY400 -- ours


def _spends(one: Chained) -> bool:
    """Whether it takes something off an allowance: then no grant of before may hold any more."""
    return not isinstance(one.entry, ReportedLate | LeftOffline)


def _part(waiting: Sequence[Chained]) -> tuple[Chained, ...]:
    """As many of them as one call holds; at least one, if there is one."""
    part: list[Chained] = []
    size = 0
    for one in waiting[:MAX_TOLD]:
        size += len(msgspec.json.encode(one))
        if part and size > _MOST_BYTES:
            break
        part.append(one)
    return tuple(part)
