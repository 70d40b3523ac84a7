"""A grant for the time without the authority: what a session may do then, fixed beforehand (I13).

Nobody can ask policy while the authority is away. So a grant lists operations, verb and object
each, that were allowed in this activation already, and to which policy says yes once more when the
grant is made: about the moment of its beginning and about that of its end. It is given in one
atomic check like a decision (I4), and only to persons: nobody could stop a machine.
"""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from callpoint.domain.activation import Activation
from callpoint.domain.asked import Asked
from callpoint.domain.errors import UnavailableError
from callpoint.domain.offline import (
    MOST_OPERATIONS,
    NOTHING,
    OfflineAllowance,
    OfflineGrant,
    OfflineRule,
    gateway_audience,
    is_destructive,
)
from callpoint.domain.offline_record import Debt, OfflineDebt, OfflineSpending
from callpoint.domain.operation import Operation
from callpoint.domain.principal import Principal, PrincipalKind
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import Spending
from callpoint.lifecycle import obligations
from callpoint.lifecycle.allowance import spending
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_answer import current, whole_second
from callpoint.lifecycle.session_basis import Basis, MovedError, question_of
from callpoint.lifecycle.session_decide import TRIES, must_not_be_cut
from callpoint.lifecycle.session_memory import LiveSession
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.lifecycle.use import must_be_open
from callpoint.ports.grants import Grants
from callpoint.ports.stores import Transaction

NAME_LENGTH = 20
_SLACK = timedelta(seconds=60)
"""A session's row says so much more than its newest grant, so that not each grant writes it."""

_SECOND = timedelta(seconds=1)
_ACTIVATIONS, _EACH = 512, 256
_BYTES = 12 * 1024
"""What the operations of one grant may take: it has to fit into one entry of the log."""


class Allowed:
    """Operations that were allowed of late, by activation and target role; the newest last."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], OrderedDict[Operation, None]] = OrderedDict()

    def learn(self, session: Session, operations: Iterable[Operation]) -> None:
        """They were allowed in this session."""
        known = self._known.setdefault(_place(session), OrderedDict())
        self._known.move_to_end(_place(session))
        for one in operations:
            known[one] = None
            known.move_to_end(one)
        while len(known) > _EACH:
            known.popitem(last=False)
        if len(self._known) > _ACTIVATIONS:
            self._known.popitem(last=False)

    def of(self, session: Session) -> tuple[Operation, ...]:
        """The newest first."""
        return tuple(reversed(self._known.get(_place(session), ())))


def offline_rule(found: Activation, principal: Principal) -> OfflineRule | None:
    """How a session of that principal goes on without the authority; None: it is cut."""
    rule = found.request.offline
    if isinstance(rule, msgspec.UnsetType) or principal.kind is not PrincipalKind.HUMAN:
        return None
    return rule


async def grant(
    services: Services,
    grants: Grants,
    live: LiveSession,
    recorder: Recorder | None,
    allowed: Allowed,
    journal: str,
) -> str:
    """A signed grant for one session; empty when it gets none.

    Nobody writes in the session meanwhile, for its row changes. What is spent in advance counts as
    spent here: it is not granted as well.

    Raises:
        ConflictError: The session is over.
        KeptElsewhereError: Nothing was granted; another process keeps it.
        TamperError: A row is not what the log says.
        UnavailableError, LogUnavailableError, ClockError: Nobody can say now.
    """
    async with live.lock:
        for _ in range(TRIES):
            must_not_be_cut(live)
            try:
                basis = await current(services, live)
                async with live.writing:
                    made, session = await _once(services, live, basis, allowed, journal)
                    if live.basis is basis:
                        live.basis = msgspec.structs.replace(basis, session=session)
            except MovedError as moved:
                live.forget()
                live.lag = moved.now - services.clock.now()
                if recorder is not None:  # what is ahead of the log rested on what moved
                    await recorder.look_again(live)
                continue
            return grants.sign(made) if made is not None else ""
    raise UnavailableError(f"what session {live.id} rests on moves too fast", way_out="try again")


async def _once(
    services: Services, live: LiveSession, basis: Basis, allowed: Allowed, journal: str
) -> tuple[OfflineGrant | None, Session]:
    principal = basis.rules.configuration.principal(basis.session.principal)
    rule = offline_rule(basis.found, principal)
    if rule is None or basis.session.state is not SessionState.OPEN:
        return None, basis.session
    at = whole_second(services.clock.now() + live.lag)
    until = min(at + rule.span, basis.session.not_after.replace(microsecond=0) - _SECOND)
    if until <= at:
        return None, basis.session
    wanted = _affordable(allowed.of(basis.session))
    both = _yes(services, basis, basis.asked(at), wanted)
    both = _yes(services, basis, basis.asked(until), both)
    name = services.random.ident(NAME_LENGTH)

    def work(tx: Transaction) -> tuple[OfflineGrant | None, Session]:
        now = basis.must_hold(tx, services, at)
        must_be_open(basis.incident, now)
        if _is_owed_elsewhere(tx, basis.session, journal):
            return None, basis.session
        left = _left(tx, basis.found, rule)
        made = OfflineGrant(
            iss=services.installation.id,
            aud=gateway_audience(services.installation.id, basis.session.gateway),
            jti=name,
            iat=int(at.timestamp()),
            exp=int(until.timestamp()),
            journal=journal,
            session=basis.session.id,
            activation=basis.found.id,
            principal=basis.session.principal,
            persons=basis.found.request.persons,
            incident=basis.found.request.incident,
            target=basis.session.target,
            role=basis.session.role,
            configuration_digest=basis.rules.configuration_digest,
            policy_digest=basis.rules.policy_digest,
            allowance=left,
            operations=tuple(
                sorted(one for one in both if left.destructive or not is_destructive((one,)))
            ),
        )
        return made, _noted(tx, basis.session, journal, until)

    return await services.store.transact(work, compares=basis.rows())


def _yes(
    services: Services, basis: Basis, asked: Asked, operations: tuple[Operation, ...]
) -> tuple[Operation, ...]:
    """Those to which policy says yes, and obliges to nothing that a gateway cannot do."""
    questions = [question_of(asked, one) for one in operations]
    decisions = services.pep.decisions(basis.rules, questions)
    return tuple(
        one
        for one, question, decision in zip(operations, questions, decisions, strict=True)
        if decision.allowed
        and obligations.unmet(question, decision.obligations, can_tell=False) is None
    )


def _affordable(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """The newest of them, as many as fit into a grant."""
    found: list[Operation] = []
    size = 0
    for one in operations[:MOST_OPERATIONS]:
        size += len(msgspec.json.encode(one))
        if size > _BYTES:
            break
        found.append(one)
    return tuple(found)


def _left(tx: Transaction, found: Activation, rule: OfflineRule) -> OfflineAllowance:
    """What the activation may still do so, and never more than it may still do at all."""
    row = tx.find(OfflineSpending, found.id)
    left = rule.allowance.less(row.spent if row is not None else NOTHING)
    limits, so_far = found.request.spends, spending(tx, found.id)
    return OfflineAllowance(
        actions=_least(left.actions, limits.actions, so_far.actions, so_far),
        rows=_least(left.rows, limits.rows, so_far.rows, so_far),
        bytes=_least(left.bytes, limits.bytes, so_far.bytes, so_far),
        destructive=_least(left.destructive, limits.destructive, so_far.destructive, so_far),
    )


def _least(left: int, limit: int | None, spent: int, so_far: Spending) -> int:
    if limit is None:
        return left
    return min(left, max(limit * (1 + so_far.grants) - spent, 0))


def _is_owed_elsewhere(tx: Transaction, session: Session, journal: str) -> bool:
    """Its use was promised to another journal: who names a new one hides what is in that."""
    debt = tx.find(OfflineDebt, session.id)
    return debt is not None and debt.state is Debt.OPEN and debt.journal != journal


def _noted(tx: Transaction, session: Session, journal: str, until: datetime) -> Session:
    """That its gateway may be silent so long, and what it will have to tell, before it can be."""
    debt = tx.find(OfflineDebt, session.id)
    is_known = debt is not None and debt.state is Debt.OPEN
    if debt is None or not is_known or debt.until < until:
        fresh = OfflineDebt(
            session=session.id,
            activation=session.activation,
            gateway=session.gateway,
            journal=journal,
            until=until + _SLACK,
            version=debt.version if debt is not None else 0,
        )
        tx.put(fresh)
    if session.offline_until is None or session.offline_until < until:
        return tx.put(msgspec.structs.replace(session, offline_until=until + _SLACK))
    return session


def _place(session: Session) -> tuple[str, str, str]:
    return session.activation, session.target, session.role
