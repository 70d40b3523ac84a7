"""A connection secret becomes a session: the gateway gets the credential, the actor never.

It is one atomic check on the store's clock (I4), a use of the lease, and on record before the
credential leaves (I2). What the rows say of connection, lease and activation is proven from the
log.
"""

from datetime import datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.asked import Decided
from callpoint.domain.connection import ID_LENGTH, Connection
from callpoint.domain.decision import Action
from callpoint.domain.errors import DeniedError, TamperError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease
from callpoint.domain.offline import OnLoss
from callpoint.domain.principal import Principal
from callpoint.domain.session import Session
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.connection import must_be_givable, offered, spend
from callpoint.lifecycle.gate import enforce_on
from callpoint.lifecycle.offline_grant import offline_rule
from callpoint.lifecycle.refusal import refused_on_record
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.sealing import opened_for_gateway
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.use import must_be_live, must_not_be_over, proven_use
from callpoint.ports.authority import Arrival, Opened
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View

_WORDS_LIMIT = 128


class _Seen(msgspec.Struct, frozen=True):
    """What a session would be opened on, as the log proves it."""

    connection: Connection
    found: Activation
    held: Lease


async def open_session(
    services: Services, gateway: str, arrival: Arrival, keeper: str
) -> tuple[Opened, Session]:
    """Open it, on record.

    Args:
        services: Ports and rules.
        gateway: On whose behalf.
        arrival: Who has proven to know a connection secret.
        keeper: Names this process.

    Raises:
        DeniedError: The secret is spent, too old, for another gateway or source; or policy says no.
        ConflictError: The activation or its lease is over, or its incident is.
        TamperError: A row is not what the log says.
        LogUnavailableError, ClockError: No evidence, no session (I2); nor while expiry is unsure.
        UnavailableError: A kill waits to be merged (I13).
    """
    rules = await services.rules.current()
    seen = await _shown(services, gateway, arrival)
    caller = await _caller(services, rules, seen)
    decided = await _decided(services, caller, rules, seen)
    credential = opened_for_gateway(services, seen.held)
    ident = services.random.ident(ID_LENGTH)

    def work(tx: Transaction) -> Session:
        now = must_be_givable(tx, services, rules, seen.held)
        spent = spend(tx, seen.connection, arrival.source, gateway)
        made = _fresh(spent, ident, seen.held.plan.not_after, now, keeper)
        return _begun(tx, services, made, decided, arrival, caller.principal)

    async with refused_on_record(
        services, caller.principal.id, Action.CREDENTIAL_REVEAL, seen.found.id
    ):
        session = await services.store.transact(work)
    target = rules.configuration.target(session.target)
    opened = Opened(
        session=session.id,
        activation=session.activation,
        principal=session.principal,
        persons=seen.found.request.persons,
        incident=seen.found.request.incident,
        target=session.target,
        role=session.role,
        credential=credential,
        not_after=session.not_after,
        evidence=target.evidenced,
        recording=target.recorded,
        on_loss=OnLoss.OFFLINE if offline_rule(seen.found, caller.principal) else OnLoss.CUT,
    )
    return opened, session


async def _shown(services: Services, gateway: str, arrival: Arrival) -> _Seen:
    about = printable(arrival.connection, _WORDS_LIMIT)
    async with refused_on_record(services, "", Action.CREDENTIAL_REVEAL, about):
        if arrival.gateway != gateway:
            raise DeniedError(f"gateway {gateway} cannot speak for another one")
        return await services.store.read(lambda view: _seen(view, services, arrival))


async def _caller(services: Services, rules: Rules, seen: _Seen) -> Caller:
    """Who fetched the connection secret, as it authenticated then. Raises DeniedError."""
    name = seen.connection.principal
    who = rules.configuration.principals.get(name)
    async with refused_on_record(services, name, Action.CREDENTIAL_REVEAL, seen.found.id):
        if who is None:
            raise DeniedError(f"{name} is not configured any more")
    return Caller(
        principal=who,
        key_id=seen.connection.id,
        strength=seen.connection.strength,
        acts_for=seen.connection.acts_for,
    )


def _fresh(
    spent: Connection, ident: str, not_after: datetime, now: datetime, keeper: str
) -> Session:
    return Session(
        id=ident,
        activation=spent.activation,
        lease=spent.lease,
        principal=spent.principal,
        target=spent.target,
        role=spent.role,
        gateway=spent.gateway,
        source=spent.source,
        not_after=not_after,
        opened_at=now,
        strength=spent.strength,
        acts_for=spent.acts_for,
        keeper=keeper,
        heard_at=now,
        acted_at=now,
    )


def _seen(view: View, services: Services, arrival: Arrival) -> _Seen:
    """The connection, and what it is for, as the log proves them."""
    connection = offered(view, services, arrival.connection)
    found, held = proven_use(view, services, connection.lease)
    must_be_live(found, held)
    must_not_be_over(found, view.now())
    if held.activation != connection.activation or found.request.principal != connection.principal:
        raise TamperError(f"connection {connection.id} is not one of {found.id}")
    return _Seen(connection, found, held)


async def _decided(services: Services, caller: Caller, rules: Rules, seen: _Seen) -> Decided:
    """Policy on this one opening: it is the same use of the credential as a fetch of it.

    Raises:
        DeniedError: It says no.
    """
    opening = f"{seen.held.plan.target}:{seen.held.plan.role}"
    request = msgspec.structs.replace(seen.found.request, opens=(opening,))
    asked = msgspec.structs.replace(seen.found, request=request)
    return await enforce_on(
        services, caller, rules, Action.CREDENTIAL_REVEAL, asked, quorum_met=True
    )


def _begun(
    tx: Transaction,
    services: Services,
    session: Session,
    decided: Decided,
    arrival: Arrival,
    principal: Principal,
) -> Session:
    found = tx.get(Activation, session.activation)
    (decision,) = decided.decisions
    private = {"source": services.private(session.source)}
    if arrival.client:
        private["client"] = services.private(printable(arrival.client, _WORDS_LIMIT))
    event = ev.SessionOpened(
        actor=session.principal,
        session=session.id,
        session_sha256=session.digest(),
        connection=arrival.connection,
        lease=session.lease,
        target=session.target,
        role=session.role,
        gateway=session.gateway,
        not_after=session.not_after,
        decision=decision,
        asked=decided.asked,
        offline=offline_rule(found, principal),
        private=private,
    )
    tx.append(activation_stream(found.id), event)
    tx.put(found.apply(event, tx.now()))
    return tx.put(session)
