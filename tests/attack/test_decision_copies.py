"""Copies of a signed question whose nonce is spent with its record: one is answered, ever."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callpoint.adapters.identity.nonces import StoreNonceBook
from callpoint.domain import event as ev
from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    ConflictError,
    LogUnavailableError,
    StoreUnavailableError,
)
from callpoint.domain.ids import DECISIONS_STREAM
from callpoint.lifecycle.asker import Asker
from callpoint.ports.identity import Recognised
from callpoint.ports.stores import View
from tests.fakes.clock import SimulatedClock
from tests.fakes.face import Face, kind_of, open_sqlite
from tests.fakes.invariants import told
from tests.fakes.world import INSTALLATION, World, make_world

ONE = "/access/v1/evaluation"


def question(who: str = "frank") -> dict[str, Any]:
    return {
        "subject": {"type": "human", "id": who},
        "action": {"name": "log:read"},
        "resource": {"type": "installation", "id": INSTALLATION},
    }


def on_record(view: View) -> int:
    return len(view.entries(DECISIONS_STREAM))


async def test_of_copies_at_once_one_is_answered(tmp_path: Path):
    """Eight that arrive together: one answer, one record; the others are refused."""
    clock = SimulatedClock(auto=True)
    store = await open_sqlite(tmp_path, clock)
    world = await make_world(store=store, clock=clock)
    async with Face(world) as face:
        request = face.request("erin", "POST", ONE, question())
        answers = await asyncio.gather(*(face.client.send(request) for _ in range(8)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200] + [401] * 7
        assert all("nonce is spent" in a.text for a in answers if a.status_code == 401)
        assert await store.read(on_record) == 1
        assert kind_of(await face.client.send(request)) == (401, "authentication")
        assert await store.read(on_record) == 1
    await store.close()


async def test_a_copy_of_what_was_refused_leaves_no_second_refusal():
    """Who may not ask is refused on record once; the copy is refused as such, and not recorded."""
    world = await make_world()
    async with Face(world) as face:
        request = face.request("alice", "POST", ONE, question())
        assert kind_of(await face.client.send(request)) == (403, "denied")
        assert kind_of(await face.client.send(request)) == (401, "authentication")
    assert len(told(world.store.state, ev.AccessRefused)) == 1


async def test_what_records_nothing_spends_its_nonce_too():
    """A body that cannot be read, and a decision that the dead log cannot take: no second try."""
    world = await make_world()
    async with Face(world) as face:
        for body in (b"{", b"[" * 5000):
            unread = face.request("erin", "POST", ONE, body=body)
            assert (await face.client.send(unread)).status_code == 400
            assert kind_of(await face.client.send(unread)) == (401, "authentication")
        world.store.log_down = True
        lost = face.request("erin", "POST", ONE, question())
        assert (await face.client.send(lost)).status_code == 503
        world.store.log_down = False
        assert kind_of(await face.client.send(lost)) == (401, "authentication")
    assert told(world.store.state, ev.DecisionMade) == []


@pytest.mark.parametrize("error", [StoreUnavailableError, LogUnavailableError])
async def test_what_was_recorded_but_not_answered_is_not_answered_later(
    error: type[CallpointError],
):
    """The record stands, and its asker was told 503 and not that it is a copy; a copy gets 401."""
    world = await make_world()

    def silent() -> None:
        world.store.after = lambda: None
        raise error("written, but not said")

    async with Face(world) as face:
        request = face.request("erin", "POST", ONE, question())
        world.store.after = silent
        assert (await face.client.send(request)).status_code == 503
        assert kind_of(await face.client.send(request)) == (401, "authentication")
    assert len(told(world.store.state, ev.DecisionMade)) == 1


async def test_what_moves_meanwhile_takes_no_nonce_with_it():
    """A record that is taken back leaves the nonce to the next try: one answer, one record."""
    world = await make_world()

    def moves() -> None:
        world.store.before = lambda: None
        raise ConflictError("it moved")

    async with Face(world) as face:
        request = face.request("erin", "POST", ONE, question())
        world.store.before = moves
        assert (await face.client.send(request)).status_code == 200
        assert kind_of(await face.client.send(request)) == (401, "authentication")
    assert len(told(world.store.state, ev.DecisionMade)) == 1


async def test_who_is_no_longer_known_gets_no_answer():
    """Recognised by rules that are no longer in force: not by the key, and not by the rules."""
    world: World = await make_world()
    services, caller = world.services, world.caller("erin")
    book = StoreNonceBook(services.store, services.clock)
    nonce = book.pending(Recognised(caller, "a" * 22, world.clock.now()))
    rules = await services.rules.current()
    former = msgspec.structs.replace(caller.principal, key="b" * 44)
    gone = Asker(msgspec.structs.replace(caller, principal=former), nonce)
    with pytest.raises(AuthenticationError, match="configuration changed"):
        await services.store.read(lambda view: gone.must_be_known(view, rules))
    outdated = replace(rules, digest="0" * 64)
    with pytest.raises(ConflictError):
        await services.store.read(lambda view: Asker(caller, nonce).must_be_known(view, outdated))
    asker = Asker(caller, nonce)
    await services.store.read(lambda view: asker.must_be_known(view, rules))
    # Who has spent its own nonce before a refusal that then was none goes on.
    await nonce.settle()
    await services.store.read(lambda view: asker.must_be_known(view, rules))
    await asker.record(services, lambda _: None)
