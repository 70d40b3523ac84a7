"""A receiver fetches, confirms, refuses, and asks whether the stream works."""

from datetime import timedelta

import pytest

from callpoint.domain.errors import NotFoundError
from callpoint.lifecycle.poll_signals import Fetch, ask_verification, poll, stream_of
from callpoint.lifecycle.symptoms.symptom import Code
from tests.fakes.doctor import look, only
from tests.fakes.signals import (
    LIFE,
    end,
    fetch,
    kinds,
    outbox,
    polled,
    push,
    pushed,
    scene,
)


async def test_poll_repeats_what_is_not_confirmed():
    """A fetched signal is there again until it is confirmed, and then never again."""
    world, _, desk = await scene(polled())
    made = await world.active()
    first = await fetch(desk)
    assert kinds(list(first.values())) == LIFE
    assert await fetch(desk) == first
    one, two = first
    assert list(await fetch(desk, confirmed=(one, "nobody.idp"))) == [two]
    await end(world, made.id)
    found = await poll(
        desk, (await desk.streams())["idp"], Fetch(most=1, waits=False, confirmed=(two,))
    )
    assert (len(found.tokens), found.more) == (1, True)
    rest = await fetch(desk, confirmed=tuple(found.tokens))
    assert not await fetch(desk, confirmed=tuple(rest))
    assert not (await outbox(world, "idp")).waiting


async def test_poll_confirms_without_fetching():
    """``maxEvents`` 0 takes nothing, and says whether there is more."""
    world, _, desk = await scene(polled())
    await world.active()
    stream = (await desk.streams())["idp"]
    found = await poll(desk, stream, Fetch(most=0))
    assert (found.tokens, found.more) == ({}, True)
    everything = tuple(await fetch(desk))
    assert not (await poll(desk, stream, Fetch(most=0, confirmed=everything))).more


async def test_poll_waits_for_what_comes():
    """A poll that may wait is answered when something is there, or empty after a while."""
    world, _, desk = await scene(polled())
    stream = (await desk.streams())["idp"]
    before = world.clock.monotonic()
    assert not (await poll(desk, stream, Fetch())).tokens
    assert 19 <= world.clock.monotonic() - before <= 22
    desk.waiting.add("idp")  # another poll of this stream waits
    before = world.clock.monotonic()
    assert not (await poll(desk, stream, Fetch())).tokens
    assert world.clock.monotonic() - before < 1
    desk.waiting.clear()
    await world.active()
    everything = (await poll(desk, stream, Fetch())).tokens
    assert len(everything) == 2
    assert not desk.waiting
    desk.stop.set()  # a server that stops lets nobody wait
    before = world.clock.monotonic()
    assert not (await poll(desk, stream, Fetch(confirmed=tuple(everything)))).tokens
    assert world.clock.monotonic() - before < 1


async def test_what_a_poller_cannot_take_is_shown_again_later():
    """It is told to people and holds up nothing; a ``jti`` that is not its own changes nothing."""
    world, _, desk = await scene(polled())
    await world.active()
    first, second = await fetch(desk)
    refused = {first: ("invalid_request", "no such type"), "x": ("\x1b", "")}
    assert list(await fetch(desk, refused=refused)) == [second]
    assert "no such type" in only(await look(world), Code.SIGNALS_REFUSED).text
    world.clock.advance(timedelta(minutes=1))
    assert list(await fetch(desk, confirmed=(second,))) == [first]


async def test_a_verification_event_comes_the_way_of_signals():
    """Pushed or fetched, with the receiver's own state, once; of two the last counts."""
    _, receiver, desk = await scene(pushed(), polled())
    streams = await desk.streams()
    for name in streams:
        await ask_verification(desk, streams[name], "old")
        await ask_verification(desk, streams[name], "VGhpcw")
    await push(desk)
    told = [*receiver.told(), *(await fetch(desk)).values()]
    assert kinds(told) == ["verification"] * 2
    for one, name in zip(told, ("siem", "idp"), strict=True):
        assert one["sub_id"] == {"format": "opaque", "id": name}
        ((uri, event),) = one["events"].items()
        assert uri == "https://schemas.openid.net/secevent/ssf/event-type/verification"
        assert event == {"state": "VGhpcw"}
        assert not {"txn", "sub", "exp"} & set(one)
    assert (await push(desk)).sent == 0
    assert not await fetch(desk, confirmed=(told[1]["jti"],))


def test_a_stream_of_another_is_not_there():
    """Whether it exists is not told."""
    with pytest.raises(NotFoundError, match="no stream of yours"):
        stream_of({"idp": polled()}, "siem")
