"""``evidence = "with"`` where it was not made: on two nodes of PostgreSQL, and asked over HTTP."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import asyncpg
import pytest

from callpoint.audit.entry import parse_entry
from callpoint.audit.verify.story.numbers import Numbers
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError
from callpoint.domain.gateway import Evidence
from callpoint.domain.ids import session_stream
from callpoint.domain.kill import Scope
from callpoint.domain.operation import Operation
from callpoint.lifecycle.kill import kill
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_recorder import MOST_AHEAD, Recorder
from callpoint.lifecycle.session_write import Part
from callpoint.ports.authority import Arrival, Authority, Deed, Verdict
from tests.fakes.authority_site import GATEWAY
from tests.fakes.beside import beside, running
from tests.remote_gateway_site import open_remote, remote
from tests.servers import FreshDatabase, fresh_database
from tests.whole_gateway_site import HERE, SpyingAuthority, WholeSite, open_whole

_READ = Deed((Operation("sql:select", "public.items"),))
_GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


@pytest.fixture
def target(postgres_15: ThrowawayPostgres):
    with fresh_database(postgres_15) as fresh:
        yield fresh


class MortalRecorder(Recorder):
    """Writes nothing once it is dead, whatever it was about to."""

    is_dead = False

    async def _attempt(self, parts: Sequence[Part]) -> None:
        if self.is_dead:
            await asyncio.Event().wait()
        await super()._attempt(parts)


class Dying(SpyingAuthority):
    """Its process dies when it has answered that action, before anything of it is written.

    Attributes:
        recorder: What would write.
        recording: Its task.
        dies_after: The action's number.
    """

    recording: asyncio.Task[None] | None = None
    dies_after = 0

    def __init__(self, services: Services) -> None:
        self.recorder = MortalRecorder(services)
        super().__init__(services, GATEWAY, self.recorder)

    async def decide(self, session: str, deed: Deed) -> Verdict:
        verdict = await super().decide(session, deed)
        if verdict.number == self.dies_after and self.recording is not None:
            self.recorder.is_dead = True  # there was no turn for it since
            self.recording.cancel()
        return verdict


@asynccontextmanager
async def nobody_writes(database: FreshDatabase) -> AsyncIterator[None]:
    """Whoever would write to the store on PostgreSQL waits."""
    owner = await asyncpg.connect(database.owner_url)
    try:
        schema = await owner.fetchval("SELECT schemaname FROM pg_tables WHERE tablename = 'writer'")
        async with owner.transaction():
            await owner.execute(f"LOCK TABLE {schema}.writer IN EXCLUSIVE MODE")
            yield
    finally:
        await owner.close()


@contextmanager
def nobody_writes_in(folder: Path) -> Iterator[None]:
    """Likewise on SQLite."""
    with closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as link:
        link.execute("BEGIN IMMEDIATE")
        yield
        link.execute("ROLLBACK")


async def decided(whole: WholeSite, session: str) -> list[tuple[int, Evidence]]:
    """What is on record of a session's decisions, as it stands there."""
    return [
        (one.number, one.evidence)
        for one in await whole.told(ev.ActionDecided)
        if one.session == session
    ]


async def recorded(whole: WholeSite, session: str, number: int) -> list[tuple[int, Evidence]]:
    """The same, once that many are."""
    async with asyncio.timeout(5):
        while len(found := await decided(whole, session)) < number:  # noqa: ASYNC110 -- the log
            await asyncio.sleep(0.02)
    return found


async def gaps(whole: WholeSite, session: str) -> list[str]:
    """What the story of the evidence says of a session's numbers that are missing."""
    leaves = await whole.world.services.store.read(lambda view: view.log_slice(0, 100_000))
    entries = [parse_entry(item.leaf) for item in leaves]
    numbers, stream = Numbers(), session_stream(session)
    steps = [numbers.missing_before(0, one) for one in entries if one.stream == stream]
    return [step.title for step in steps if step is not None]


async def opened(whole: WholeSite, authority: Authority) -> str:
    """A session of an activation of its own, with one action that waited for its record."""
    offer = await whole.offer(await whole.activation())
    session = (await authority.open_session(Arrival(offer.connection.id, HERE, GATEWAY))).session
    assert (await authority.decide(session, _READ)).number == 1
    return session


async def lost(
    whole: WholeSite, session: str, first: Authority, then: Callable[[], Authority]
) -> None:
    """The first dies between a yes and its record; the other goes on, and the gap shows."""
    assert [(await first.decide(session, _READ)).allowed for _ in "ab"] == [True, True]
    await asyncio.sleep(0.1)
    number = (await then().decide(session, _READ)).number
    assert number > MOST_AHEAD
    kept = await decided(whole, session)
    assert kept[-1] == (number, Evidence.BEFORE)
    assert 3 not in [one for one, _ in kept], kept
    missing = len(kept)  # the one before may be lost with it
    assert await gaps(whole, session) == [f"Actions {missing} to {number - 1} are not on record"]


async def test_two_nodes_on_postgresql(target, tmp_path):
    """A read passes before its record, which is in order later; a kill at the other node cuts."""
    async with open_whole(target, tmp_path, processes=2, on_postgresql=True, adapt=beside) as whole:
        near, far = whole.fronts
        key = await whole.activation()
        link = await whole.login(key, near)
        read = await link.prepare("SELECT word FROM items WHERE id = $1")
        assert await read.fetchval(1) == "word 1"
        session = near.authority.opened[0].session
        before = len(await decided(whole, session))
        async with nobody_writes(target):
            for number in range(2, 5):  # few: after a second they would wait
                assert await read.fetchval(number) == f"word {number}"
            assert len(await decided(whole, session)) == before
        found = await recorded(whole, session, before + 3)
        assert [number for number, _ in found] == list(range(1, before + 4))
        assert [kind for _, kind in found][-3:] == [Evidence.WITH] * 3

        begun = time.monotonic()
        await kill(far.world.services, far.world.caller("carol"), Scope.ACTIVATION, key)
        with pytest.raises(_GONE):
            await read.fetchval(7)
        assert time.monotonic() - begun < 2
        assert await whole.backends() == 0
        with pytest.raises(ConflictError):
            await near.authority.decide(session, _READ)

        dying = Dying(near.world.services)
        async with running(dying.recorder) as dying.recording:
            session = await opened(whole, dying)
            dying.dies_after = 3
            await lost(whole, session, dying, lambda: far.authority)


async def test_asked_over_http(target, tmp_path):
    """The same where the gateway asks over HTTP; after a kill nothing more is answered."""
    async with open_remote(target, tmp_path, adapt=lambda rules: remote(beside(rules))) as made:
        whole, services = made.whole, made.whole.world.services
        dying = Dying(services)
        async with running(dying.recorder) as dying.recording:
            made.authorities[GATEWAY] = dying
            front = made.site.remote()
            session = await opened(whole, front)
            await recorded(whole, session, 1)
            with nobody_writes_in(tmp_path):
                verdicts = [await front.decide(session, _READ) for _ in range(3)]
                assert [one.number for one in verdicts] == [2, 3, 4]
                assert len(await decided(whole, session)) == 1
            found = await recorded(whole, session, 4)
            assert found == [(1, Evidence.BEFORE), *[(n, Evidence.WITH) for n in range(2, 5)]]
            await kill(services, whole.world.caller("carol"), Scope.EVERYTHING)
            with pytest.raises(ConflictError):
                await front.decide(session, _READ)

            session = await opened(whole, front)
            dying.dies_after = 3

            def another() -> Authority:
                made.authorities[GATEWAY] = SpyingAuthority(services, GATEWAY, Recorder(services))
                return front

            await lost(whole, session, front, another)
