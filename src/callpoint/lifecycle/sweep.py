"""What time does: lapse, expire, idle, escalate, and finish every revocation that is due.

One pass is idempotent and may run on any number of nodes; each piece of work is one transaction
that looks again at the store's clock. Nothing here asks the PDP or waits for the log. A server
lets ``pass_time`` and ``drain`` run apart, so that time waits for no target.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import UNFINISHED, Activation, ActivationState, EndReason
from callpoint.domain.errors import CallpointError, TamperError
from callpoint.domain.ids import activation_stream
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.review import Finding
from callpoint.lifecycle.announce import announce, watchers
from callpoint.lifecycle.drain import Drained, drain, due_targets
from callpoint.lifecycle.ending import end, end_lease, row_of
from callpoint.lifecycle.review import who_may_review
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_end import acts_still, due_sessions, pass_session
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Transaction, View, Where

_BATCH = 1000
_AT_ONCE = 128  # transactions that may share one commit
_OVERDUE = "review_overdue"
_NOT_YET_ENDING = (LeaseState.PLANNED, LeaseState.LIVE)

T = TypeVar("T")


class Swept(msgspec.Struct, frozen=True):
    """What one pass did.

    Attributes:
        moved: Activations that time moved on.
        dead: Leases that were proven dead.
        failed: Leases whose revocation failed again.
        errors: One line for each piece of work that our own side could not do now.
    """

    moved: int = 0
    dead: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()


async def sweep(services: Services) -> Swept:
    """One pass over everything that is due now, targets included."""
    passed = await pass_time(services)
    # Only now: what ended above takes other leases of its activation along.
    until = await services.store.read(lambda view: view.now())
    targets = await due_targets(services)
    drained: list[Drained] = await asyncio.gather(
        *(drain(services, target, due_before=until) for target in targets)
    )
    return Swept(
        moved=passed.moved,
        dead=sum(one.dead for one in drained),
        failed=sum(one.failed for one in drained),
        errors=(*passed.errors, *(line for one in drained for line in one.errors)),
    )


async def pass_time(services: Services) -> Swept:
    """What needs no target: activations move on, leases end, and people are told."""
    errors: list[str] = []
    due = await services.store.read(_due_activations)
    made = await _each(services, [found.id for found in due], _move, errors)
    late = await services.store.read(_due_leases)
    await _each(services, [lease.id for lease in late], _expire, errors)
    sessions = await services.store.read(lambda view: due_sessions(view, _BATCH))
    await _each(services, [session.id for session in sessions], pass_session, errors)
    await services.store.merge_spool()
    moved = [activation for one in made for activation in one]
    for activation in moved:  # last: telling people never holds up a revocation
        await _tell(services, activation)
    return Swept(moved=len(moved), errors=tuple(errors))


async def _each(
    services: Services,
    keys: Sequence[str],
    act: Callable[[str, Transaction], T],
    errors: list[str],
) -> list[T]:
    """A transaction for each, many at once, so that a storm costs a few commits."""
    done: list[T] = []
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        results = await asyncio.gather(
            *(services.store.transact(partial(act, key), urgent=True) for key in some),
            return_exceptions=True,
        )
        for key, result in zip(some, results, strict=True):
            if isinstance(result, CallpointError):
                errors.append(f"{key}: {result.message}")
            elif isinstance(result, BaseException):
                raise result
            else:
                done.append(result)
    return done


async def _tell(services: Services, made: Activation) -> None:
    """Those who asked, that it moved; those who can review it, that the review is late."""
    if made.findings and made.findings[-1].kind == _OVERDUE:
        await _tell_overdue(services, made)
        return
    why = f" ({made.end_reason})" if made.end_reason else ""
    words = f"{made.id} is {made.state}{why}"
    await announce(services, made, f"activation:{made.state}", words, urgent=True)


async def _tell_overdue(services: Services, made: Activation) -> None:
    told = watchers(services)
    # Without a configuration nobody is known by name, and everybody is told.
    able = who_may_review(made, services.rules.last_proven) if told else frozenset()
    await services.notifier.notify(
        Notice(
            kind="review:overdue",
            about=made.id,
            to=tuple(sorted({*told, *able})),
            text=f"{made.id}: {made.findings[-1].text};"
            f" one of {', '.join(sorted(able)) or '(nobody)'} runs `callpoint review {made.id}`",
            urgent=True,
        )
    )


def _due_activations(view: View) -> tuple[Activation, ...]:
    """Those whose time came, and active ones whose incident is over (a crash in between)."""
    # Overdue reviews stay due; they must not crowd out what access depends on.
    due = tuple(
        found
        for states in (UNFINISHED, (ActivationState.ENDED,))
        for found in view.select(
            Activation, Where(states=states, due_before=view.now(), limit=_BATCH, skip_spoilt=True)
        )
    )
    states = (ActivationState.ACTIVE,)
    active = view.select(Activation, Where(states=states, limit=_BATCH, skip_spoilt=True))
    over = tuple(a for a in active if _incident_over(view, a) and a not in due)
    return (*due, *over)


def _due_leases(view: View) -> tuple[Lease, ...]:
    """Those that nobody has ended yet, the most privileged first, and then the oldest (I7)."""
    where = Where(
        states=_NOT_YET_ENDING,
        due_before=view.now(),
        by_priority=True,
        limit=_BATCH,
        skip_spoilt=True,
    )
    return view.select(Lease, where)


def _incident_over(view: View, found: Activation) -> bool:
    try:
        incident = view.find(Incident, found.request.incident)
    except TamperError:
        return False  # nobody can say; the activation still ends in its time
    return incident is not None and incident.state is IncidentState.RESOLVED


def _move(activation: str, tx: Transaction) -> tuple[Activation, ...]:
    """Apply what time says about one activation, looked at again; empty when it says nothing."""
    found = tx.find(Activation, activation)
    made = _moved(tx, found, tx.now()) if found is not None else None
    return () if made is None else (made,)


def _moved(tx: Transaction, found: Activation, now: datetime) -> Activation | None:
    due = found.due_at()
    passed = due is not None and now >= due
    match found.state:
        case ActivationState.REQUESTED | ActivationState.APPROVED if passed:
            event = ev.ActivationLapsed()
            tx.append(activation_stream(found.id), event)
            return tx.put(found.apply(event, now))
        case ActivationState.ACTIVE if _incident_over(tx, found):
            return end(tx, found, EndReason.INCIDENT_RESOLVED)
        case ActivationState.ACTIVE if passed:
            expired = found.not_after is not None and now >= found.not_after
            if not expired and acts_still(tx, found, now):
                return None
            return end(tx, found, EndReason.EXPIRED if expired else EndReason.IDLE)
        case ActivationState.ENDED if passed and found.review is not None:
            late = [deadline for deadline in found.review.deadlines() if now >= deadline]
            return _escalate(tx, found, late)
        case _:
            return None


def _escalate(tx: Transaction, found: Activation, late: Iterable[datetime]) -> Activation | None:
    """A review deadline passed: said once for each deadline (I16)."""
    after = found
    for deadline in late:
        text = f"review deadline {deadline:%Y-%m-%d %H:%M} UTC passed"
        if any(finding.text == text for finding in after.findings):
            continue
        event = ev.FindingRaised(finding=Finding(kind=_OVERDUE, text=text))
        tx.append(activation_stream(found.id), event)
        after = after.apply(event, tx.now())
    return tx.put(after) if after is not found else None


def _expire(lease: str, tx: Transaction) -> None:
    """Planned too long (the node that issued it died), or live past ``not_after``."""
    found = tx.get(Lease, lease)
    if found.due_at is None or tx.now() < found.due_at:
        return
    reason = EndReason.ISSUE_FAILED if found.state is LeaseState.PLANNED else EndReason.EXPIRED
    if found.state not in (LeaseState.PLANNED, LeaseState.LIVE):
        return
    activation = row_of(tx, found)
    if activation is not None:
        end(tx, activation, reason)
    again = tx.get(Lease, lease)
    if again.state in (LeaseState.PLANNED, LeaseState.LIVE):
        end_lease(tx, again, reason)
