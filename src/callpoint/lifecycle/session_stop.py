"""Ending one session by a person's word; the access itself goes on, and may be used again.

Like a kill it takes away: it is authenticated and recorded, never asks policy, and waits for
nothing (I11). Who wants the access to end returns it, or kills it.
"""

from callpoint.domain.principal import PrincipalKind
from callpoint.domain.session import LIVE, Session
from callpoint.lifecycle.kill import must_be_allowed
from callpoint.lifecycle.live_sessions import signal
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_end import end_session
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction

ENDED = "ended_by_a_person"
_ACTION = "session:end"


async def stop_session(services: Services, caller: Caller, session: str) -> Session:
    """End it now, wherever it is; ending what is over already changes nothing.

    Raises:
        NotFoundError: There is none.
        DeniedError: A machine that would end another's.
        StoreUnavailableError: The store does not answer; on this node it is cut all the same.
    """
    order = Cut(Reach.SESSION, session, ENDED)
    if caller.principal.kind is PrincipalKind.HUMAN:
        services.live.cut(order)  # before anything is written: a person may end anything

    def work(tx: Transaction) -> Session:
        found = tx.get(Session, session)
        must_be_allowed(caller, {found.principal})
        if found.state in LIVE:
            signal(tx, order)
        return end_session(tx, found, ENDED, actor=caller.principal.id)

    async with on_record(services, caller, _ACTION, session):
        return await services.answered(services.store.transact(work, urgent=True))
