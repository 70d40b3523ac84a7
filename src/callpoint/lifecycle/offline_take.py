"""Taking in what a gateway did without its authority: each entry once, whatever is wrong with it.

The gateway's word is evidence of what it did, not of what it was allowed, so each entry is judged
(``offline_judge``). One that no grant covers is *refused*: it is in trouble, a finding, and told to
who watches; but it is recorded, because what was done was done (docs/adr/0024).
"""

from dataclasses import replace

import msgspec

from callpoint.audit.entry import parse_entry, parse_time
from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import RequestError
from callpoint.domain.ids import (
    REFUSALS_STREAM,
    activation_stream,
    offline_stream,
    session_stream,
)
from callpoint.domain.offline import (
    NOTHING,
    GrantError,
    OfflineGrant,
    grant_digest,
)
from callpoint.domain.offline_journal import (
    Chained,
    DecidedOffline,
    FinishedOffline,
    GrantUsed,
    LeftOffline,
    ReportedLate,
    Told,
)
from callpoint.domain.offline_record import OfflineSpending, TakenJournal, taken_key
from callpoint.domain.operation import Operation
from callpoint.domain.session import NOBODY, Session, SessionState
from callpoint.domain.untrusted import bounded, printable
from callpoint.lifecycle import allowance
from callpoint.lifecycle.offline_along import Remembered, acted_in, take_along
from callpoint.lifecycle.offline_follow import pause_overspent, raise_findings, settle_debts
from callpoint.lifecycle.offline_judge import (
    Page,
    Place,
    must_be_journal,
    unlinked,
)
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_answer import OBJECT_LIMIT, OPERATIONS_LIMIT
from callpoint.lifecycle.session_end import close_session, end_session
from callpoint.lifecycle.session_memory import NO_PORTION
from callpoint.lifecycle.session_write import named
from callpoint.ports.authority import TEXT_LIMIT
from callpoint.ports.authority_calls import MAX_TOLD
from callpoint.ports.grants import GrantReader
from callpoint.ports.stores import Transaction

_WITHOUT = "without the authority"
_DECIDED, _ENDED = "action:decided", "action:finished"
_ID, _HASH, _CODE, _REASON, _PARAMETERS = 64, 64, 64, 500, 100


class Result(msgspec.Struct, frozen=True):
    """What became of a part of a journal.

    Attributes:
        seq: Up to which entry it was taken.
        pages: The sessions that it tells of.
        ended: Actions whose outcome it told, of those that the authority had allowed.
        closed: Sessions of which nothing more comes.
    """

    seq: int
    pages: tuple[Page, ...]
    ended: tuple[tuple[str, int], ...] = ()
    closed: frozenset[str] = frozenset()


class Unread:
    """A reader without keys, for a journal in which nothing waits."""

    def read(self, token: str) -> OfflineGrant:  # noqa: ARG002 -- the port's
        """Never."""
        raise GrantError("this server reads no offline grants")


async def take(
    services: Services, reader: GrantReader, gateway: str, told: Told, known: Remembered
) -> Result:
    """Put a part of a journal on record, behind what waits in its sessions.

    Raises:
        RequestError: It is no part of a journal.
        UnsureError, LogUnavailableError, StoreUnavailableError: Not now; nothing was taken.
    """
    if len(told.entries) > MAX_TOLD:
        raise RequestError(f"a journal is told at most {MAX_TOLD} entries at a time")
    must_be_journal(told.journal)

    late: dict[str, set[int]] = {}
    for one in told.entries:
        if isinstance(one.entry, ReportedLate):
            late.setdefault(one.entry.session, set()).add(one.entry.number)
    # Read apart, for it can be long: in the sessions that are kept here nobody else writes now.
    acted = await services.store.read(lambda view: acted_in(view, gateway, late, known.along))
    known = replace(known, acted=acted)

    def work(tx: Transaction) -> Result:
        take_along(tx, known)
        return _Taking(tx, services, reader, gateway, told, known).run()

    return await services.store.transact(work)


class _Taking:
    """One transaction."""

    def __init__(
        self,
        tx: Transaction,
        services: Services,
        reader: GrantReader,
        gateway: str,
        told: Told,
        known: Remembered,
    ) -> None:
        self._tx = tx
        self._services = services
        self._reader = reader
        self._gateway = gateway
        self._told = told
        self._known = known
        self._ended: list[tuple[str, int]] = []
        self._closed: set[str] = set()
        self._pages: dict[str, Page] = {}
        self._journal = told.journal
        self._place = Place(services.installation.id, gateway, self._journal)

    def run(self) -> Result:
        """All of it."""
        tx = self._tx
        key = taken_key(self._gateway, self._journal)
        before = tx.find(TakenJournal, key) or TakenJournal(self._gateway, self._journal)
        taken = before
        for one in self._told.entries:
            if taken.has(one.seq, one.hash):
                continue  # told before
            self._take(one, unlinked(one, taken.seq, taken.head))
            taken = taken.with_one(one.seq, printable(one.hash, _HASH))
        if taken is not before:
            tx.put(taken)
        raise_findings(tx, self._pages)
        if self._told.is_whole:
            settle_debts(tx, self._gateway, self._journal, self._told.open)
        pause_overspent(tx, self._pages)
        pages = tuple(self._pages.values())
        return Result(taken.seq, pages, tuple(self._ended), frozenset(self._closed))

    # ---------------------------------------------------------------- one entry

    def _take(self, one: Chained, trouble: str) -> None:
        entry = one.entry
        page = self._page(entry.session)
        match entry:
            case GrantUsed():
                self._granted(one, entry, page, trouble)
            case DecidedOffline():
                self._decided(one, entry, page, trouble)
            case FinishedOffline():
                self._finished(one, entry, page, trouble)
            case ReportedLate():
                self._reported(one, entry, page, trouble)
            case LeftOffline():
                self._left(entry, page)

    def _page(self, session: str) -> Page:
        """What the store has about it; a session of another gateway is none."""
        page = self._pages.get(session)
        if page is not None:
            return page
        row = self._tx.find(Session, session)
        if row is not None and row.gateway != self._gateway:
            row = None
        found = self._tx.find(Activation, row.activation) if row is not None else None
        page = self._pages[session] = Page(row, found)
        for item in self._tx.entries(activation_stream(found.id)) if found is not None else ():
            logged = parse_entry(item.leaf)
            page.stood(session, ev.parse(logged.type, logged.data), parse_time(logged.at))
        for item in self._tx.entries(offline_stream(session)) if row is not None else ():
            logged = parse_entry(item.leaf)
            page.learn(ev.parse(logged.type, logged.data))
        return page

    def _granted(self, one: Chained, entry: GrantUsed, page: Page, trouble: str) -> None:
        granted: OfflineGrant | None = None
        try:
            granted = self._reader.read(entry.token)
        except GrantError as error:
            trouble = trouble or error.message
        digest = grant_digest(entry.token)
        if granted is not None:
            trouble = trouble or self._place.not_for(granted, entry.session)
        event = ev.SessionOffline(
            actor=_actor(page),
            session=printable(entry.session, _ID),
            gateway=self._gateway,
            journal=self._journal,
            place=one.seq,
            grant=digest,
            granted=granted,
            trouble=trouble,
        )
        self._append(page, event, trouble)
        page.learn(event)

    def _decided(self, one: Chained, entry: DecidedOffline, page: Page, trouble: str) -> None:
        spent = self._spent(page.found.id).spent if page.found is not None else NOTHING
        trouble = trouble or self._place.uncovered(entry, page, spent, self._tx.now())
        event = ev.ActionOffline(
            actor=_actor(page),
            session=printable(entry.session, _ID),
            gateway=self._gateway,
            journal=self._journal,
            place=one.seq,
            number=entry.number,
            operations=_shown(entry.operations),
            allowed=entry.allowed,
            portion=entry.portion.credible(),
            decided_at=entry.at,
            grant=printable(entry.grant, _HASH),
            text_sha256=printable(entry.text_sha256, _HASH),
            reason=printable(entry.reason, _REASON),
            trouble=trouble,
            private=self._private(entry),
        )
        self._append(page, event, trouble)
        page.learn(event)
        if entry.allowed and page.found is not None:
            page.was_used = True
            self._spend(page.found, event)

    def _finished(self, one: Chained, entry: FinishedOffline, page: Page, trouble: str) -> None:
        held = page.held.get(entry.number)
        if held is None:
            trouble = trouble or "nothing is known of an action that it could end"
        used = entry.used.credible()
        if page.found is not None:
            trouble = trouble or self._beyond(page.found, held or NO_PORTION, used)
            self._settle(page.found, held or NO_PORTION, used)
        event = self._ending(one, entry, trouble)
        self._append(page, event, trouble)
        page.learn(event)

    def _settle(self, found: Activation, held: Portion, used: Used) -> None:
        """Take off what was really used, in the place of what it held."""
        allowance.settle(self._tx, found, held, used)
        row = self._spent(found.id)
        self._tx.put(msgspec.structs.replace(row, spent=row.spent.settled(held, used)))

    def _beyond(self, found: Activation, held: Portion, used: Used) -> str:
        """What of it is too much, in words."""
        rule = found.request.offline
        if isinstance(rule, msgspec.UnsetType):
            return ""
        after, most = self._spent(found.id).spent.settled(held, used), rule.allowance
        for name in ("rows", "bytes"):
            if getattr(after, name) > getattr(most, name):
                return f"more than the {getattr(most, name)} {name} that are allowed {_WITHOUT}"
        return ""

    def _ending(
        self, one: Chained, entry: FinishedOffline | ReportedLate, trouble: str
    ) -> ev.ActionFinishedOffline:
        used = entry.used.credible()
        return ev.ActionFinishedOffline(
            session=printable(entry.session, _ID),
            gateway=self._gateway,
            journal=self._journal,
            place=one.seq,
            number=entry.number,
            rows=used.rows,
            bytes=used.bytes,
            duration=entry.duration,
            finished_at=entry.at,
            code=printable(entry.code, _CODE),
            is_late=isinstance(entry, ReportedLate),
            trouble=trouble,
        )

    def _reported(self, one: Chained, entry: ReportedLate, page: Page, trouble: str) -> None:
        """The outcome of what the authority had allowed; told once more, it changes nothing.

        It goes into the session's own stream, and where that does not have the action, beside it.
        """
        row, found = page.row, page.found
        acted = self._known.acted[entry.session]
        if (_ENDED, entry.number) in acted:
            return
        if row is not None and row.state is SessionState.CLOSED:
            trouble = trouble or "the session's own stream was closed before this outcome came"
        if (_DECIDED, entry.number) not in acted:
            trouble = trouble or "what was decided about the action is not on record"
        if trouble or row is None or found is None:
            self._append(page, self._ending(one, entry, trouble), trouble)
            return
        used = entry.used.credible()
        event = ev.ActionFinished(
            session=row.id,
            number=entry.number,
            rows=used.rows,
            bytes=used.bytes,
            duration=entry.duration,
            code=printable(entry.code, _CODE),
        )
        self._tx.append(session_stream(row.id), event)
        acted.add(named(event))
        self._let_go(row, page)
        # What it held is not known where another process had allowed it: then that stays spent.
        held = self._known.held.get((row.id, entry.number), NO_PORTION)
        allowance.settle(self._tx, found, held, used)
        self._ended.append((row.id, entry.number))

    def _let_go(self, row: Session, page: Page) -> None:
        """Of a session that another process keeps: an outcome was written that it may have, too.

        With nobody as the keeper it finds that out when it writes, and whoever goes on takes over.
        """
        kept = self._known.along.get(row.id)
        if kept is None or row.keeper != kept.live.keeper:
            page.row = self._tx.put(msgspec.structs.replace(row, keeper=NOBODY))

    def _left(self, entry: LeftOffline, page: Page) -> None:
        """It is over, whatever else is wrong; who keeps it knows the number of its last action."""
        row = page.row
        if row is None:
            return
        kept = self._known.along.get(row.id)
        is_ours = kept is not None and row.keeper == kept.live.keeper
        over = end_session(self._tx, row, printable(entry.reason, _CODE))
        page.row = close_session(self._tx, over, kept.number if kept and is_ours else None)
        self._closed.add(row.id)

    # ---------------------------------------------------------------- what follows from it

    def _append(
        self,
        page: Page,
        event: ev.SessionOffline | ev.ActionOffline | ev.ActionFinishedOffline,
        trouble: str,
    ) -> None:
        """Into the session's stream; what belongs to no session of this gateway, among refusals."""
        stream = REFUSALS_STREAM if page.row is None else offline_stream(event.session)
        self._tx.append(stream, event)
        if trouble:
            page.troubles.append(f"session {event.session}: {trouble}")

    def _private(self, entry: DecidedOffline) -> dict[str, ev.Private]:
        found: dict[str, ev.Private] = {}
        if entry.text:
            found["text"] = self._services.private(bounded(entry.text, TEXT_LIMIT))
        if entry.parameters:
            shown = [bounded(one, TEXT_LIMIT) for one in entry.parameters[:_PARAMETERS]]
            words = msgspec.json.encode(shown).decode()
            found["parameters"] = self._services.private(bounded(words, TEXT_LIMIT))
        return found

    def _spent(self, activation: str) -> OfflineSpending:
        return self._tx.find(OfflineSpending, activation) or OfflineSpending(activation)

    def _spend(self, found: Activation, done: ev.ActionOffline) -> None:
        """Off both allowances; it was done, so nothing is asked."""
        row = self._spent(found.id)
        after = row.spent.acted(done.operations, done.portion)
        self._tx.put(msgspec.structs.replace(row, spent=after))
        allowance.charge(self._tx, found, done.operations, done.portion)


def _actor(page: Page) -> str:
    return page.row.principal if page.row is not None else ""


def _shown(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    return tuple(
        Operation(printable(one.verb, 64), printable(one.object, OBJECT_LIMIT))
        for one in operations[:OPERATIONS_LIMIT]
    )
