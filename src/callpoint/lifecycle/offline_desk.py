"""Offline grants for a gateway's sessions, and what was done with them, as sessions are kept here.

What this process remembers of a session, and what of it is on record, move together: grants and
journals wait for who writes in it, and what waits for its record goes before what a journal tells.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from callpoint.domain.allowance import Portion
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    NotFoundError,
    RequestError,
    TamperError,
    UnavailableError,
)
from callpoint.domain.offline_journal import GrantUsed, LeftOffline, ReportedLate, Told
from callpoint.lifecycle.offline_along import Kept, Remembered
from callpoint.lifecycle.offline_follow import announce
from callpoint.lifecycle.offline_grant import grant
from callpoint.lifecycle.offline_judge import must_be_journal
from callpoint.lifecycle.offline_take import Result, Unread, take
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_decide import TRIES
from callpoint.lifecycle.session_keeping import SessionKeeping
from callpoint.lifecycle.session_memory import KeptElsewhereError, LiveSession
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.lifecycle.session_write import UnsureError
from callpoint.ports.authority import Deed, Granted, Taken, Verdict
from callpoint.ports.authority_calls import MAX_GRANTS
from callpoint.ports.grants import Grants


class OfflineDesk:
    """Of one gateway.

    Args:
        services: Ports and rules.
        keeping: Its sessions.
        recorder: Of this process, if there is one.
        grants: Signs; without it there are no grants, and no journal is taken.
    """

    def __init__(
        self,
        services: Services,
        keeping: SessionKeeping,
        recorder: Recorder | None,
        grants: Grants | None,
    ) -> None:
        self._services = services
        self._keeping = keeping
        self._recorder = recorder
        self._grants = grants

    def learn(self, live: LiveSession, verdict: Verdict, deed: Deed) -> None:
        """Remember what was allowed, for the grants of sessions that may go on alone."""
        basis = live.basis
        if verdict.allowed and basis is not None and basis.found.request.offline:
            self._keeping.allowed.learn(basis.session, deed.operations)

    async def grants(self, journal: str, sessions: Sequence[str]) -> Granted:
        """See ``ports.authority``. A session that gets none keeps no other from one."""
        if len(sessions) > MAX_GRANTS:
            raise RequestError(f"more than {MAX_GRANTS} sessions in one question")
        must_be_journal(journal)
        if self._grants is None:
            return Granted()
        made: dict[str, str] = {}
        for session in dict.fromkeys(sessions):
            token = await self._granted(self._grants, journal, session)
            if token:
                made[session] = token
        return Granted(self._grants.keys, made)

    async def _granted(self, grants: Grants, journal: str, session: str) -> str:
        """Empty for none. Raises UnavailableError when nobody can say now."""
        try:
            live = await self._keeping.get(session)
            for _ in range(TRIES):
                try:
                    return await grant(
                        self._services, grants, live, self._recorder, self._keeping.allowed, journal
                    )
                except KeptElsewhereError:
                    await self._keeping.take_over(live)
        except (ConflictError, DeniedError, TamperError, NotFoundError):
            pass  # it is over, or no longer what it was: ``standing`` and ``decide`` say so
        return ""

    async def take(self, told: Told) -> Taken:
        """See ``ports.authority``, and ``offline_take``."""
        if self._grants is None and any(isinstance(one.entry, GrantUsed) for one in told.entries):
            raise UnavailableError(
                "this server cannot read offline grants, so it takes no journal",
                way_out="it has no token key: see `callpoint doctor`",
            )
        lives = self._keeping.beside(one.entry.session for one in told.entries)
        async with AsyncExitStack() as stack:
            for live in lives:  # by name: two journals never wait for each other
                await stack.enter_async_context(live.writing)
            result = await self._taken(told, lives)
        await announce(self._services, self._keeping.gateway, result.pages)
        return Taken(result.seq)

    async def _taken(self, told: Told, lives: Sequence[LiveSession]) -> Result:
        held = self._claimed(told)
        left = {one.entry.session for one in told.entries if isinstance(one.entry, LeftOffline)}
        along: dict[str, Kept] = {}
        for live in lives:
            along[live.id] = Kept(live, tuple(live.pending), live.set_aside(), live.number)
            if live.id in left:
                live.forget()  # nothing more is answered from memory
        known, reader = Remembered(along, held), self._grants or Unread()
        try:
            result = await take(self._services, reader, self._keeping.gateway, told, known)
        except (RequestError, UnsureError):
            _put_back(known)  # nothing was written, so it is as it was
            for kept in along.values():
                kept.live.stock = kept.stock
            raise
        except BaseException:
            _put_back(known)
            for kept in along.values():
                kept.live.is_unsure = kept.live.is_unsure or bool(kept.waiting)
            raise
        for kept in along.values():
            live = kept.live
            if self._recorder is not None:
                self._recorder.wrote(live, kept.waiting)
            _learn(live, {n for s, n in result.ended if s == live.id})
            if live.id in result.closed:
                self._forget(live)
        return result

    def _claimed(self, told: Told) -> dict[tuple[str, int], Portion]:
        """What the actions hold whose outcomes are told here; told anywhere else it is no more."""
        found: dict[tuple[str, int], Portion] = {}
        for one in told.entries:
            entry = one.entry
            live = self._keeping.find(entry.session)
            if live is None or not isinstance(entry, ReportedLate):
                continue
            held = live.held.pop(entry.number, None)
            if held is not None:
                found[entry.session, entry.number] = held
        return found

    def _forget(self, live: LiveSession) -> None:
        if self._recorder is not None:
            self._recorder.forget(live)
        self._keeping.forget(live.id)


def _learn(live: LiveSession, ended: set[int]) -> None:
    """What became of these is told; one that was drawn for meanwhile holds something again."""
    live.told_early |= ended
    for number in ended:
        live.held.pop(number, None)


def _put_back(known: Remembered) -> None:
    """Outcomes that were not taken may be told again; each counts once, by its number."""
    for (session, number), portion in known.held.items():
        kept = known.along.get(session)
        if kept is not None:
            kept.live.held[number] = portion
