"""Behind a gateway the requester gets a connection secret: once, briefly, from one address."""

import base64
import re
from datetime import timedelta
from typing import TypeVar

import msgspec
import pyrage
import pytest

from callpoint.domain import event as ev
from callpoint.domain.connection import KEPT_FOR, LIFETIME, Connection, plain_address
from callpoint.domain.decision import Action, Decision, DecisionRequest, Effect
from callpoint.domain.eligibility import Opening
from callpoint.domain.errors import ConflictError, DeniedError, RequestError, TamperError
from callpoint.domain.kill import Scope
from callpoint.lifecycle import give_back, kill, use
from callpoint.lifecycle.connection import forget_connections, greet
from callpoint.lifecycle.sealing import opened_for_gateway
from callpoint.ports.decider import Decider
from tests.fakes.behind import (
    ELSEWHERE,
    MOCK_KEY,
    SOURCE,
    behind,
    connect,
    fits,
    spent,
    words_of,
)
from tests.fakes.invariants import history
from tests.fakes.world import World, build_decider, eligibility, make_world

E = TypeVar("E", bound=ev.Event)


class Refuses:
    """Implements ``ports.decider.Decider``: no to every use, as the real one to all else."""

    def __init__(self, real: Decider) -> None:
        self._real = real

    def evaluate(self, question: DecisionRequest) -> Decision:
        if question.action is not Action.CREDENTIAL_REVEAL:
            return self._real.evaluate(question)
        return Decision(Effect.DENY, ("frozen",), ("uses are frozen",), "0" * 64)


async def active(**changes: object) -> tuple[World, str]:
    world = await make_world(eligibility(**changes), adapt=behind)
    await world.incident(targets=tuple(world.bundle.configuration.targets))
    return world, (await world.active()).id


def told(world: World, kind: type[E]) -> list[E]:
    return [i.event for i in history(world.store.state) if isinstance(i.event, kind)]


async def row(world: World, connection: str) -> Connection:
    return await world.services.store.read(lambda view: view.get(Connection, connection))


async def test_the_requester_gets_a_secret_that_opens_one_session():
    """It names the gateway, is on record before it leaves, fits its verifier, and is spent once."""
    world, key = await active()
    made = await connect(world, key)
    assert (made.gateway.host, made.gateway.port, made.connection.target) == (
        "gateway.example",
        6432,
        "orders-db",
    )
    assert re.fullmatch("[a-z][a-z0-9]{19}", made.connection.id)
    assert len(base64.urlsafe_b64decode(made.secret)) * 8 >= 160
    (event,) = told(world, ev.ConnectionOffered)
    assert event.connection_sha256 == (await row(world, made.connection.id)).digest()
    assert fits(await greet(world.services, made.connection.id, MOCK_KEY), made.secret)
    assert (await spent(world, made.connection.id)).spent_at is not None
    assert (await world.get(key)).uses == 1


async def test_the_secret_is_kept_nowhere():
    """Neither a row nor an entry nor the answer's own repr holds it."""
    world, key = await active()
    made = await connect(world, key)
    state = world.store.state
    kept = b"".join((*(words_of(r) for r, _ in state.records.values()), *state.leaves))
    assert made.connection.id.encode() in kept
    assert made.secret.encode() not in kept
    assert base64.urlsafe_b64decode(made.secret) not in kept
    assert made.secret not in repr(made)


async def test_several_logins_must_be_asked_for():
    """So many and no more, and the log says how many were given."""
    world, key = await active()
    made = await connect(world, key, logins=2)
    (event,) = told(world, ev.ConnectionOffered)
    assert event.logins == 2
    for _ in range(2):
        await spent(world, made.connection.id)
    with pytest.raises(DeniedError, match="used before"):
        await spent(world, made.connection.id)
    for many in (0, 101):
        with pytest.raises(RequestError, match="1 to 100 logins"):
            await connect(world, key, logins=many)


async def test_it_lives_a_minute_or_less():
    """By the store's clock, and never beyond the lease's own end."""
    world, key = await active()
    begun = world.clock.now()
    made = await connect(world, key)
    assert made.connection.expires_at - begun <= LIFETIME + timedelta(seconds=1)
    late, at = await active(ttl=timedelta(minutes=5))
    late.clock.advance(timedelta(minutes=4, seconds=30))
    assert (await connect(late, at)).connection.expires_at == (await late.get(at)).not_after


@pytest.mark.parametrize("who", ["bob", "carol", "fixer", "gina"])
async def test_nobody_else_gets_one(who):
    """Not the approvers, not a colleague, not an agent of the requester; and it is on record."""
    world, key = await active()
    with pytest.raises(DeniedError, match="only alice"):
        await connect(world, key, who)
    (refused,) = told(world, ev.RequestRefused)
    assert (refused.actor, refused.about) == (who, key)
    assert not told(world, ev.ConnectionOffered)


async def test_only_from_the_networks_that_were_approved():
    """An address outside the request's sources gets nothing; inside it does."""
    world = await make_world(adapt=behind)
    await world.incident()
    key = (await world.active(sources=("192.0.2.0/29",))).id
    with pytest.raises(DeniedError, match="in none of the networks"):
        await connect(world, key, source=ELSEWHERE)
    assert (await connect(world, key, source=SOURCE)).secret


async def test_an_address_has_one_spelling():
    """IPv4 inside IPv6, zones and long forms are the same place; a name is none."""
    assert plain_address("::ffff:192.0.2.7") == "192.0.2.7"
    assert plain_address("fe80:0:0::1%eth0") == "fe80::1"
    with pytest.raises(RequestError, match="not an IP address"):
        plain_address("gateway.example")


async def test_several_openings_must_be_told_apart():
    """With two behind gateways one must be named; what was not opened is refused."""
    opens = (Opening("billing-db", "repair"), Opening("orders-db", "repair"))
    world, key = await active(opens=opens)
    with pytest.raises(RequestError, match="several behind"):
        await connect(world, key)
    assert (
        await connect(world, key, opening="billing-db:repair")
    ).connection.target == "billing-db"
    with pytest.raises(ConflictError, match="no credential for orders-db:read"):
        await connect(world, key, opening="orders-db:read")
    with pytest.raises(RequestError, match="not target:role"):
        await connect(world, key, opening="orders-db")


async def test_a_target_without_a_gateway_has_no_connections():
    """Its credential is the requester's; the refusal says how to fetch it."""
    world = await make_world()
    await world.incident()
    key = (await world.active()).id
    with pytest.raises(RequestError, match="behind no gateway"):
        await connect(world, key)


async def test_after_the_end_there_is_none():
    """Returned, killed, or the incident over: no further secret."""
    world, key = await active()
    await give_back.give_back(world.services, world.caller("alice"), key)
    with pytest.raises(ConflictError, match="is over"):
        await connect(world, key)


async def test_policy_is_asked_each_time():
    """A deny of the PDP is a refusal on record, and no row is left."""
    world, key = await active()
    world = world.with_decider(lambda bundle: Refuses(build_decider(bundle)))
    with pytest.raises(DeniedError, match="credential:reveal is denied"):
        await connect(world, key)
    assert told(world, ev.AccessRefused)
    assert not told(world, ev.ConnectionOffered)


async def test_a_row_that_was_changed_by_hand_opens_nothing():
    """The log says what was offered: another address, or another secret, is not it."""
    world, key = await active()
    made = await connect(world, key)
    await world.services.store.transact(
        lambda tx: tx.put(
            msgspec.structs.replace(tx.get(Connection, made.connection.id), source=ELSEWHERE)
        )
    )
    with pytest.raises(TamperError, match="not one that was offered"):
        await spent(world, made.connection.id, ELSEWHERE)


async def test_the_requester_never_holds_the_credential():
    """The box opens with the installation's key alone; a fetch is refused with the way out."""
    world, key = await active()
    (held,) = await world.leases(key)
    box = base64.b64decode(held.box)
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(box, [world.keys[key]])
    with pytest.raises(DeniedError, match="stays in the gateway front") as refused:
        await use.reveal(world.services, world.caller("alice"), held.id)
    assert "callpoint connect" in refused.value.way_out
    with pytest.raises(DeniedError, match="stays in the gateway front"):
        await use.reveal_all(world.services, world.caller("alice"), key)
    assert not told(world, ev.CredentialRevealed)
    credential = opened_for_gateway(world.services, held)
    world.target.open_session(credential.username, credential.secret).work()
    assert credential.secret.encode() not in words_of(await connect(world, key))


async def test_only_the_box_of_its_own_lease_is_used():
    """A box that was put beside another lease is evidence of tampering."""
    world, key = await active()
    (held,) = await world.leases(key)
    other = msgspec.structs.replace(held, id="another")
    with pytest.raises(TamperError, match="holds the credential of"):
        opened_for_gateway(world.services, other)
    with pytest.raises(ConflictError, match="nothing that a gateway"):
        opened_for_gateway(world.services, held.without_box())


async def test_rows_are_forgotten_long_after():
    """Late or twice is still told apart for a while; then the row goes and the log stays."""
    world, key = await active()
    made = await connect(world, key)
    assert await forget_connections(world.services) == 0
    world.clock.advance(LIFETIME + KEPT_FOR + timedelta(seconds=1))
    assert await forget_connections(world.services) == 1
    with pytest.raises(DeniedError, match="no such connection"):
        await spent(world, made.connection.id)


async def test_an_unknown_connection_is_greeted_like_a_known_one():
    """Same shape, the same each time it is asked, another for another name, and nothing fits."""
    world, key = await active()
    made = await connect(world, key)
    known = await greet(world.services, made.connection.id, MOCK_KEY)
    mock = await greet(world.services, "nobody", MOCK_KEY)
    assert mock == await greet(world.services, "nobody", MOCK_KEY)
    assert mock.salt != (await greet(world.services, "nobody2", MOCK_KEY)).salt
    assert mock.salt != (await greet(world.services, "nobody", bytes(32))).salt
    shapes = [
        (len(g.salt), g.iterations, len(g.stored_key), len(g.server_key)) for g in (known, mock)
    ]
    assert shapes[0] == shapes[1]
    assert not fits(mock, made.secret)
    assert not fits(known, made.secret + "x")


async def test_a_killed_principal_gets_no_further_secret():
    """The kill ends the activation; what was offered before is the authority's to refuse."""
    world, key = await active()
    await kill.kill(world.services, world.caller("erin"), Scope.ACTIVATION, key)
    with pytest.raises(ConflictError, match="is over"):
        await connect(world, key)
