"""The kill switch over HTTP while the store is dead, hangs, or dies on the way."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx

from callpoint.adapters.identity.nonces import KEEP_FOR, MemoryNonceBook
from callpoint.adapters.identity.signatures import SignatureAuthenticator
from callpoint.api.app import make_app
from callpoint.domain import event as ev
from callpoint.domain.activation import EndReason
from callpoint.domain.errors import StoreUnavailableError
from callpoint.lifecycle.merge import tend
from callpoint.lifecycle.services import Limits
from tests.fakes.clock import SimulatedClock
from tests.fakes.face import ADDRESS, Face, kind_of
from tests.fakes.invariants import told
from tests.fakes.signed_order import alive, held_by
from tests.fakes.world import World

QUICK = timedelta(milliseconds=50)
EVERYTHING = {"scope": "everything"}


def without_store(world: World) -> Face:
    """The API as a server has it, with little patience."""
    services = replace(world.services, limits=Limits(store_within=QUICK))
    face = Face(replace(world, services=services))
    face.surface = replace(
        face.surface,
        without_store=SignatureAuthenticator(
            lambda: services.rules.last_proven,
            MemoryNonceBook(services.clock),
            services.clock,
            origins=(ADDRESS,),
        ),
        origins=(ADDRESS,),
    )
    served: Any = make_app(face.surface)
    transport = httpx.ASGITransport(app=served, raise_app_exceptions=False)
    face.client = httpx.AsyncClient(transport=transport, base_url=ADDRESS)
    return face


async def test_a_dead_store_takes_nothing_from_the_kill_and_everything_from_the_rest(tmp_path):
    """By the last rules proven; each signed request once; whoever gives is told 503."""
    stage, world, ids = await held_by(tmp_path)
    stage.store.dead = True
    async with without_store(world) as face:
        request = face.request("bob", "POST", "/v1/kill", EVERYTHING)
        answer = await face.client.send(request)
        assert answer.status_code == 200, answer.text
        killed = answer.json()
        assert killed["without_store"]
        assert killed["alive"] == []
        assert set(killed["activations"]) == set(ids.values())
        assert kind_of(await face.client.send(request)) == (401, "authentication")
        forged = face.request("mallory", "POST", "/v1/kill", EVERYTHING)
        assert kind_of(await face.client.send(forged)) == (401, "authentication")
        late = face.request("bob", "POST", "/v1/kill", EVERYTHING)
        world.clock.advance(timedelta(seconds=61))
        assert kind_of(await face.client.send(late)) == (401, "authentication")
        machine = await face.call("fixer", "POST", "/v1/kill", EVERYTHING)
        assert kind_of(machine) == (403, "denied")
        fetched = await face.call("alice", "POST", f"/v1/activations/{ids['alice']}/credentials")
        assert kind_of(fetched) == (503, "store_unavailable")
    assert alive(stage) == set()


async def test_a_store_that_hangs_is_waited_for_only_so_long(tmp_path, monkeypatch):
    """Neither the nonce nor the transaction may hold the kill; the merge knows it as the same."""
    stage, world, ids = await held_by(tmp_path)
    usual = type(stage.store).transact

    async def hang(store, work, *, urgent=False):
        await asyncio.sleep(3600)

    async with without_store(world) as face:
        monkeypatch.setattr(type(stage.store), "transact", hang)
        async with asyncio.timeout(5):
            killed = await face.post("gina", "/v1/kill", {"scope": "principal", "about": "bob"})
        monkeypatch.setattr(type(stage.store), "transact", usual)
        assert killed["without_store"]
        assert alive(stage) == {ids["alice"], ids["fixer"]}
    assert (await tend(world.services)).merged == (killed["tombstone"],)
    assert (await world.get(ids["bob"])).end_reason is EndReason.KILLED


async def test_a_store_that_dies_between_nonce_and_order_is_gone_without(tmp_path, monkeypatch):
    """Authenticated through the store, killed without it; the merge spends no second nonce."""
    stage, world, ids = await held_by(tmp_path)
    usual = type(stage.store).transact
    calls = 0

    async def die(store, work, *, urgent=False):
        nonlocal calls
        calls += 1
        if calls > 1:
            raise StoreUnavailableError("it died")
        return await usual(store, work, urgent=urgent)

    async with without_store(world) as face:
        monkeypatch.setattr(type(stage.store), "transact", die)
        killed = await face.post("gina", "/v1/kill", EVERYTHING)
        monkeypatch.setattr(type(stage.store), "transact", usual)
    assert killed["tombstone"]
    assert set(killed["activations"]) == set(ids.values())
    assert told(stage.state, ev.KillOrdered) == []
    assert (await tend(world.services)).merged == (killed["tombstone"],)
    assert (await world.get(ids["bob"])).end_reason is EndReason.KILLED


async def test_the_book_of_the_node_forgets_in_time():
    """A nonce counts once for an hour; what is older takes no memory."""
    clock = SimulatedClock()
    book = MemoryNonceBook(clock)
    assert [await book.spend("bob", "n"), await book.spend("bob", "n")] == [True, False]
    assert await book.spend("eve", "n")
    clock.advance(KEEP_FOR)
    assert await book.spend("bob", "n")
    assert len(book._spent) == 1
