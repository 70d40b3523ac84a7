"""However many sessions act at once, they spend no more than they may; and nothing at the end."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callpoint.domain.allowance import Allowance, Portion, Used
from callpoint.domain.errors import (
    CallpointError,
    ConflictError,
    DeniedError,
    StoreUnavailableError,
)
from callpoint.domain.event import ActionDecided, ActionFinished, SessionClosed, SessionOpened
from callpoint.domain.kill import Scope
from callpoint.domain.operation import Operation
from callpoint.domain.spending import Spending
from callpoint.lifecycle import give_back, kill, sweep
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.resume import resume
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.authority import Arrival, Deed, Outcome, Standing
from callpoint.ports.stores import RecordName, Transaction
from tests.fakes.behind import GATEWAY, SOURCE, behind, connect
from tests.fakes.beside import beside
from tests.fakes.invariants import check_always, history
from tests.fakes.world import World, eligibility, make_world

T = TypeVar("T")

_LATE = 20
"""Turns of the loop between a commit and its answer: enough for several decisions meanwhile."""

EXAMPLES = int(os.environ.get("CALLPOINT_MACHINE_EXAMPLES", "15"))
ACTIONS, ROWS, OBJECTS, DESTRUCTIVE = 6, 2500, 3, 2
ALLOWANCE = Allowance(actions=ACTIONS, rows=ROWS, objects=OBJECTS, destructive=DESTRUCTIVE)

DEEDS = [
    Deed((Operation(verb, f"public.{name}"),))
    for verb in ("sql:select", "sql:delete")
    for name in "abcd"
]
STEP = st.one_of(
    st.tuples(st.just("decide"), st.integers(0, 2), st.sampled_from(DEEDS)),
    st.tuples(st.just("draw"), st.integers(0, 9), st.integers(0, 1200)),
    st.tuples(st.just("report"), st.integers(0, 9), st.integers(0, 1200)),
    st.tuples(st.just("end"), st.integers(0, 2), st.none()),
    st.tuples(st.sampled_from(["resume", "sweep", "restart"]), st.none(), st.none()),
    st.tuples(st.sampled_from(["kill", "return"]), st.none(), st.none()),
)
# The store commits, and does not say so.
UNANSWERED = st.tuples(st.just("unanswered"), st.none(), st.none())


class Life:
    """One activation with three sessions, and what a gateway that keeps the rules would count."""

    def __init__(self, world: World, activation: str) -> None:
        self.world = world
        self.activation = activation
        self.recorder = Recorder(world.services)
        self.authority = GatewayAuthority(world.services, GATEWAY, self.recorder)
        self.sessions: list[str] = []
        self.ended: set[str] = set()
        self.is_over = False
        self.may: dict[tuple[str, int], int] = {}
        self.passed: Counter[tuple[str, int]] = Counter()
        self.allowed: list[Deed] = []
        self.grants = 1
        self.group: asyncio.TaskGroup | None = None
        self.recording: asyncio.Task[None] | None = None
        self.unanswered = 0
        self.may_be_cut = False

    def let_it_answer_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The store commits some turns of the loop before it says so, or never says so."""
        inner = self.world.store.transact

        async def transact(
            work: Callable[[Transaction], T],
            *,
            urgent: bool = False,
            compares: Sequence[RecordName] = (),
        ) -> T:
            made = await inner(work, urgent=urgent, compares=compares)
            for _ in range(_LATE):
                await asyncio.sleep(0)
            if self.unanswered:
                self.unanswered -= 1
                raise StoreUnavailableError("no answer", way_out="try again")
            return made

        monkeypatch.setattr(self.world.store, "transact", transact)

    async def begin(self) -> None:
        for _ in range(3):
            made = await connect(self.world, self.activation)
            arrival = Arrival(made.connection.id, SOURCE, GATEWAY)
            self.sessions.append((await self.authority.open_session(arrival)).session)

    async def decide(self, which: int, deed: Deed) -> None:
        session = self.sessions[which]
        try:
            verdict = await self.authority.decide(session, deed)
        except ConflictError:
            assert self.is_over or session in self.ended or self.may_be_cut
            return
        except StoreUnavailableError:
            assert self.may_be_cut
            return
        assert not self.is_over, "decided after the end"
        assert session not in self.ended, "decided after its end"
        if verdict.allowed:
            self.allowed.append(deed)
            self.may[session, verdict.number] = verdict.portion.rows or 0

    async def pass_rows(self, which: int, rows: int, *, is_last: bool) -> None:
        """A gateway lets through what it may, and asks for more or tells what it did."""
        if not self.may:
            return
        key = list(self.may)[which % len(self.may)]
        self.passed[key] = min(self.passed[key] + rows, self.may[key])
        used = Used(rows=self.passed[key])
        try:
            if is_last:
                await self.authority.report(key[0], Outcome(key[1], used))
                self.may.pop(key)
            else:
                more = await self.authority.draw(key[0], key[1], used)
                assert more == Portion(rows=more.rows)
                self.may[key] = self.passed[key] + (more.rows or 0)
        except ConflictError:
            assert self.is_over or key[0] in self.ended or self.may_be_cut
        except StoreUnavailableError:
            assert self.may_be_cut

    async def do(self, name: str, which: int, about: object) -> None:
        services, caller = self.world.services, self.world.caller
        match name, about:
            case "decide", Deed():
                await self.decide(which, about)
            case "draw" | "report", int():
                await self.pass_rows(which, about, is_last=name == "report")
            case "end", _:
                await self.authority.end_session(self.sessions[which], "gone")
                self.ended.add(self.sessions[which])
            case "resume", _:
                try:
                    await resume(services, caller("carol"), self.activation, "I looked")
                    self.grants += 1
                except (ConflictError, DeniedError):
                    pass
            case "sweep", _:
                await sweep.sweep(services)
            case "restart", _:
                await self.crash()
                self.recorder = Recorder(services)
                self.authority = GatewayAuthority(services, GATEWAY, self.recorder)
                await self.record()
                # What was under way is cut with its gateway: nothing more comes of it.
                self.may.clear()
            case "kill", _:
                await kill.kill(services, caller("bob"), Scope.TARGET, "orders-db")
                self.is_over = True
            case _:
                try:
                    await give_back.give_back(services, caller("alice"), self.activation)
                except CallpointError:
                    assert self.is_over
                self.is_over = True

    async def record(self) -> None:
        """Let what is answered be recorded beside it, on targets that allow it."""
        if self.group is not None:
            self.recording = self.group.create_task(self.recorder.run(asyncio.Event()))
            await asyncio.sleep(0)

    async def crash(self) -> None:
        """The process dies, with whatever it had not put on record yet."""
        if self.recording is not None:
            self.recording.cancel()
            await asyncio.gather(self.recording, return_exceptions=True)

    async def check(self) -> None:
        verbs = [one.operations[0] for one in self.allowed]
        limits = (await self.world.get(self.activation)).request.spends
        assert len(verbs) <= (limits.actions or 0) * self.grants
        assert sum(self.passed.values()) <= ROWS * self.grants
        assert len({one.object for one in verbs}) <= OBJECTS * self.grants
        assert sum(one.verb == "sql:delete" for one in verbs) <= DESTRUCTIVE * self.grants
        spent = await self.world.services.store.read(
            lambda view: view.find(Spending, self.activation)
        )
        if spent is not None:
            # What an action may still let through is spent, too: another must not get it.
            assert spent.rows >= sum((self.passed | self.may).values())
            # What is set aside for the next actions of a session is spent already.
            assert spent.actions >= len(verbs)
            assert spent.actions == len(verbs) or self.recording is not None

    def check_log(self) -> None:
        """Every number once, every outcome of an allowed action, nothing after the end."""
        check_always(self.world.store.state, {})
        for session in self.sessions:
            own = [i.event for i in history(self.world.store.state) if i.stream.endswith(session)]
            decided = [e for e in own if isinstance(e, ActionDecided)]
            numbers = [e.number for e in decided]
            assert numbers == sorted(set(numbers))
            allowed = {e.number for e in decided if e.allowed}
            finished = [e.number for e in own if isinstance(e, ActionFinished)]
            assert set(finished) <= allowed
            assert len(finished) == len(set(finished))
            assert not any(isinstance(e, SessionClosed) for e in own[:-1])
        opened = [i for i in history(self.world.store.state) if isinstance(i.event, SessionOpened)]
        assert len(opened) == len(self.sessions)


async def live(steps: list[tuple[str, int, object]]) -> None:
    world = await make_world(eligibility(allowance=ALLOWANCE), adapt=behind)
    await world.incident()
    life = Life(world, (await world.active()).id)
    await life.begin()
    for name, which, about in steps:
        await life.do(name, which, about)
        await life.check()
    life.check_log()


async def live_beside(steps: list[tuple[str, int, object]]) -> None:
    many = msgspec.structs.replace(ALLOWANCE, actions=640)
    world = await make_world(eligibility(allowance=many), adapt=beside)
    await world.incident()
    life = Life(world, (await world.active()).id)
    await life.begin()
    with pytest.MonkeyPatch.context() as patch:
        life.let_it_answer_late(patch)
        await act_beside(life, steps)
    life.check_log()


async def act_beside(life: Life, steps: list[tuple[str, int, object]]) -> None:
    async with asyncio.TaskGroup() as life.group:
        await life.record()
        for name, which, about in steps:
            if name == "unanswered":
                life.unanswered, life.may_be_cut = 1, True
                continue
            if name not in {"decide", "draw", "report"}:
                life.unanswered = 0
            for _ in range(4 if name == "decide" else 1):
                await life.do(name, which, about)
            await life.check()
            for _ in range(3 * (which or 0)):  # sometimes the recorder has turns, sometimes none
                await asyncio.sleep(0)
        life.unanswered = 0
        await life.crash()


@given(st.lists(STEP, max_size=25))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_spending_never_exceeds_the_allowance(steps):
    """Any order of decisions, draws, reports, restarts and ends: limits and log hold."""
    asyncio.run(live(steps))


@given(st.lists(st.one_of(STEP, STEP, UNANSWERED), max_size=25))
@example([("decide", 2, DEEDS[0])] * 6)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_recorded_beside_the_answer_never_exceeds_it_either(steps):
    """Likewise where reads pass before their record, and the store is late or does not answer."""
    asyncio.run(live_beside(steps))


async def test_two_that_race_for_the_last_of_it():
    """Both ask at once, through two processes: together they get what was left, and no more."""
    world = await make_world(eligibility(allowance=Allowance(actions=5, rows=20)), adapt=behind)
    await world.incident()
    life = Life(world, (await world.active()).id)
    await life.begin()
    others = [GatewayAuthority(world.services, GATEWAY) for _ in life.sessions]
    verdicts = await asyncio.gather(
        *(
            authority.decide(session, DEEDS[0])
            for authority, session in zip(others, life.sessions, strict=True)
            for _ in range(4)
        )
    )
    got = [verdict.portion.rows or 0 for verdict in verdicts if verdict.allowed]
    assert sorted(got) == [5, 15]
    assert set((await others[0].standing(life.sessions)).values()) == {Standing.PAUSED}
