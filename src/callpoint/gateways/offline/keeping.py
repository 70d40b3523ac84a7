"""The grants of a gateway's sessions, and decisions by them while the authority is away.

A decision is made under one lock for all sessions of the process: what an activation may still do
is looked at and spent together. It is in the journal, on the disk, before anybody hears of it; what
cannot be written is not done.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import UnavailableError
from callpoint.domain.offline import (
    LONGEST,
    MOST_OPERATIONS,
    NOTHING,
    RENEWED,
    GrantError,
    OfflineAllowance,
    OfflineGrant,
    gateway_audience,
    grant_digest,
)
from callpoint.domain.offline_journal import (
    DecidedOffline,
    FinishedOffline,
    GrantUsed,
    JournalEntry,
    LeftOffline,
    ReportedLate,
)
from callpoint.domain.operation import Operation
from callpoint.domain.untrusted import bounded
from callpoint.ports.authority import Deed, Opened, Outcome, Verdict
from callpoint.ports.clock import Clock
from callpoint.ports.grants import GrantReader
from callpoint.ports.journals import OfflineJournal

NOT_LET_THROUGH = "not_let_through"
"""Code of an action that was recorded as allowed, and then came too late."""

_REASON, _VERB, _OBJECT = 500, 64, 1024
_WAY_OUT = "wait until the gateway hears its authority again"


@dataclass(frozen=True)
class OfflineKit:
    """What a process has for it, handed over by the composition root.

    Attributes:
        reader: Makes what verifies grants from the authority's public keys.
    """

    journal: OfflineJournal
    reader: Callable[[Sequence[str]], GrantReader]


@dataclass(eq=False)
class _Kept:
    """A session that may go on alone.

    Attributes:
        until: Monotonic seconds; the grant holds no longer, whatever is done to the clock.
        asked: Monotonic seconds of the last question for a grant.
        seen: Operations that the authority allowed; those it was asked to grant.
        number: Of the newest action that was decided here.
        held: What allowed actions hold.
        is_used: The grant is in the journal.
    """

    opened: Opened
    grant: OfflineGrant | None = None
    token: str = ""
    until: float = 0.0
    asked: float = float("-inf")
    seen: set[Operation] = field(default_factory=set)
    has_news: bool = False
    number: int = 0
    held: dict[int, Portion] = field(default_factory=dict)
    is_used: bool = False


class Keeping:
    """Of one gateway process.

    Args:
        kit: Journal and reader.
        gateway: Its configured name.
        clock: This process's.

    Attributes:
        is_lost: The authority has said nothing for too long: decisions are made here.
    """

    def __init__(self, kit: OfflineKit, gateway: str, clock: Clock) -> None:
        self.is_lost = False
        self.journal = kit.journal
        self._reader = kit.reader
        self._gateway = gateway
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._spent: dict[str, OfflineAllowance] = {}
        self._lock = asyncio.Lock()

    # ---------------------------------------------------------------- grants

    def watch(self, opened: Opened) -> None:
        """A session that may go on alone, once it has a grant."""
        self._kept[opened.session] = _Kept(opened)

    def knows(self, session: str) -> bool:
        """Whether it may go on alone at all."""
        return session in self._kept

    def forget(self, session: str) -> None:
        """It is over."""
        self._kept.pop(session, None)

    @property
    def sessions(self) -> tuple[str, ...]:
        """Those that are open here and may go on alone."""
        return tuple(self._kept)

    def due(self) -> tuple[str, ...]:
        """Sessions that need a fresh grant: theirs is old, or does not list what was allowed."""
        now = self._clock.monotonic()
        late = now - RENEWED.total_seconds()
        return tuple(s for s, kept in self._kept.items() if kept.has_news or kept.asked <= late)

    def asked_for(self, sessions: Iterable[str]) -> None:
        """The authority is being asked for grants of these."""
        now = self._clock.monotonic()
        for session in sessions:
            kept = self._kept.get(session)
            if kept is not None:
                kept.asked, kept.has_news = now, False

    def learn(self, session: str, operations: Iterable[Operation]) -> None:
        """The authority allowed them: they belong into the next grant."""
        kept = self._kept.get(session)
        if kept is not None and not kept.seen.issuperset(operations):
            kept.seen.update(operations)
            kept.has_news = True

    def refused(self, session: str, operations: Sequence[Operation]) -> None:
        """The authority said no: a grant that lists them is outdated."""
        kept = self._kept.get(session)
        if kept is not None and kept.grant is not None and not kept.grant.refuses(operations):
            kept.grant, kept.has_news = None, True

    def accept(self, session: str, token: str, keys: Sequence[str]) -> None:
        """Take a grant in the place of the last one.

        Raises:
            GrantError: It is not one for this session here, now: the last one is dropped, too.
        """
        kept = self._kept.get(session)
        if kept is None:
            return
        kept.grant = None
        grant = self._reader(keys).read(token)
        opened = kept.opened
        is_ours = (
            grant.aud == gateway_audience(grant.iss, self._gateway)
            and grant.journal == self.journal.name
            and (grant.session, grant.activation) == (opened.session, opened.activation)
            and (grant.principal, grant.incident) == (opened.principal, opened.incident)
            and (grant.target, grant.role) == (opened.target, opened.role)
        )
        now = self._clock.now()
        span = grant.expires_at - max(grant.issued_at, now)
        if not is_ours or not timedelta(0) < span <= LONGEST:
            raise GrantError("the offline grant is not for this session, here and now")
        kept.grant, kept.token, kept.is_used = grant, token, False
        kept.until = self._clock.monotonic() + span.total_seconds()

    def withdraw(self, session: str = "") -> None:
        """No grant of this session holds any more; without a name of none at all.

        What was spent is forgotten with all of them: the authority takes it off the next ones.
        """
        for one in (session,) if session else tuple(self._kept):
            if one in self._kept:
                self._kept[one].grant = None
        if not session:
            self._spent.clear()
            for kept in self._kept.values():
                kept.asked = float("-inf")

    def stands(self, session: str) -> bool:
        """Whether it has a grant that holds now."""
        kept = self._kept.get(session)
        return kept is not None and self._holds(kept) is not None

    def _holds(self, kept: _Kept) -> OfflineGrant | None:
        grant = kept.grant
        if grant is None or self._clock.monotonic() >= kept.until:
            return None
        return grant if self._clock.now() < min(grant.expires_at, kept.opened.not_after) else None

    # ---------------------------------------------------------------- decisions

    async def decide(self, session: str, deed: Deed) -> Verdict:
        """By the grant, and on record. Numbers of what is decided here are below zero.

        Raises:
            UnavailableError: There is no grant, or it cannot be put on record.
        """
        async with self._lock:
            kept, grant = self._granted(session)
            spent = self._spent.get(grant.activation, NOTHING)
            reason = deed.refused or grant.refuses(deed.operations) or _empty(deed)
            if not reason and (beyond := grant.allowance.exceeded(spent, deed.operations)):
                reason = f"the {beyond} that are allowed without the authority are spent"
            portion = Portion() if reason else grant.allowance.portion(spent)
            entry = DecidedOffline(
                session=session,
                number=kept.number + 1,
                grant=grant_digest(kept.token),
                at=self._clock.now(),
                operations=_written(deed.operations),
                allowed=not reason,
                text=deed.text,
                text_sha256=deed.text_sha256,
                parameters=deed.parameters,
                portion=portion,
                reason=bounded(reason, _REASON),
            )
            await self._record(kept, grant, entry)
        if entry.allowed and self._holds(kept) is not grant:
            # The disk took longer than the grant held, or the authority is back meanwhile.
            await self.finish(session, Outcome(-entry.number, Used(), NOT_LET_THROUGH))
            raise UnavailableError("the offline grant ended meanwhile", way_out=_WAY_OUT)
        return Verdict(
            allowed=entry.allowed,
            number=-entry.number,
            reasons=(reason,) if reason else (),
            way_out=_WAY_OUT if reason and not deed.refused else "",
            portion=portion,
        )

    async def _record(self, kept: _Kept, grant: OfflineGrant, entry: DecidedOffline) -> None:
        """Spend, and write it down. What is cancelled here may be on the disk, so it stays spent.

        Raises:
            UnavailableError: It could not be written: nothing was spent.
        """
        spent = self._spent.get(grant.activation, NOTHING)
        first = () if kept.is_used else (GrantUsed(entry.session, kept.token),)
        kept.number, kept.is_used = entry.number, True
        if entry.allowed:
            self._spent[grant.activation] = spent.acted(entry.operations, entry.portion)
            kept.held[entry.number] = entry.portion
        try:
            await self._write(*first, entry)
        except UnavailableError:
            kept.number -= 1
            kept.held.pop(entry.number, None)
            if entry.allowed:
                now = self._spent.get(grant.activation, NOTHING)
                back = NOTHING.acted(entry.operations, entry.portion)
                self._spent[grant.activation] = now.less(back)
            if first and kept.grant is grant:
                kept.is_used = False
            raise

    def draw(self, session: str, number: int, used: Used) -> Portion:
        """A further portion for an action that was allowed here; an empty one: nothing is left."""
        kept = self._kept.get(session)
        grant = self._holds(kept) if kept is not None else None
        if kept is None or grant is None or -number not in kept.held:
            return Portion(0, 0)
        held = kept.held[-number]
        even = self._spent.get(grant.activation, NOTHING).settled(held, used)
        more = grant.allowance.portion(even)
        now_held = Portion(used.rows + (more.rows or 0), used.bytes + (more.bytes or 0))
        kept.held[-number] = now_held
        self._spent[grant.activation] = even.settled(
            Portion(), Used(more.rows or 0, more.bytes or 0)
        )
        return more

    async def finish(self, session: str, outcome: Outcome) -> None:
        """What became of an action that was allowed here.

        Raises:
            UnavailableError: It cannot be put on record; that it was allowed is.
        """
        kept = self._kept.get(session)
        held = kept.held.pop(-outcome.number, Portion()) if kept is not None else Portion()
        activation = kept.opened.activation if kept is not None else ""
        async with self._lock:
            await self._write(
                FinishedOffline(
                    session=session,
                    number=-outcome.number,
                    used=outcome.used,
                    at=self._clock.now(),
                    code=outcome.code,
                    duration=outcome.duration,
                )
            )
            if activation in self._spent:
                spent = self._spent[activation]
                self._spent[activation] = spent.settled(held, outcome.used)

    async def report_late(self, outcomes: Iterable[tuple[str, Outcome]]) -> None:
        """What became of actions that the authority had allowed, by session; it is told again.

        Raises:
            UnavailableError: It cannot be written.
        """
        at = self._clock.now()
        async with self._lock:
            await self._write(
                *(
                    ReportedLate(
                        session=session,
                        number=outcome.number,
                        used=outcome.used,
                        at=at,
                        code=outcome.code,
                        duration=outcome.duration,
                    )
                    for session, outcome in outcomes
                )
            )

    async def left(self, session: str, reason: str) -> None:
        """A session ended, and the authority could not be told.

        Raises:
            UnavailableError: It cannot be written.
        """
        async with self._lock:
            await self._write(LeftOffline(session, reason, self._clock.now()))

    def _granted(self, session: str) -> tuple[_Kept, OfflineGrant]:
        kept = self._kept.get(session)
        grant = self._holds(kept) if kept is not None else None
        if kept is None or grant is None:
            raise UnavailableError(
                "the authority does not answer, and nothing is granted without it", way_out=_WAY_OUT
            )
        return kept, grant

    async def _write(self, *entries: JournalEntry) -> None:
        await asyncio.to_thread(self.journal.append, entries)


def _written(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """Each once. More than a grant can list are refused; what is written must fit into one call."""
    return tuple(
        Operation(bounded(one.verb, _VERB), bounded(one.object, _OBJECT))
        for one in sorted(set(operations))[:MOST_OPERATIONS]
    )


def _empty(deed: Deed) -> str:
    return "" if deed.operations else "it says nothing that could be granted"
