"""Puts on record, in the background and in batches, what sessions were answered beside it.

Two kinds of things wait: decisions on targets with ``evidence = "with"``, which are written at
once, and outcomes of actions, which mostly ride along with their session's next decision. What is
ahead of the log is bounded: beyond it the next decision waits. Where the log or the store fails, or
the transaction finds that something was not as it was answered, the session is ended, on record.
"""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import (
    CallpointError,
    ConflictError,
    LogUnavailableError,
    StoreUnavailableError,
)
from callpoint.domain.gateway import Evidence
from callpoint.domain.record import Record
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.services import Services, must_keep_time
from callpoint.lifecycle.session_answer import answered, current, whole_second
from callpoint.lifecycle.session_memory import Confirmed, KeptElsewhereError, LiveSession, Pending
from callpoint.lifecycle.session_write import Part, UnsureError, Written, write
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.stores import Transaction

MOST_AHEAD = 256
"""Decisions that were answered and are not durable: so many at most a crash can lose."""

LONGEST_AHEAD = timedelta(seconds=1)
"""While one of them has waited so long, no further one is answered before its record."""

FAILED = "record_failed"
DISAGREES = "record_disagrees"

_LINGER = 0.1
"""Seconds that an outcome waits for the next decision of its session to take it along."""

_IDLE = 1.0
"""Seconds without an action, after which what was spent in advance is given back."""

_AGAIN = timedelta(milliseconds=250)
_FINISH = 3.0


class _Told(msgspec.Struct, frozen=True):
    """What a transaction did: of each session, or why it could not."""

    now: datetime
    holding: frozenset[str]
    written: dict[str, Written]


class Recorder:
    """One for each process that decides. While ``run`` does not run, everything is recorded before.

    Args:
        services: Ports and rules.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._is_open = False
        self._is_failing = False
        self._due: dict[str, LiveSession] = {}
        self._stocked: dict[str, LiveSession] = {}
        self._ahead: dict[int, float] = {}
        self._names = itertools.count(1)
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether what is left to it will be written."""
        return self._is_open and not self._is_failing

    async def has_room(self) -> bool:
        """Wait until one more decision may be ahead of the log; False: none may for now."""
        while self.is_ready and self._is_full():
            self._moved.clear()
            await self._moved.wait()
        return self.is_ready

    def add_decision(self, live: LiveSession, event: ev.ActionDecided) -> None:
        """It was answered; it may be let through from here on."""
        now = self._services.clock.monotonic()
        name = next(self._names)
        self._ahead[name] = live.acted = now
        live.pending.append(Pending(event, ahead=name))
        self._due[live.id] = self._stocked[live.id] = live
        self._wake.set()

    def add_outcome(
        self, live: LiveSession, event: ev.ActionFinished, held: Portion, used: Used
    ) -> None:
        """An action has ended."""
        live.pending.append(Pending(event, held, used))
        if not self._due:
            self._wake.set()
        self._due[live.id] = live

    def wrote(self, live: LiveSession, waiting: Sequence[Pending]) -> None:
        """Somebody's transaction took along the first of what waits."""
        for one in waiting:
            live.pending.popleft()
            self._ahead.pop(one.ahead, None)
        live.is_unsure = False
        if not live.pending and not live.cut_for:
            self._due.pop(live.id, None)
        self._moved.set()

    def keep(self, live: LiveSession) -> None:
        """Something is spent in advance: it is given back when nothing is done for a while."""
        live.acted = self._services.clock.monotonic()
        self._stocked[live.id] = live

    async def look_again(self, live: LiveSession) -> None:
        """What it rests on moved: would what is ahead of the log be answered now? Else end it."""
        reason = await _disagreement(self._services, live, tuple(live.pending))
        if reason:
            self.cut(live, reason)

    def forget(self, live: LiveSession) -> None:
        """It is over, and nothing of it will be written any more."""
        self.wrote(live, tuple(live.pending))
        self._rest(live)

    async def run(self, stop: asyncio.Event) -> None:
        """Write until ``stop`` is set, and then what is left, as long as there is time for it."""
        self._is_open = True
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._work(), name="recorder")
                await stop.wait()
                self._close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_FINISH):
                        while self._due:
                            self._moved.clear()
                            self._wake.set()
                            await self._moved.wait()
                work.cancel()
        finally:
            self._close()

    def _close(self) -> None:
        self._is_open = False
        self._moved.set()

    def _is_full(self) -> bool:
        if len(self._ahead) >= MOST_AHEAD:
            return True
        oldest = next(iter(self._ahead.values()), None)
        if oldest is None:
            return False
        return self._services.clock.monotonic() - oldest > LONGEST_AHEAD.total_seconds()

    async def _work(self) -> None:
        while True:
            if self._is_failing:
                await self._services.clock.sleep(_AGAIN)
            else:
                await self._something_due()
            parts = await self._taken()
            try:
                if parts:
                    await self._attempt(parts)
            finally:
                _release(parts)
                self._moved.set()

    async def _something_due(self) -> None:
        """Decisions are written at once; outcomes and stocks when nothing else took them along."""
        while not any(_presses(live) for live in self._due.values()):
            patience = _LINGER if self._due else _IDLE if self._stocked else None
            try:
                async with asyncio.timeout(patience):
                    await self._wake.wait()
            except TimeoutError:
                return
            self._wake.clear()
            if not self._is_open:
                return

    async def _taken(self) -> list[Part]:
        """What waits; where somebody else is writing, that one takes it along.

        By name, like everybody who writes in several sessions at once (``offline_desk``): one that
        is free can have been promised to somebody, and then this waits for that one.
        """
        parts: list[Part] = []
        try:
            for live in self._free():
                if live.writing.locked():
                    continue
                await live.writing.acquire()
                parts.append(_part(live, is_idle=self._is_idle(live)))
        except BaseException:
            _release(parts)
            raise
        return parts

    def _free(self) -> list[LiveSession]:
        """Sessions with something to write, in which nobody does, as many as one commit takes."""
        found, count = [], 0
        for live in {**self._due, **self._stocked}.values():
            if live.writing.locked() or not (live.pending or self._is_idle(live)):
                continue
            found.append(live)
            count += len(live.pending)
            if count >= MOST_AHEAD:
                break
        return sorted(found, key=lambda live: live.id)

    def _is_idle(self, live: LiveSession) -> bool:
        if live.cut_for:  # its end is written at once, whatever a decision on its way has kept
            return True
        return self._services.clock.monotonic() - live.acted >= _IDLE and not live.is_ahead()

    async def _attempt(self, parts: Sequence[Part]) -> None:
        """Write these; what fails is tried again later, when its sessions have been ended."""
        services = self._services
        began, orders = services.clock.monotonic(), services.live.orders
        try:
            told = await services.store.transact(
                lambda tx: _write(tx, services, parts), urgent=self._is_failing
            )
        except (StoreUnavailableError, LogUnavailableError):
            self._fail(parts)
        except CallpointError as error:
            if len(parts) > 1:  # one of them is to blame: each on its own
                for part in parts:
                    await self._attempt((part,))
            elif isinstance(error, UnsureError):
                self._fail(parts)
            else:
                self._give_up(parts[0])
        except BaseException:
            _doubt(parts)
            raise
        else:
            self._is_failing = False
            for part in parts:
                await self._learn(part, told, Confirmed(began, told.now, orders))

    def _fail(self, parts: Sequence[Part]) -> None:
        """Nothing can be put on record now: whoever is ahead of it is ended."""
        self._is_failing = True
        _doubt(parts)
        for live in tuple(self._due.values()):
            if live.is_ahead():
                self.cut(live, FAILED)

    def _give_up(self, part: Part) -> None:
        """It cannot be settled as it stands: once more without, and what even so fails is lost.

        The numbers of its actions show that it is.
        """
        if part.live.is_spoilt:
            self.forget(part.live)
            return
        part.live.is_spoilt = True
        if part.live.is_ahead():
            self.cut(part.live, DISAGREES)

    async def _learn(self, part: Part, told: _Told, confirmed: Confirmed) -> None:
        live, written = part.live, told.written.get(part.live.id)
        is_ahead = any(one.ahead for one in part.waiting)
        self.wrote(live, part.waiting)
        if written is None:  # its stream is closed: nothing can be added any more
            self.forget(live)
            return
        live.stock, live.spent = live.stock.filled(written.more), written.spent or live.spent
        if part.cut_for:
            self._rest(live)
        elif part.is_idle:
            self._stocked.pop(live.id, None)
        if live.id in told.holding:
            if live.basis is not None and live.basis is part.basis:
                live.confirmed = confirmed
                if written.session is not None:
                    live.basis = msgspec.structs.replace(live.basis, session=written.session)
        elif is_ahead and not live.cut_for:
            live.forget()
            reason = await _disagreement(self._services, live, part.waiting)
            if reason:
                self.cut(live, reason)

    def _rest(self, live: LiveSession) -> None:
        """Nothing of it is left to do."""
        self._due.pop(live.id, None)
        self._stocked.pop(live.id, None)

    def cut(self, live: LiveSession, reason: str) -> None:
        """End it now on this process; on record as soon as that can be."""
        if live.cut_for:
            return
        live.cut_for = reason
        live.forget()
        self._services.live.cut(Cut(Reach.SESSION, live.id, reason))
        self._due[live.id] = self._stocked[live.id] = live
        self._wake.set()


def _presses(live: LiveSession) -> bool:
    return not live.writing.locked() and (bool(live.cut_for) or live.is_ahead())


def _part(live: LiveSession, *, is_idle: bool) -> Part:
    rests = is_idle or bool(live.cut_for)
    stock = live.set_aside() if rests else live.stock
    return Part(live, tuple(live.pending), live.basis, stock, live.cut_for, is_idle)


def _release(parts: Sequence[Part]) -> None:
    for part in parts:
        part.live.writing.release()


def _doubt(parts: Sequence[Part]) -> None:
    for part in parts:
        part.live.is_unsure = True


def _write(tx: Transaction, services: Services, parts: Sequence[Part]) -> _Told:
    holding = _holding(tx, services, parts)
    written: dict[str, Written] = {}
    for part in parts:
        with suppress(ConflictError):
            written[part.live.id] = write(tx, part, holds=part.live.id in holding)
    return _Told(tx.now(), holding, written)


def _holding(tx: Transaction, services: Services, parts: Sequence[Part]) -> frozenset[str]:
    """Sessions for which what was remembered is what is stored, by one look at the rows of all."""
    asked = {
        part.live.id: part.basis
        for part in parts
        if part.basis is not None and part.basis.evidence is Evidence.WITH
    }
    if not asked:
        return frozenset()
    try:
        must_be_able_to_take_away(services.node)
        must_keep_time(tx, services)
    except CallpointError:
        return frozenset()
    rows: list[tuple[type[Record], str]] = list(
        dict.fromkeys(row for basis in asked.values() for row in basis.rows())
    )
    stored = dict(zip(rows, tx.versions(rows), strict=True))
    now = tx.now()
    return frozenset(
        name for name, basis in asked.items() if basis.is_as(stored) and basis.is_open_at(now)
    )


async def _disagreement(services: Services, live: LiveSession, waiting: Sequence[Pending]) -> str:
    """Why what was answered would not be answered now; empty when it would, or nothing was.

    A row moves for good reasons, too: that its gateway was heard of, for instance.
    """
    events = [one.event for one in waiting if one.ahead and isinstance(one.event, ev.ActionDecided)]
    if not events:
        return ""
    try:
        basis = await current(services, live)
        now = services.clock.now() + live.lag
        if not basis.is_open_at(now):
            return DISAGREES
        at = whole_second(now)
        answers = [answered(services, live, basis, event.operations, at) for event in events]
    except KeptElsewhereError:
        return ""  # another process goes on with it, behind the numbers that these can have
    except CallpointError:
        return DISAGREES
    return "" if all(answer.allowed for answer in answers) else DISAGREES
