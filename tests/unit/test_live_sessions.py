"""The push that ends live sessions: whatever ends an activation is heard by every gateway."""

import asyncio
from datetime import UTC, datetime

import pytest

from callpoint.domain.activation import EndReason
from callpoint.domain.errors import DeniedError, StoreUnavailableError
from callpoint.domain.kill import Scope
from callpoint.lifecycle import give_back, incidents
from callpoint.lifecycle.kill import kill
from callpoint.lifecycle.live_sessions import LiveSessions
from callpoint.lifecycle.sweep import sweep
from callpoint.ports.authority import Cut, Opened, Reach
from callpoint.ports.credential import Credential
from tests.fakes.world import make_world


async def heard(live, act):
    """What a gateway hears while ``act`` runs, up to a last order that the test gives."""
    found, listens = [], asyncio.Event()

    async def gateway():
        async for cut in live.cuts():
            listens.set()
            if cut is not None and cut.about == "the end of the test":
                return
            if cut is not None:
                found.append(cut)

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        group.create_task(gateway())
        await listens.wait()
        await act()
        live.cut(Cut(Reach.SESSION, "the end of the test"))
    return found


@pytest.fixture
async def world():
    return await make_world()


@pytest.fixture
async def active(world):
    await world.incident()
    return await world.active()


@pytest.mark.parametrize(
    "scope, about",
    [
        (Scope.ACTIVATION, None),
        (Scope.PRINCIPAL, "alice"),
        (Scope.TARGET, "orders-db"),
        (Scope.INCIDENT, "inc-7"),
        (Scope.EVERYTHING, ""),
    ],
)
async def test_a_kill_cuts_before_it_writes(world, active, scope, about):
    """A person's kill is heard first as it was ordered, then for each activation that it ended."""
    about = active.id if about is None else about
    services = world.services
    found = await heard(services.live, lambda: kill(services, world.caller("carol"), scope, about))
    assert found[0] == Cut(Reach(scope), about, EndReason.KILLED)
    assert Cut(Reach.ACTIVATION, active.id, EndReason.KILLED) in found


async def test_a_kill_cuts_while_the_store_is_down(world, active):
    """Sessions are cut although nothing can be written, and the caller is told that it was not."""
    world.store.dead = True

    async def act():
        with pytest.raises(StoreUnavailableError):
            await kill(world.services, world.caller("carol"), Scope.ACTIVATION, active.id)

    assert await heard(world.services.live, act) == [
        Cut(Reach.ACTIVATION, active.id, EndReason.KILLED)
    ]


async def test_a_machine_that_may_not_kill_cuts_nothing(world, active):
    """A machine's order for what is not its own is refused, and no gateway hears of it."""

    async def act():
        with pytest.raises(DeniedError, match="only end its own"):
            await kill(world.services, world.caller("fixer"), Scope.ACTIVATION, active.id)

    assert await heard(world.services.live, act) == []


async def test_return_expiry_and_the_end_of_an_incident_cut(world):
    """Every other end of an activation is heard as well, with its reason."""
    services = world.services
    await world.incident()
    returned = await world.active()
    found = await heard(
        services.live,
        lambda: give_back.give_back(services, world.caller("alice"), returned.id),
    )
    assert Cut(Reach.ACTIVATION, returned.id, EndReason.RETURNED) in found
    expired = await world.active()
    world.clock.advance(expired.request.ttl)
    found = await heard(services.live, lambda: sweep(services))
    assert Cut(Reach.ACTIVATION, expired.id, EndReason.EXPIRED) in found
    resolved = await world.active()
    found = await heard(
        services.live,
        lambda: incidents.resolve(services, world.caller("carol"), resolved.request.incident),
    )
    assert Cut(Reach.ACTIVATION, resolved.id, EndReason.INCIDENT_RESOLVED) in found


async def test_words_of_others_cut_nothing():
    """What is signalled by somebody else, or is no order, is passed over."""
    live = LiveSessions()

    async def act():
        for text in (
            "",
            "cut:",
            "cut:{",
            "cut:[]",
            'cut:{"reach":"galaxy"}',
            "hello",
            "cut:\ud800",
        ):
            live.hear(text)

    assert await heard(live, act) == []


async def test_silence_is_told_as_a_heartbeat():
    """Without an order a gateway hears None, at once and again within the poll's span."""
    cuts = LiveSessions().cuts()
    async with asyncio.timeout(2):
        assert [await anext(cuts), await anext(cuts)] == [None, None]


async def test_a_slow_listener_loses_its_line_and_knows_it():
    """Who does not take its orders hears as many as may wait, then that the line is over."""
    live = LiveSessions()
    cuts = live.cuts()
    assert await anext(cuts) is None
    for number in range(1_500):
        live.cut(Cut(Reach.SESSION, str(number)))
    await asyncio.sleep(0)
    heard = [cut.about async for cut in cuts if cut is not None]
    assert heard == [str(number) for number in range(1_000)]


async def test_a_process_that_stops_ends_its_lines():
    """Nobody keeps a stopping process waiting, and nobody begins to listen to it."""
    live = LiveSessions()
    cuts = live.cuts()
    assert await anext(cuts) is None
    live.close()
    async with asyncio.timeout(1):
        assert [cut async for cut in cuts] == []
        assert [cut async for cut in live.cuts()] == []


@pytest.mark.parametrize(
    "reach, about, covers",
    [
        (Reach.SESSION, "s1", True),
        (Reach.SESSION, "s2", False),
        (Reach.ACTIVATION, "a1", True),
        (Reach.PRINCIPAL, "fixer", True),
        (Reach.PRINCIPAL, "alice", True),
        (Reach.PRINCIPAL, "bob", False),
        (Reach.TARGET, "orders-db", True),
        (Reach.TARGET, "repair", False),
        (Reach.INCIDENT, "inc-7", True),
        (Reach.INCIDENT, "", False),
        (Reach.EVERYTHING, "", True),
    ],
)
def test_an_order_covers_what_it_names(reach, about, covers):
    """An order reaches a session by the name that it gives, and by no other of its names."""
    opened = Opened(
        session="s1",
        activation="a1",
        principal="fixer",
        persons=("alice",),
        incident="inc-7",
        target="orders-db",
        role="repair",
        credential=Credential("cp_a1", "secret"),
        not_after=datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert Cut(reach, about).covers(opened) is covers
    assert "secret" not in repr(opened)


@pytest.mark.parametrize("text", ["", "[]", '{"x":' + "[" * 3000, '{"reach":"session"}'])
def test_nonsense_among_the_stores_signals_is_passed_over(text):
    """Whoever uses the database may signal anything: hearing goes on, on the store's own thread."""
    live = LiveSessions()
    live.hear("cut:" + text)
    live.hear(text)
