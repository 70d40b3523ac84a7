"""Step 4 behind a gateway: a connection secret for the requester instead of the credential.

An offer is decided and recorded as the fetch of a credential is: it is the same use of it (I4, I2).
The secret leaves once, in the answer; the store keeps what checks it, and the log the digest of
that, so that a row that somebody writes by hand opens nothing.
"""

import base64
from datetime import datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain import scram
from callpoint.domain.activation import Activation
from callpoint.domain.asked import Decided
from callpoint.domain.connection import (
    ID_LENGTH,
    LIFETIME,
    MOST_LOGINS,
    SECRET_SIZE,
    Connection,
    Offered,
    is_within,
    plain_address,
)
from callpoint.domain.decision import Action
from callpoint.domain.eligibility import parse_opening
from callpoint.domain.errors import ConflictError, DeniedError, RequestError, TamperError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease
from callpoint.lifecycle.ending import leases
from callpoint.lifecycle.gate import enforce_on
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.rules import Rules, must_be_in_force
from callpoint.lifecycle.sealing import opened_for_gateway
from callpoint.lifecycle.services import Services, must_keep_time
from callpoint.lifecycle.use import must_be_justified, must_be_live, must_not_be_over, proven_use
from callpoint.ports.authority import Greeting
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View, Where

_SWEEP_BATCH = 500  # short transactions: on SQLite there is one writer
_AGAIN = "get a new one: `callpoint connect`"


class Wish(msgspec.Struct, frozen=True):
    """What a connection secret is asked for.

    Attributes:
        source: The IP address that the gateway will see.
        opening: ``target:role``; empty: the only one of the activation that is behind a gateway.
        logins: How many connections the client opens with it.
    """

    source: str
    opening: str = ""
    logins: int = 1


async def offer(services: Services, caller: Caller, activation: str, wish: Wish) -> Offered:
    """A connection secret of the requester's, for one opening and one address.

    Raises:
        DeniedError: Another principal, an address outside the request's, or policy says no now.
        RequestError: No address, too many logins, or no such opening behind a gateway.
        ConflictError: The lease or the activation is over, or the incident is not open.
        TamperError: The box is not the one that was issued.
        LogUnavailableError, ClockError: No evidence, no secret (I2); nor while expiry is unsure.
        UnavailableError: A kill waits to be merged (I13).
    """
    address = plain_address(wish.source)
    if not 1 <= wish.logins <= MOST_LOGINS:
        raise RequestError(f"a connection secret is for 1 to {MOST_LOGINS} logins")
    rules = await services.rules.current()
    async with on_record(services, caller, Action.CREDENTIAL_REVEAL, activation):
        found, held = await services.store.read(
            lambda view: _asked_for(view, services, caller, activation, wish.opening)
        )
        if not is_within(address, found.request.sources):
            raise DeniedError(
                f"{address} is in none of the networks that {found.id} was approved for",
                way_out="connect from one of: " + ", ".join(found.request.sources),
            )
    gateway = rules.configuration.gateway(held.plan.gateway)
    database = opened_for_gateway(services, held).endpoint.get("dbname", "")
    decided = await _decided(services, caller, rules, found, held)
    secret = base64.urlsafe_b64encode(services.random.token(SECRET_SIZE)).decode()
    fresh = Connection(
        id=services.random.ident(ID_LENGTH),
        activation=found.id,
        lease=held.id,
        principal=caller.principal.id,
        target=held.plan.target,
        role=held.plan.role,
        gateway=gateway.id,
        source=address,
        verifier=scram.verifier(secret, services.random.token(scram.SALT_SIZE)),
        expires_at=held.plan.not_after,
        strength=caller.strength,
        acts_for=caller.acts_for,
        logins=wish.logins,
    )

    def work(tx: Transaction) -> Connection:
        now = must_be_givable(tx, services, rules, held)
        until = min(now + LIFETIME, held.plan.not_after)
        made = msgspec.structs.replace(fresh, expires_at=until)
        return _hand_out(tx, services, decided, made)

    made = await services.store.transact(work)
    return Offered(made, secret, gateway, database)


async def greet(services: Services, connection: str, mock_key: bytes) -> Greeting:
    """What checks the secret of a connection; of an unknown one what no secret fits.

    One that was used or is too old is greeted as ever: ``spend`` then refuses who knows its secret,
    with the reason and on record, and nobody else learns that it existed.

    Args:
        services: Ports and rules.
        connection: What the client calls itself.
        mock_key: Random bytes of this process that nobody else has.
    """
    found = await services.store.read(lambda view: view.find(Connection, connection))
    known = scram.unfit(connection, mock_key) if found is None else found.verifier
    return Greeting(
        salt=known.salt,
        iterations=known.iterations,
        stored_key=known.stored_key,
        server_key=known.server_key,
    )


def offered(view: View, services: Services, connection: str) -> Connection:
    """The connection, exactly as the log says it was offered.

    Raises:
        DeniedError: There is none.
        TamperError: It was never offered like this, or more sessions were opened than it says.
    """
    found = view.find(Connection, connection)
    if found is None:
        raise DeniedError("there is no such connection (any more)", way_out=_AGAIN)
    stream = activation_stream(found.activation)
    events = services.log.proven(view, services.installation, [stream])[stream]
    digests = {
        item.event.connection_sha256
        for item in events
        if isinstance(item.event, ev.ConnectionOffered) and item.event.connection == found.id
    }
    if found.digest() not in digests:
        raise TamperError(f"connection {found.id} in the database is not one that was offered")
    opened = sum(
        isinstance(item.event, ev.SessionOpened) and item.event.connection == found.id
        for item in events
    )
    if opened > found.spent:
        raise TamperError(f"logins of connection {found.id} were given back by hand")
    return found


def spend(tx: Transaction, seen: Connection, source: str, gateway: str) -> Connection:
    """Use the secret for a login: one atomic check on the store's clock, each time.

    The caller has proven that somebody knows the secret, and ``seen`` with ``offered``; whether
    the lease stands is the caller's to check in the same transaction.

    Raises:
        DeniedError: It is used up, too old, or for another gateway or address.
        TamperError: It is not the one that was proven.
    """
    found, now = tx.find(Connection, seen.id), tx.now()
    if found is None or now >= found.expires_at:
        raise DeniedError("the connection secret is too old", way_out=_AGAIN)
    if found.is_spent:
        raise DeniedError("the connection secret was used before", way_out=_AGAIN)
    if found.digest() != seen.digest():
        raise TamperError(f"connection {seen.id} was changed by hand")
    if found.gateway != gateway:
        raise DeniedError(f"the connection is for the gateway {found.gateway}", way_out=_AGAIN)
    if found.source != plain_address(source):
        raise DeniedError(
            f"the connection is for another address than {plain_address(source)}",
            way_out="name the address that the gateway sees: `callpoint connect --source ADDRESS`",
        )
    return tx.put(msgspec.structs.replace(found, spent=found.spent + 1, spent_at=now))


async def forget_connections(services: Services) -> int:
    """Remove rows whose time is long over; returns how many. The log keeps what was."""
    forgotten = 0
    while batch := await services.store.transact(_forget_batch, urgent=True):
        forgotten += batch
    return forgotten


def _forget_batch(tx: Transaction) -> int:
    due = Where(due_before=tx.now(), limit=_SWEEP_BATCH, skip_claimed=True)
    old = tx.select(Connection, due)
    for connection in old:
        tx.remove(Connection, connection.id)
    return len(old)


def _asked_for(
    view: View, services: Services, caller: Caller, activation: str, opening: str
) -> tuple[Activation, Lease]:
    """The activation and the lease, as the log proves them."""
    row = view.get(Activation, activation)
    if caller.principal.id != row.request.principal:
        raise DeniedError(f"only {row.request.principal} can connect with {row.id}")
    found, held = proven_use(view, services, _choose(view, row, opening).id)
    if held.activation != activation or caller.principal.id != found.request.principal:
        raise TamperError(f"lease {held.id} is not of {activation}")
    must_be_live(found, held)
    must_not_be_over(found, view.now())
    return found, held


async def _decided(
    services: Services, caller: Caller, rules: Rules, found: Activation, held: Lease
) -> Decided:
    """Policy on this one opening. Raises DeniedError."""
    request = msgspec.structs.replace(found.request, opens=(_opening(held),))
    asked = msgspec.structs.replace(found, request=request)
    return await enforce_on(
        services, caller, rules, Action.CREDENTIAL_REVEAL, asked, quorum_met=True
    )


def _choose(view: View, row: Activation, opening: str) -> Lease:
    """The lease of an opening. Raises RequestError, ConflictError."""
    if opening:
        try:
            parse_opening(opening)
        except ValueError as error:
            raise RequestError(str(error), way_out="name it as it was asked for") from error
    held = [one for one in leases(view, row.id) if not opening or _opening(one) == opening]
    behind = [one for one in held if one.plan.gateway]
    if not held:
        raise ConflictError(
            f"activation {row.id} is {row.state} and has no credential"
            + (f" for {opening[:80]}" if opening else ""),
            way_out="see `callpoint status` for what happens next",
        )
    if not behind:
        raise RequestError(
            f"{_opening(held[0])} is behind no gateway",
            way_out=f"fetch its credential: `callpoint connect {row.id}`",
        )
    if len(behind) > 1:
        raise RequestError(
            f"activation {row.id} has several behind gateways",
            way_out="name one of: " + ", ".join(_opening(one) for one in behind),
        )
    return behind[0]


def _opening(held: Lease) -> str:
    return f"{held.plan.target}:{held.plan.role}"


def must_be_givable(tx: Transaction, services: Services, rules: Rules, seen: Lease) -> datetime:
    """One atomic check on the store's clock (I4); returns its time."""
    must_be_able_to_take_away(services.node)
    must_be_in_force(tx, rules)
    must_keep_time(tx, services)
    held, found, now = tx.get(Lease, seen.id), tx.get(Activation, seen.activation), tx.now()
    must_be_live(found, held)
    if held.box != seen.box:
        raise ConflictError(f"lease {held.id} moved meanwhile")
    must_not_be_over(found, now)
    must_be_justified(tx, found)
    return now


def _hand_out(
    tx: Transaction, services: Services, decided: Decided, made: Connection
) -> Connection:
    found = tx.get(Activation, made.activation)
    (decision,) = decided.decisions
    event = ev.ConnectionOffered(
        actor=made.principal,
        connection=made.id,
        connection_sha256=made.digest(),
        lease=made.lease,
        target=made.target,
        gateway=made.gateway,
        expires_at=made.expires_at,
        logins=made.logins,
        decision=decision,
        asked=decided.asked,
        private={"source": services.private(made.source)},
    )
    tx.append(activation_stream(found.id), event)
    tx.put(found.apply(event, tx.now()))
    return tx.put(made)
