"""A kill cuts before its nonce is settled: who could misuse that, and what a copy reaches."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest

from callpoint.domain.request_signature import MAX_AHEAD
from callpoint.ports.authority import Cut, Opened, Reach
from callpoint.ports.credential import Credential
from tests.fakes.clock import START
from tests.fakes.face import Face, kind_of
from tests.fakes.world import World, make_world

_LAST = Cut(Reach.SESSION, "the end of the test")


@pytest.fixture
async def world() -> World:
    made = await make_world()
    await made.services.rules.refresh()  # as at the start of a server
    return made


async def heard(world: World, act: Callable[[], Awaitable[object]]) -> list[Cut]:
    """What a gateway hears meanwhile."""
    found: list[Cut] = []
    listens = asyncio.Event()

    async def gateway() -> None:
        async for cut in world.services.live.cuts():
            listens.set()
            if cut == _LAST:
                return
            if cut is not None:
                found.append(cut)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(gateway())
        await listens.wait()
        await act()
        world.services.live.cut(_LAST)
    return found


def on_sight(cuts: list[Cut]) -> list[Cut]:
    """Those that did not wait for the nonce."""
    return [cut for cut in cuts if cut.begun_by is not None]


def kill(face: Face, who: str, body: object = None, raw: bytes | None = None) -> httpx.Request:
    order = body or ({"scope": "principal", "about": "alice"} if raw is None else None)
    return face.request(who, "POST", "/v1/kill", order, raw)


async def test_a_store_that_is_silent_holds_no_cut_up(world: World):
    """A person's order is heard although nothing can be read or written, and is told to fail."""
    async with Face(world) as face:
        world.store.dead = True
        request = kill(face, "carol")
        cuts = await heard(world, lambda: face.client.send(request))
        wanted = Cut(Reach.PRINCIPAL, "alice", "killed", world.clock.now() + MAX_AHEAD)
        assert cuts[0] == wanted


async def test_a_copy_cuts_nothing_more(world: World):
    """The same bytes again are refused, and no gateway hears of them."""
    async with Face(world) as face:
        request = kill(face, "carol")
        assert len(on_sight(await heard(world, lambda: face.client.send(request)))) == 1
        answers: list[httpx.Response] = []

        async def again() -> None:
            answers.append(await face.client.send(request))

        assert await heard(world, again) == []
        assert kind_of(answers[0]) == (401, "authentication")


async def test_a_copy_after_a_restart_reaches_no_later_session(world: World):
    """A process that has forgotten the nonce cuts what stood at the signature, and ends nothing."""
    async with Face(world) as face:
        request = kill(face, "carol")
        await face.client.send(request)
        signed_at = world.clock.now()
    world.clock.advance(timedelta(seconds=30))
    async with Face(world) as restarted:
        answers: list[httpx.Response] = []

        async def again() -> None:
            answers.append(await restarted.client.send(request))

        (cut,) = await heard(world, again)
        assert kind_of(answers[0]) == (401, "authentication")
    assert cut.covers(_session(), signed_at)
    assert not cut.covers(_session(), signed_at + MAX_AHEAD + timedelta(seconds=1))


async def test_a_copy_is_dead_when_its_signature_is_too_old(world: World):
    """Not even a process that has forgotten everything cuts by a signature older than a minute."""
    async with Face(world) as face:
        request = kill(face, "carol")
    world.clock.advance(timedelta(seconds=61))
    async with Face(world) as restarted:
        assert await heard(world, lambda: restarted.client.send(request)) == []


@pytest.mark.parametrize(
    "who, body, raw",
    [
        ("fixer", {"scope": "everything"}, None),  # a machine, which may end its own only
        ("carol", {"scope": "principal"}, None),  # without the name that it needs
        ("carol", {"scope": "galaxy"}, None),
        ("carol", {"scope": "everything", "and": "more"}, None),
        ("carol", None, b"\xff\xfe"),
        ("carol", None, b"[" * 100_000),
    ],
)
async def test_who_is_not_to_be_obeyed_cuts_nothing_on_sight(
    world: World, who: str, body: object, raw: bytes | None
):
    """A machine, and an order that says nothing that can be read, wait for whoever judges them."""
    async with Face(world) as face:
        request = kill(face, who, body, raw)
        assert on_sight(await heard(world, lambda: face.client.send(request))) == []


@pytest.mark.parametrize("change", ["body", "signer", "address"])
async def test_a_forged_order_cuts_nothing(world: World, change: str):
    """Another body, another's name, or an order that was signed for another path."""
    async with Face(world) as face:
        genuine = kill(face, "carol")
        url, headers, content = genuine.url, dict(genuine.headers), genuine.content
        match change:
            case "body":
                content = b'{"scope":"everything"}'
            case "signer":
                claims = headers["signature-input"]
                headers["signature-input"] = claims.replace('keyid="carol"', 'keyid="dave"')
                assert headers["signature-input"] != claims
            case _:
                other = face.request("carol", "POST", "/v1/incidents", {"scope": "everything"})
                headers, content = dict(other.headers), other.content
        del headers["content-length"]
        forged = face.client.build_request("POST", url, headers=headers, content=content)
        cuts = await heard(world, lambda: face.client.send(forged))
        assert cuts == []


def _session() -> Opened:
    return Opened(
        session="s1",
        activation="a1",
        principal="alice",
        persons=("alice",),
        incident="inc-7",
        target="orders-db",
        role="repair",
        credential=Credential("cp_a1", "secret"),
        not_after=START + timedelta(hours=1),
    )
