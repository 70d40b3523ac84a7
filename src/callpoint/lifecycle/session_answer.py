"""What is to be put on record about one action: policy's answer to it, under facts of a second.

Policy is asked about rows that were read before; whoever puts the answer on record sees that they
are what is stored.
"""

import json
from datetime import datetime

from callpoint.domain import event as ev
from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision
from callpoint.domain.gateway import Evidence
from callpoint.domain.operation import VERBS, Operation
from callpoint.domain.session import SessionState
from callpoint.domain.untrusted import bounded, printable
from callpoint.lifecycle import obligations
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_basis import Basis, digest_of, question_of, read_basis
from callpoint.lifecycle.session_memory import Answer, KeptElsewhereError, LiveSession
from callpoint.ports.authority import TEXT_LIMIT, Deed

OPERATIONS_LIMIT = 64
"""Distinct operations of one action: what it says of them has to fit into one entry."""

OBJECT_LIMIT = 256
"""Characters of an object's name."""

_HASH_SIZE = 64
_REASON_SIZE = 500
_PAUSED = "the allowance is spent, and nobody has let the session go on yet"


async def current(services: Services, live: LiveSession) -> Basis:
    """What decisions in the session rest on, read and proven if it is not at hand.

    Raises:
        ConflictError: The session is over.
        KeptElsewhereError: It is not ours any more.
    """
    if live.basis is None:
        rules = await services.rules.current()
        basis, now = await services.store.read(
            lambda view: (read_basis(view, services, rules, live.id, live.gateway), view.now())
        )
        if basis.session.keeper != live.keeper:
            raise KeptElsewhereError
        live.basis, live.found = basis, basis.found
        live.lag = now - services.clock.now()
        live.asked = None
    return live.basis


def event_of(
    services: Services,
    live: LiveSession,
    basis: Basis,
    deed: Deed,
    at: datetime,
    *,
    beside: datetime | None = None,
) -> ev.ActionDecided:
    """With policy's answer, if policy is asked at all."""
    answer, allowed, digest, asked = Answer(deed.operations, ()), False, "", None
    reason = printable(deed.refused, _REASON_SIZE) or _unfit(deed.operations)
    if not reason and basis.session.state is SessionState.PAUSED:
        reason = _PAUSED
    if reason:
        shown = sorted({_shown(one) for one in deed.operations})[:OPERATIONS_LIMIT]
        answer = Answer(tuple(shown), ())
    else:
        answer = answered(services, live, basis, deed.operations, at)
        allowed, reason, digest = answer.allowed, answer.lacking, live.digest
        asked = None if live.told == digest else live.asked
    return ev.ActionDecided(
        actor=basis.session.principal,
        session=live.id,
        number=live.number,
        operations=answer.operations,
        allowed=allowed,
        text_sha256=printable(deed.text_sha256, _HASH_SIZE),
        basis=digest,
        asked=asked,
        decisions=answer.decisions,
        reason=reason,
        evidence=Evidence.BEFORE if beside is None else Evidence.WITH,
        answered_at=beside,
        private=_private(services, deed),
    )


def answered(
    services: Services,
    live: LiveSession,
    basis: Basis,
    wanted: tuple[Operation, ...],
    at: datetime,
) -> Answer:
    """Policy's answer. The same question under the same facts has the same answer."""
    asked = live.asked
    if asked is None or asked.at != at:
        asked = live.asked = basis.asked(at)
        live.digest = digest_of(asked)
        live.known = live.shared.about(basis.rules.digest, live.digest)
    known = live.known
    answer = known.answers.get(wanted)
    if answer is not None:
        return answer
    operations = tuple(sorted(set(wanted)))
    fresh = [one for one in operations if one not in known.decisions]
    questions = [question_of(asked, one) for one in fresh]
    known.decisions.update(zip(fresh, services.pep.decisions(basis.rules, questions), strict=True))
    decisions = tuple(known.decisions[one] for one in operations)
    answer = Answer(operations, decisions, _lacking(asked, operations, decisions))
    known.answers[wanted] = answer
    return answer


def _lacking(
    asked: Asked, operations: tuple[Operation, ...], decisions: tuple[Decision, ...]
) -> str:
    """What a yes obliges to that no gateway does; each action is recorded, nobody is told of it."""
    for one, decision in zip(operations, decisions, strict=True):
        owed = obligations.unmet(question_of(asked, one), decision.obligations, can_tell=False)
        if owed is not None:
            return f"policy obliges to {owed}, which cannot be done for a single action"
    return ""


def _unfit(operations: tuple[Operation, ...]) -> str:
    """Why policy need not be asked at all; empty when it is asked."""
    count = len(operations)
    if count > OPERATIONS_LIMIT and (count := len(set(operations))) > OPERATIONS_LIMIT:
        return f"an action has at most {OPERATIONS_LIMIT} operations, this one {count}"
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


def whole_second(moment: datetime) -> datetime:
    """Facts are whole seconds, so within one of them the question is the same."""
    return moment.replace(microsecond=0)
