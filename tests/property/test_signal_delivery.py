"""Whatever a receiver does, and wherever a process dies: everything is told, and nothing else."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from callpoint.domain.errors import UnavailableError
from callpoint.domain.kill import Scope
from callpoint.domain.signal_stream import SignalStream
from callpoint.lifecycle import kill
from callpoint.lifecycle.poll_signals import Fetch, poll
from callpoint.lifecycle.push_signals import tend_stream
from callpoint.lifecycle.sweep import sweep
from callpoint.ports.signals import Receipt
from tests.fakes.signals import Receiver, claims, kinds, make_desk, make_told, polled, pushed
from tests.fakes.world import World

LIFE = [
    "session-established",
    "credential-change:create",
    "session-revoked",
    "credential-change:revoke",
]
ANSWERS = ("take", "take", "away", "busy", "refuse", "die", "die after")
MOVES = st.lists(
    st.one_of(st.sampled_from(("live", "kill", "pass")), st.lists(st.sampled_from(ANSWERS))),
    max_size=12,
)
POLLS = st.lists(
    st.one_of(
        st.sampled_from(("live", "kill")),
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()),
    ),
    max_size=12,
)


class Death(BaseException):
    """The process is gone."""


class Moody(Receiver):
    """Answers by a script, and takes everything when it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[str] = []

    async def push(self, stream: SignalStream, token: str) -> Receipt:
        match self.script.pop(0) if self.script else "take":
            case "away":
                raise UnavailableError("nobody is there")
            case "busy":
                return Receipt(503)
            case "refuse":
                return Receipt(400, b'{"err":"invalid_request"}')
            case "die":
                raise Death
            case "die after":
                await super().push(stream, token)
                raise Death
            case _:
                return await super().push(stream, token)


async def move(world: World, what: str) -> int:
    """Access begins, or all of it ends; how many began."""
    if what == "live":
        await world.active()
        return 1
    await kill.kill(world.services, world.caller("gina"), Scope.EVERYTHING, "")
    await sweep(world.services)
    return 0


def must_be_whole(told: list[dict[str, Any]], lives: int) -> None:
    """Each life is told, each thing of it once but for repetitions, which are the same."""
    once = {one["jti"]: one for one in told}
    assert all(once[one["jti"]] == one for one in told)
    sessions: dict[str, list[dict[str, Any]]] = {}
    for one in once.values():
        sessions.setdefault(one["sub_id"]["session"]["id"], []).append(one)
    assert len(sessions) == lives
    for events in sessions.values():
        assert sorted(kinds(events)) == sorted(LIFE)


async def pushes(moves: list[Any]) -> None:
    world = await make_told(pushed())
    await world.incident()
    receiver, lives = Moody(), 0
    for step in (*moves, "kill", "pass"):
        if step in ("live", "kill"):
            lives += await move(world, step)
            continue
        receiver.script = list(step) if isinstance(step, list) else []
        desk = make_desk(world, receiver)
        with contextlib.suppress(Death):
            await tend_stream(desk, (await desk.streams())["siem"])
        world.clock.advance(timedelta(minutes=2))
    receiver.script = []
    desk = make_desk(world, receiver)
    await tend_stream(desk, (await desk.streams())["siem"])
    must_be_whole(receiver.told(), lives)


async def polls(moves: list[Any]) -> None:
    world = await make_told(polled())
    await world.incident()
    desk = make_desk(world)
    stream = (await desk.streams())["idp"]
    told: list[dict[str, Any]] = []
    confirmed: set[str] = set()
    lives = 0
    for step in (*moves, "kill"):
        if step in ("live", "kill"):
            lives += await move(world, step)
            continue
        most, some, refuses = step
        known = [one["jti"] for one in told]
        bad = dict.fromkeys(known[-1:], ("invalid_request", "")) if refuses else {}
        taken = tuple(jti for jti in known[:some] if jti not in bad)
        confirmed.update(taken)
        asked = Fetch(most=most, waits=False, confirmed=taken, refused=bad)
        found = await poll(desk, stream, asked)
        assert len(found.tokens) <= most
        assert not confirmed & set(found.tokens)
        told += [claims(token) for token in found.tokens.values()]
    while True:
        world.clock.advance(timedelta(minutes=2))
        mine = tuple(one["jti"] for one in told)
        found = await poll(desk, stream, Fetch(waits=False, confirmed=mine))
        if not found.tokens:
            break
        told += [claims(token) for token in found.tokens.values()]
    must_be_whole(told, lives)


@settings(max_examples=25, deadline=None)
@given(moves=MOVES)
def test_everything_is_pushed_in_the_end(moves):
    """Away, busy, refusing, or our own death before and after: told at least once, the same."""
    asyncio.run(pushes(moves))


@settings(max_examples=25, deadline=None)
@given(moves=POLLS)
def test_everything_is_fetched_in_the_end(moves):
    """However few are fetched, confirmed or refused at a time; what is confirmed never returns."""
    asyncio.run(polls(moves))
