"""Whether one action may be done now: policy, and one atomic check that puts the answer on record.

Policy is asked first, outside, about rows that were read before; the transaction then sees that
they are what is stored at that very moment (``session_basis``), spends the allowance, and appends
the event. So a decision costs one transaction, and many sessions' transactions share a commit.
"""

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.allowance import Portion
from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision
from callpoint.domain.errors import RequestError, UnavailableError
from callpoint.domain.ids import session_stream
from callpoint.domain.operation import VERBS, Operation
from callpoint.domain.session import HEARD_EVERY, Session, SessionState
from callpoint.domain.untrusted import bounded, printable
from callpoint.lifecycle import obligations
from callpoint.lifecycle.allowance import announce_pause, pause, spend
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_basis import (
    Basis,
    MovedError,
    digest_of,
    question_of,
    read_basis,
)
from callpoint.lifecycle.use import must_be_open
from callpoint.ports.authority import TEXT_LIMIT, Deed, Verdict
from callpoint.ports.stores import Transaction

TRIES = 5
"""So often is decided anew what moved while it was decided."""

OPERATIONS_LIMIT = 64
"""Distinct operations of one action: what it says of them has to fit into one entry."""

OBJECT_LIMIT = 256
"""Characters of an object's name."""

_HASH_SIZE = 64
_REASON_SIZE = 500
_FACTS_KEPT = 256
_SECOND = timedelta(seconds=1)
_PAUSED = "the allowance is spent, and nobody has let the session go on yet"


class Answers:
    """Policy's answers of late, by rules and facts: an activation's sessions share their facts."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], dict[Operation, Decision]] = OrderedDict()

    def about(self, rules: str, facts: str) -> dict[Operation, Decision]:
        """Those to questions about exactly these facts, to be added to."""
        found = self._kept.setdefault((rules, facts), {})
        self._kept.move_to_end((rules, facts))
        if len(self._kept) > _FACTS_KEPT:
            self._kept.popitem(last=False)
        return found


@dataclass(slots=True)
class LiveSession:
    """What this process remembers of a session that it keeps.

    Attributes:
        basis: What decisions rest on; None: it is to be read.
        number: Of the newest action.
        told: The facts that stand in the session's stream already, as of this process.
        held: What allowed actions hold of the allowance, until they have told what they used.
        keeper: Names this process.
        shared: Answers that its other sessions got.
        early: Actions up to this number were decided in another process, which knew what they hold.
        lag: How far the store's clock is ahead of ours.
    """

    id: str
    keeper: str
    shared: Answers
    number: int = 0
    basis: Basis | None = None
    asked: Asked | None = None
    digest: str = ""
    answers: dict[Operation, Decision] = field(default_factory=dict)
    told: str = ""
    held: dict[int, Portion] = field(default_factory=dict)
    early: int = 0
    told_early: set[int] = field(default_factory=set)
    lag: timedelta = timedelta(0)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeptElsewhereError(Exception):
    """Another process numbers the session's actions now: take it over again."""


class _Made(msgspec.Struct, frozen=True):
    """What a transaction did."""

    verdict: Verdict
    session: Session
    lag: timedelta
    beyond: str = ""


async def decide(services: Services, gateway: str, live: LiveSession, deed: Deed) -> Verdict:
    """Whether the deed may be done now; either way it is on record.

    Raises:
        ConflictError: The session is over.
        RequestError: The deed says nothing.
        KeptElsewhereError: Nothing was decided.
        TamperError: A row is not what the log says.
        UnavailableError, LogUnavailableError, ClockError: Nobody can say now.
    """
    operations = tuple(sorted(set(deed.operations)))
    if not operations and not deed.refused:
        raise RequestError("a deed has at least one operation")
    async with live.lock:
        live.number += 1
        made = await _settled(services, gateway, live, deed, operations)
        if live.basis is not None:
            live.basis = msgspec.structs.replace(live.basis, session=made.session)
        if made.verdict.allowed:
            live.held[made.verdict.number] = made.verdict.portion
        found = live.basis.found if live.basis is not None else None
    if made.beyond and found is not None:
        await announce_pause(services, found, made.beyond)
    return made.verdict


async def current(services: Services, gateway: str, live: LiveSession) -> Basis:
    """What decisions in the session rest on, read and proven if it is not at hand.

    Raises:
        ConflictError: The session is over.
        KeptElsewhereError: It is not ours any more.
    """
    if live.basis is None:
        rules = await services.rules.current()
        basis, now = await services.store.read(
            lambda view: (read_basis(view, services, rules, live.id, gateway), view.now())
        )
        if basis.session.keeper != live.keeper:
            raise KeptElsewhereError
        live.basis = basis
        live.lag = now - services.clock.now()
        live.asked = None
    return live.basis


async def _settled(
    services: Services,
    gateway: str,
    live: LiveSession,
    deed: Deed,
    operations: tuple[Operation, ...],
) -> _Made:
    for _ in range(TRIES):
        try:
            basis = await current(services, gateway, live)
            return await _once(services, live, basis, deed, operations)
        except MovedError as moved:
            live.basis = None
            live.lag = moved.now - services.clock.now()
    raise UnavailableError(
        f"what session {live.id} rests on moves faster than it can be decided", way_out="try again"
    )


async def _once(
    services: Services,
    live: LiveSession,
    basis: Basis,
    deed: Deed,
    operations: tuple[Operation, ...],
) -> _Made:
    """One attempt; MovedError if what it rests on is not what is stored."""
    at = _whole_second(services.clock.now() + live.lag)
    event = ev.ActionDecided(
        actor=basis.session.principal,
        session=live.id,
        number=live.number,
        operations=tuple(_shown(one) for one in operations[:OPERATIONS_LIMIT]),
        allowed=False,
        text_sha256=printable(deed.text_sha256, _HASH_SIZE),
        private=_private(services, deed),
    )
    reason = printable(deed.refused, _REASON_SIZE) or _unfit(operations)
    event = msgspec.structs.replace(event, reason=reason)
    if not event.reason and basis.session.state is SessionState.PAUSED:
        event = msgspec.structs.replace(event, reason=_PAUSED)
    if not event.reason:
        event = _answered(services, live, basis, event, operations, at)

    def work(tx: Transaction) -> _Made:
        now = basis.must_hold(tx, services, at)
        return _record(tx, basis, event, deed, now, now - services.clock.now())

    made = await services.store.transact(work)
    if event.asked is not None:
        live.told = event.basis
    live.lag = made.lag
    return made


def _answered(
    services: Services,
    live: LiveSession,
    basis: Basis,
    event: ev.ActionDecided,
    operations: tuple[Operation, ...],
    at: datetime,
) -> ev.ActionDecided:
    """With policy's answers. The same question under the same facts has the same answer."""
    asked = live.asked
    if asked is None or asked.at != at:
        asked = live.asked = basis.asked(at)
        live.digest = digest_of(asked)
        live.answers = live.shared.about(basis.rules.digest, live.digest)
    fresh = [one for one in operations if one not in live.answers]
    questions = [question_of(asked, one) for one in fresh]
    live.answers.update(zip(fresh, services.pep.decisions(basis.rules, questions), strict=True))
    decisions = tuple(live.answers[one] for one in operations)
    lacking = _lacking(asked, operations, decisions)
    return msgspec.structs.replace(
        event,
        allowed=all(decision.allowed for decision in decisions) and not lacking,
        reason=lacking,
        basis=live.digest,
        asked=None if live.told == live.digest else asked,
        decisions=decisions,
    )


def _lacking(
    asked: Asked, operations: tuple[Operation, ...], decisions: tuple[Decision, ...]
) -> str:
    """What a yes obliges to that no gateway does; each action is recorded, nobody is told of it."""
    for one, decision in zip(operations, decisions, strict=True):
        owed = obligations.unmet(question_of(asked, one), decision.obligations, can_tell=False)
        if owed is not None:
            return f"policy obliges to {owed}, which cannot be done for a single action"
    return ""


def _record(
    tx: Transaction,
    basis: Basis,
    event: ev.ActionDecided,
    deed: Deed,
    now: datetime,
    lag: timedelta,
) -> _Made:
    session, portion, beyond = basis.session, Portion(), ""
    if event.allowed:
        must_be_open(basis.incident, now)
        spent = spend(tx, basis.found, event.operations, deed.portion)
        portion, beyond = spent.portion, spent.beyond
    if beyond:
        event = msgspec.structs.replace(event, allowed=False, reason=f"{beyond} are spent")
        session = pause(tx, session, beyond)
    elif now - session.acted_at > HEARD_EVERY:
        session = tx.put(msgspec.structs.replace(session, heard_at=now, acted_at=now))
    tx.append(session_stream(session.id), event)
    is_paused = session.state is SessionState.PAUSED
    verdict = Verdict(
        allowed=event.allowed,
        number=event.number,
        reasons=() if event.allowed else _reasons(event),
        way_out=_way_out(basis, is_paused=is_paused),
        portion=portion,
        is_paused=is_paused,
    )
    return _Made(verdict, session, lag, beyond)


def _reasons(event: ev.ActionDecided) -> tuple[str, ...]:
    if event.reason:
        return (event.reason,)
    refusals = [decision for decision in event.decisions if not decision.allowed]
    told = [text for one in refusals for text in (one.reasons or one.errors)]
    return tuple(dict.fromkeys(told))


def _way_out(basis: Basis, *, is_paused: bool) -> str:
    if not is_paused:
        return ""
    return (
        "a person who does not stand behind the request lets it go on:"
        f" `callpoint session resume {basis.found.id}`"
    )


def _unfit(operations: tuple[Operation, ...]) -> str:
    """Why policy need not be asked at all; empty when it is asked."""
    if len(operations) > OPERATIONS_LIMIT:
        return f"an action has at most {OPERATIONS_LIMIT} operations, this one {len(operations)}"
    unknown = sorted({one.verb for one in operations} - set(VERBS))
    if unknown:
        return f"no policy knows the verb {printable(unknown[0], 64)}"
    if any(_shown(one) != one for one in operations):
        return f"an object's name is printable and has at most {OBJECT_LIMIT} characters"
    return ""


def _shown(one: Operation) -> Operation:
    """As it can stand in an entry."""
    return Operation(printable(one.verb, 64), printable(one.object, OBJECT_LIMIT))


def _private(services: Services, deed: Deed) -> dict[str, ev.Private]:
    """What was said, which may hold anybody's data: bounded once more, and erasable."""
    found: dict[str, ev.Private] = {}
    if deed.text:
        found["text"] = services.private(bounded(deed.text, TEXT_LIMIT))
    if deed.parameters:
        text = json.dumps([bounded(one, TEXT_LIMIT) for one in deed.parameters[:100]])
        found["parameters"] = services.private(bounded(text, TEXT_LIMIT))
    return found


def _whole_second(moment: datetime) -> datetime:
    """Facts are whole seconds, so within one of them the question is the same."""
    return moment.replace(microsecond=0)
