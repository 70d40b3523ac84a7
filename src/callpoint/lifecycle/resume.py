"""Letting sessions go on that a spent allowance has stopped: another person's word, on record.

It grants the whole allowance once more. Neither a machine nor a person who stands behind the
request can do it, whatever policy says.
"""

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.asked import Decided
from callpoint.domain.decision import Action
from callpoint.domain.errors import ConflictError, DeniedError
from callpoint.domain.ids import activation_stream
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.session import Resumed, Session, SessionState
from callpoint.domain.spending import restricts
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.allowance import spending
from callpoint.lifecycle.announce import announce
from callpoint.lifecycle.gate import enforce_on
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.proof import must_agree
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.rules import must_be_in_force
from callpoint.lifecycle.services import Services, must_keep_time
from callpoint.lifecycle.use import must_be_justified, must_not_be_over
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View, Where

_ALL = 1_000_000
_REASON_LIMIT = 500


async def resume(services: Services, caller: Caller, activation: str, reason: str) -> Resumed:
    """Let the stopped sessions of an activation go on.

    Raises:
        DeniedError: A machine, somebody who stands behind the request, or policy says no.
        ConflictError: Nothing of it is stopped, or it is over.
        TamperError: Its row is not what the log says.
        LogUnavailableError, ClockError, UnavailableError: Nothing can be given now.
    """
    rules = await services.rules.current()
    async with on_record(services, caller, Action.SESSION_RESUME, activation):
        found = await services.store.read(lambda view: _proven(view, services, activation))
        if caller.principal.kind is not PrincipalKind.HUMAN:
            raise DeniedError("only a person lets go on what an allowance has stopped")
        if set(caller.principal.persons) & set(found.request.persons):
            raise DeniedError(
                f"{caller.principal.id} stands behind the request of {found.request.principal}",
                way_out="ask somebody else",
            )
    decided = await enforce_on(
        services, caller, rules, Action.SESSION_RESUME, found, quorum_met=True
    )

    def work(tx: Transaction) -> Resumed:
        must_be_able_to_take_away(services.node)
        must_be_in_force(tx, rules)
        must_keep_time(tx, services)
        if tx.get(Activation, found.id) != found:
            raise ConflictError(f"activation {found.id} moved meanwhile", way_out="try again")
        must_not_be_over(found, tx.now())
        must_be_justified(tx, found)
        return _granted(tx, services, caller, found, decided, reason)

    made = await services.store.transact(work)
    words = f"{caller.principal.id} lets {found.id} go on, with its allowance once more"
    await announce(services, found, "session:resumed", words, urgent=True)
    return made


def _proven(view: View, services: Services, activation: str) -> Activation:
    found = view.get(Activation, activation)
    if found.state is not ActivationState.ACTIVE:
        raise ConflictError(f"activation {found.id} is {found.state}")
    stream = activation_stream(found.id)
    must_agree(found, services.log.proven(view, services.installation, [stream])[stream])
    return found


def _granted(
    tx: Transaction,
    services: Services,
    caller: Caller,
    found: Activation,
    decided: Decided,
    reason: str,
) -> Resumed:
    stopped = tx.select(Session, Where(states=(SessionState.PAUSED,), parent=found.id, limit=_ALL))
    if not stopped:
        raise ConflictError(
            f"no session of {found.id} is stopped", way_out="see `callpoint status` for what is"
        )
    for session in stopped:
        tx.put(session.moved(SessionState.OPEN))
    grants = 0
    if restricts(found.request.spends):
        grants = tx.put(spending(tx, found.id).granted()).grants
    event = ev.SessionResumed(
        actor=caller.principal.id,
        person=caller.principal.persons[0],
        sessions=tuple(sorted(session.id for session in stopped)),
        grants=grants,
        decisions=decided.decisions,
        asked=decided.asked,
        private={"reason": services.private(printable(reason, _REASON_LIMIT))},
    )
    tx.append(activation_stream(found.id), event)
    return Resumed(found.id, event.sessions, grants)
