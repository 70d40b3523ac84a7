"""The authority in this process: what a gateway asks, answered by the store, the log and policy.

One object for each configured gateway. What it remembers of sessions it can forget at any time:
each answer rests on what is stored at that moment.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import ConflictError, RequestError, UnavailableError
from callpoint.domain.offline_journal import Told
from callpoint.domain.session import HEARD_EVERY, LIVE, Session, SessionState
from callpoint.domain.spending import Stock
from callpoint.domain.untrusted import printable
from callpoint.lifecycle import allowance, session_decide, session_open
from callpoint.lifecycle.connection import greet
from callpoint.lifecycle.offline_desk import OfflineDesk
from callpoint.lifecycle.offline_follow import settle_debt
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_end import close_session, end_session
from callpoint.lifecycle.session_keeping import SessionKeeping
from callpoint.lifecycle.session_memory import NO_PORTION, KeptElsewhereError, LiveSession, Pending
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.lifecycle.session_write import UnsureError, append, give_back
from callpoint.ports.authority import (
    Arrival,
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
from callpoint.ports.grants import Grants
from callpoint.ports.stores import Transaction, View

_MOCK_KEY_SIZE = 32
_CODE_LIMIT = 64
_REASON_LIMIT = 64


class GatewayAuthority:
    """Implements ``ports.authority.Authority``.

    Args:
        services: Ports and rules.
        gateway: On whose behalf it is asked.
        recorder: Puts on record what is answered beside it, while it runs; without one each answer
            waits for its record, and outcomes are recorded one by one.
        grants: Signs offline grants; without it there are none, and every loss cuts.
    """

    def __init__(
        self,
        services: Services,
        gateway: str,
        recorder: Recorder | None = None,
        grants: Grants | None = None,
    ) -> None:
        self._services = services
        self._recorder = recorder
        self._gateway = gateway
        self._mock_key = services.random.token(_MOCK_KEY_SIZE)
        self._keeping = SessionKeeping(services, gateway)
        self._offline = OfflineDesk(services, self._keeping, recorder, grants)

    async def greet(self, connection: str, source: str) -> Greeting:  # noqa: ARG002 -- the port's
        """See the port. The source is checked when the secret is spent."""
        return await greet(self._services, connection, self._mock_key)

    async def open_session(self, arrival: Arrival) -> Opened:
        """See the port, and ``session_open``."""
        opened, session = await session_open.open_session(
            self._services, self._gateway, arrival, self._keeping.keeper
        )
        self._keeping.begin(session.id)
        return opened

    async def decide(self, session: str, deed: Deed) -> Verdict:
        """See the port, and ``session_decide``."""
        for _ in range(session_decide.TRIES):
            live = await self._keeping.get(session)
            try:
                verdict = await session_decide.decide(self._services, live, deed, self._recorder)
            except KeptElsewhereError:
                await self._keeping.take_over(live)
            except ConflictError:
                live.forget()
                raise
            else:
                self._offline.learn(live, verdict, deed)
                return verdict
        raise UnavailableError(f"session {session} is kept by several processes at once")

    async def draw(self, session: str, number: int, used: Used) -> Portion:
        """See the port."""
        live = await self._keeping.get(session)
        held, used = _claim(live, number), used.credible()

        def work(tx: Transaction) -> tuple[Portion, Portion, str, Activation]:
            row, found = self._rows(tx, session)
            if row.state is not SessionState.OPEN:
                return held, _nothing(found), "", found
            kept, more = allowance.draw(tx, found, held, used)
            beyond = ""
            if allowance.is_spent(more):
                beyond = "rows" if more.rows == 0 else "bytes"
                allowance.pause(tx, row, f"the allowed {beyond}")
            return kept, more, beyond, found

        kept = NO_PORTION  # where nobody knows what was committed, what it held stays spent
        try:
            kept, more, beyond, found = await self._services.store.transact(work)
        except ConflictError:
            kept = held  # nothing was written
            raise
        finally:
            if number not in live.told_early:  # a journal has told meanwhile what became of it
                live.held[number] = kept
        if beyond:
            live.forget()
            await allowance.announce_pause(self._services, found, beyond)
        return more

    async def report(self, session: str, outcome: Outcome) -> Standing:
        """See the port. It takes nothing, so it never waits for the log."""
        live = await self._keeping.get(session)
        held, used = _claim(live, outcome.number), outcome.used.credible()
        event = ev.ActionFinished(
            session=session,
            number=outcome.number,
            rows=used.rows,
            bytes=used.bytes,
            duration=outcome.duration,
            code=printable(outcome.code, _CODE_LIMIT),
        )
        recorder = self._recorder
        if recorder is not None and recorder.is_ready and self._is_undisturbed(live):
            recorder.add_outcome(live, event, held, used)
            standing = Standing.OPEN
        else:
            try:
                standing = await self._reported(live, Pending(event, held, used))
            except BaseException:
                live.held[outcome.number] = held  # told again, it counts once
                raise
        live.told_early.add(outcome.number)
        return standing

    def _is_undisturbed(self, live: LiveSession) -> bool:
        """As far as this process knows it is open still: nothing was ordered since it was seen."""
        confirmed, basis = live.confirmed, live.basis
        return (
            confirmed is not None
            and confirmed.orders == self._services.live.orders
            and basis is not None
            and basis.session.state is SessionState.OPEN
        )

    async def _reported(self, live: LiveSession, outcome: Pending) -> Standing:
        """Put it on record now, behind what waits."""
        async with live.writing:
            waiting, stock = tuple(live.pending), live.set_aside()

            def work(tx: Transaction) -> Standing:
                row = self._keeping.row(tx, live.id)
                if row.state is SessionState.CLOSED:
                    return Standing.OVER
                due = append(tx, live, (*waiting, outcome), row.keeper)
                self._settle(tx, live, due, stock, row)
                return _standing(row)

            try:
                standing = await self._services.store.transact(work, urgent=True)
            except BaseException:
                live.is_unsure = True
                live.in_doubt.add(outcome.event.number)  # whatever is written before it comes again
                raise
            live.in_doubt.discard(outcome.event.number)
            if self._recorder is not None:
                self._recorder.wrote(live, waiting)
            return standing

    async def end_session(self, session: str, reason: str) -> None:
        """See the port. What was allowed and not reported by now stays spent."""
        kept = self._keeping.find(session)
        live = kept or self._keeping.fresh(session)
        async with live.writing:
            waiting, stock, number = tuple(live.pending), live.set_aside(), live.number
            live.forget()  # nothing more is answered from memory

            def work(tx: Transaction) -> None:
                row = tx.find(Session, session)
                if row is None or row.gateway != self._gateway or row.state is SessionState.CLOSED:
                    return
                # Ending waits for nothing; what cannot be told to be missing shows as a gap.
                due: Sequence[Pending] = ()
                with suppress(UnsureError):
                    due = append(tx, live, waiting, row.keeper)
                self._settle(tx, live, due, stock, row)
                is_ours = kept is not None and row.keeper == live.keeper
                over = end_session(tx, row, printable(reason, _REASON_LIMIT))
                close_session(tx, over, number if is_ours else None)
                settle_debt(tx, session)

            await self._services.store.transact(work, urgent=True)
            if self._recorder is not None:
                self._recorder.forget(live)
        self._keeping.forget(session)

    def _settle(
        self,
        tx: Transaction,
        live: LiveSession,
        due: Sequence[Pending],
        stock: Stock,
        row: Session,
    ) -> None:
        """Give back what is not used, and what was spent in advance."""
        if not live.is_spoilt:
            give_back(tx, live.found or tx.get(Activation, row.activation), due, stock)

    async def standing(self, sessions: Sequence[str]) -> dict[str, Standing]:
        """See the port. That its gateway asks is noted now and then."""

        def read(view: View) -> tuple[datetime, list[Session]]:
            found = [view.find(Session, one) for one in dict.fromkeys(sessions)]
            return view.now(), [row for row in found if row and row.gateway == self._gateway]

        now, rows = await self._services.store.read(read)
        late = [r.id for r in rows if r.state in LIVE and now - r.heard_at > HEARD_EVERY]
        if late:
            await self._services.store.transact(lambda tx: self._hear(tx, late), urgent=True)
        for row in rows:
            if row.state is SessionState.CLOSED:
                self._keeping.forget(row.id)
        told = {row.id: _standing(row, now) for row in rows if not self._is_cut(row.id)}
        return {one: told.get(one, Standing.OVER) for one in sessions}

    async def grants(self, journal: str, sessions: Sequence[str]) -> Granted:
        """See the port, and ``offline_desk``."""
        return await self._offline.grants(journal, sessions)

    async def take(self, told: Told) -> Taken:
        """See the port, and ``offline_desk``."""
        return await self._offline.take(told)

    def cuts(self) -> AsyncIterator[Cut | None]:
        """See the port."""
        return self._services.live.cuts()

    def _is_cut(self, session: str) -> bool:
        """This process has ended it by itself; the store will know it soon."""
        live = self._keeping.find(session)
        return live is not None and bool(live.cut_for)

    def _hear(self, tx: Transaction, sessions: Sequence[str]) -> None:
        for one in sessions:
            row = tx.find(Session, one)
            if row is not None and row.state in LIVE:
                tx.put(msgspec.structs.replace(row, heard_at=tx.now()))

    def _rows(self, tx: Transaction, session: str) -> tuple[Session, Activation]:
        """Raises ConflictError when the session is over."""
        row = self._keeping.row(tx, session)
        if row.state not in LIVE or tx.now() >= row.not_after:
            raise ConflictError(f"session {session} is over")
        return row, tx.get(Activation, row.activation)


def _claim(live: LiveSession, number: int) -> Portion:
    """What an action holds of the allowance, for one to settle: it is given back once.

    Raises:
        RequestError: No such action is under way, or it is told of just now.
    """
    held = live.held.pop(number, None)
    if held is not None:
        return held
    if 0 < number <= live.early and number not in live.told_early:
        return Portion()  # whatever it held was spent in the other process and stays spent
    raise RequestError(f"session {live.id} has no action {number} under way")


def _nothing(found: Activation) -> Portion:
    """An empty portion of what is restricted; of something, for it says that nothing may pass."""
    limits = found.request.spends
    return Portion(rows=0, bytes=None if limits.bytes is None else 0)


def _standing(row: Session, now: datetime | None = None) -> Standing:
    if now is not None and now >= row.not_after:
        return Standing.OVER
    match row.state:
        case SessionState.OPEN:
            return Standing.OPEN
        case SessionState.PAUSED:
            return Standing.PAUSED
        case SessionState.OVER | SessionState.CLOSED:
            return Standing.OVER
