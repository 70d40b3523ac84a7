"""Somebody has a connection secret that is not, or not any more, theirs to use."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callpoint.domain.connection import LIFETIME, Connection
from callpoint.domain.errors import CallpointError, DeniedError, TamperError
from callpoint.domain.kill import Scope
from callpoint.domain.scram import verifier
from callpoint.lifecycle import kill
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.connection import greet
from callpoint.lifecycle.use import must_be_live, proven_use
from callpoint.ports.authority import Arrival
from tests.fakes.behind import (
    ELSEWHERE,
    GATEWAY,
    MOCK_KEY,
    SOURCE,
    behind,
    connect,
    fits,
    spent,
)
from tests.fakes.world import World, make_world


async def stage() -> tuple[World, str]:
    world = await make_world(adapt=behind)
    await world.incident()
    return world, (await world.active()).id


async def test_reused():
    """The second use is refused, whoever makes it and however soon."""
    world, key = await stage()
    made = await connect(world, key)
    await spent(world, made.connection.id)
    with pytest.raises(DeniedError, match="used before"):
        await spent(world, made.connection.id)


async def test_raced():
    """Of ten uses at the same moment exactly one succeeds."""
    world, key = await stage()
    made = await connect(world, key)
    results = await asyncio.gather(
        *(spent(world, made.connection.id) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, Connection) for result in results) == 1
    assert sum(isinstance(result, CallpointError) for result in results) == 9


async def test_from_another_source():
    """A stolen secret is worth nothing elsewhere, and does not use up the owner's."""
    world, key = await stage()
    made = await connect(world, key)
    with pytest.raises(DeniedError, match="another address"):
        await spent(world, made.connection.id, ELSEWHERE)
    assert (await spent(world, made.connection.id, f"::ffff:{SOURCE}")).spent_at is not None


async def test_at_another_gateway():
    """It opens nothing where it was not made for."""
    world, key = await stage()
    made = await connect(world, key)
    with pytest.raises(DeniedError, match="for the gateway front"):
        await spent(world, made.connection.id, gateway="back")


async def test_after_expiry():
    """To the moment, by the store's clock."""
    world, key = await stage()
    made = await connect(world, key)
    world.clock.advance(made.connection.expires_at - world.clock.now())
    with pytest.raises(DeniedError, match="too old"):
        await spent(world, made.connection.id)


async def test_after_kill():
    """The lease that it stands for is over before anything is opened with it."""
    world, key = await stage()
    made = await connect(world, key)
    await kill.kill(world.services, world.caller("erin"), Scope.ACTIVATION, key)
    row = await world.services.store.read(lambda view: view.get(Connection, made.connection.id))
    found, held = await world.services.store.read(
        lambda view: proven_use(view, world.services, row.lease)
    )
    with pytest.raises(CallpointError, match="is over"):
        must_be_live(found, held)
    assert held.box == ""


async def test_guessed():
    """An id that was never offered is greeted like any other, and no secret fits it."""
    world, key = await stage()
    made = await connect(world, key)
    for name in (made.connection.id[:-1], made.connection.id.upper(), "postgres", ""):
        assert not fits(await greet(world.services, name, MOCK_KEY), made.secret)
        with pytest.raises(DeniedError, match="no such connection"):
            await spent(world, name)


async def test_a_row_of_ones_own():
    """Who can write the database makes a connection with a secret that they know: it is none."""
    world, key = await stage()
    made = await connect(world, key)

    def forge(view: object) -> None:
        row = view.get(Connection, made.connection.id)  # type: ignore[attr-defined]
        mine = verifier("known", bytes(16))
        view.put(msgspec.structs.replace(row, id="more", logins=9, version=0))  # type: ignore[attr-defined]
        view.put(msgspec.structs.replace(row, verifier=mine))  # type: ignore[attr-defined]
        view.put(msgspec.structs.replace(row, id="mine", version=0))  # type: ignore[attr-defined]

    await world.services.store.transact(forge)
    assert fits(await greet(world.services, made.connection.id, MOCK_KEY), "known")
    for name in (made.connection.id, "mine", "more"):
        with pytest.raises(TamperError, match="not one that was offered"):
            await spent(world, name)


async def test_logins_given_back_by_hand():
    """A row that says that nothing was spent is refused: the log has the session."""
    world, key = await stage()
    made = await connect(world, key)
    authority = GatewayAuthority(world.services, GATEWAY)
    arrival = Arrival(made.connection.id, SOURCE, GATEWAY)
    await authority.open_session(arrival)
    await world.services.store.transact(
        lambda tx: tx.put(
            msgspec.structs.replace(tx.get(Connection, made.connection.id), spent=0, spent_at=None)
        )
    )
    with pytest.raises(TamperError, match="given back by hand"):
        await authority.open_session(arrival)


@given(
    waits=st.lists(st.integers(0, 70), min_size=1, max_size=6),
    places=st.lists(st.sampled_from((SOURCE, ELSEWHERE)), min_size=6, max_size=6),
    doors=st.lists(st.sampled_from((GATEWAY, GATEWAY, "back")), min_size=6, max_size=6),
)
@settings(max_examples=25)
def test_at_most_once_within_a_minute_from_the_right_place(waits, places, doors):
    """Whatever is tried in whatever order, only the first right use succeeds, and only in time."""

    async def run() -> None:
        world, key = await stage()
        made = await connect(world, key)
        used = False
        for wait, place, door in zip(waits, places, doors, strict=False):
            world.clock.advance(timedelta(seconds=wait))
            now = await world.services.store.read(lambda view: view.now())
            right = (
                (place, door) == (SOURCE, GATEWAY) and now < made.connection.expires_at and not used
            )
            try:
                await spent(world, made.connection.id, place, door)
            except DeniedError:
                # Time may pass between the look at the clock and the use.
                assert not right or made.connection.expires_at - now < timedelta(seconds=2)
            else:
                assert right
                used = True
        offered_at = (await world.get(key)).last_used_at
        assert offered_at is not None
        assert made.connection.expires_at - offered_at <= LIFETIME

    asyncio.run(run())
