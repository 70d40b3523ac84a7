"""Reads beside their record, outcomes on two ways, grants and journals, all at once on a real file.

Whatever comes in which order: each action is on record once, in order, with one outcome behind it,
and exactly what was used is spent.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from callpoint.adapters.clock.system import SystemClock
from callpoint.audit.entry import parse_entry
from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Portion, Used
from callpoint.domain.errors import UnavailableError
from callpoint.domain.ids import offline_stream, session_stream
from callpoint.domain.offline import OnLoss, grant_digest
from callpoint.domain.offline_journal import (
    DecidedOffline,
    FinishedOffline,
    GrantUsed,
    JournalEntry,
    LeftOffline,
    ReportedLate,
    Told,
)
from callpoint.domain.spending import Spending
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.authority import Arrival, Outcome
from tests.contract.test_authority_contract import on_disk
from tests.fakes.authority import GRANTS
from tests.fakes.behind import GATEWAY, SOURCE, connect
from tests.fakes.beside import beside, running
from tests.fakes.clock import SeededRandom
from tests.fakes.offline import MemoryJournal
from tests.fakes.world import World, assemble, eligibility, found_world
from tests.unit.test_authority import READ

_SESSIONS, _ACTIONS, _ALONE = 3, 25, 12


@dataclass
class Crowd:
    """One gateway with several sessions, of which everything is asked at once.

    Attributes:
        done: What was really done: ``actions``, ``rows``, and ``alone`` by session.
    """

    world: World
    authority: GatewayAuthority
    random: random.Random
    sessions: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    done: Counter[str] = field(default_factory=Counter)
    _telling: asyncio.Lock = field(default_factory=asyncio.Lock)

    def now(self) -> datetime:
        return self.world.services.clock.now()

    async def tell(self, *entries: JournalEntry) -> None:
        """By the journal, as a gateway does: again, until it is taken."""
        async with self._telling:
            self.journal.append(entries)
            told = Told(self.journal.name, self.journal.waiting(), True, tuple(self.sessions))
            async with asyncio.timeout(20):
                while True:
                    try:
                        self.journal.forget((await self.authority.take(told)).seq)
                    except UnavailableError:
                        await asyncio.sleep(0.01)
                    else:
                        return

    def used(self) -> Used:
        used = Used(rows=self.random.randrange(4))
        self.done["actions"] += 1
        self.done["rows"] += used.rows
        return used

    async def act(self, session: str) -> None:
        for _ in range(_ACTIONS):
            verdict = await self.authority.decide(session, READ)
            assert verdict.allowed
            outcome = Outcome(verdict.number, self.used())
            way = self.random.choice(("told", "told", "late", "both"))
            if way != "late":
                await self.authority.report(session, outcome)
            if way != "told":
                late = ReportedLate(session, outcome.number, outcome.used, self.now())
                await self.tell(late)
            if self.random.random() < 0.2 and self.done["alone"] < _ALONE:
                await self.act_alone(session)
            await asyncio.sleep(self.random.random() * 0.01)

    async def act_alone(self, session: str) -> None:
        token = self.tokens.get(session)
        if token is None or GRANTS.read(token).refuses(READ.operations):
            return  # made before anything was allowed
        self.done["alone"] += 1
        self.done[session] += 1
        number, digest = self.done[session], grant_digest(token)
        await self.tell(
            GrantUsed(session, token),
            DecidedOffline(
                session, number, digest, self.now(), READ.operations, True, portion=Portion(rows=5)
            ),
            FinishedOffline(session, number, self.used(), self.now()),
        )

    async def renew(self) -> None:
        while True:
            granted = await self.authority.grants(self.journal.name, self.sessions)
            self.tokens.update(granted.grants)
            await asyncio.sleep(self.random.random() * 0.01)

    async def events(self, stream: str) -> Sequence[ev.AnyEvent]:
        entries = await self.world.services.store.read(lambda view: view.entries(stream))
        parsed = [parse_entry(item.leaf) for item in entries]
        return [ev.parse(entry.type, entry.data) for entry in parsed]


async def crowd(folder: Path, seed: int) -> tuple[Crowd, Recorder]:
    rule = eligibility(allowance=Allowance(actions=100_000, rows=1_000_000), on_loss=OnLoss.OFFLINE)
    world = assemble(
        rule, store=await on_disk(folder), clock=SystemClock(), random=SeededRandom(seed),
        targets={}, adapt=beside,
    )  # fmt: skip
    await found_world(world)
    await world.incident()
    recorder = Recorder(world.services)
    authority = GatewayAuthority(world.services, GATEWAY, recorder, GRANTS)
    chance = random.Random(seed)  # noqa: S311 -- what comes next, repeatably
    return Crowd(world, authority, chance), recorder


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_action_counts_once_whatever_comes_at_once(tmp_path, seed):
    """Actions, outcomes and endings of three sessions, with grants and journals between them."""
    made, recorder = await crowd(tmp_path, seed)
    key = (await made.world.active()).id
    async with running(recorder):
        for _ in range(_SESSIONS):
            offered = await connect(made.world, key)
            arrival = Arrival(offered.connection.id, SOURCE, GATEWAY)
            made.sessions.append((await made.authority.open_session(arrival)).session)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            renewing = group.create_task(made.renew())
            async with asyncio.TaskGroup() as actors:
                for session in made.sessions:
                    actors.create_task(made.act(session))
            renewing.cancel()
        left, *others = made.sessions
        await made.authority.end_session(left, "left")
        await made.tell(*(LeftOffline(one, "left", made.now()) for one in others))
    for session in made.sessions:
        events = await made.events(session_stream(session))
        decided = [e.number for e in events if isinstance(e, ev.ActionDecided)]
        finished = [e.number for e in events if isinstance(e, ev.ActionFinished)]
        assert decided == list(range(1, _ACTIONS + 1))
        assert sorted(finished) == decided
        places = {(ev.name(e), getattr(e, "number", 0)): n for n, e in enumerate(events)}
        assert all(places["action:decided", n] < places["action:finished", n] for n in decided)
        (closed,) = [e for e in events if isinstance(e, ev.SessionClosed)]
        assert closed.actions == _ACTIONS
        alone = await made.events(offline_stream(session))
        assert not [e for e in alone if isinstance(e, ev.ActionOffline) and e.trouble]
    row = await made.world.services.store.read(lambda view: view.get(Spending, key))
    assert (row.actions, row.rows) == (made.done["actions"], made.done["rows"])
    await made.world.services.store.close()
