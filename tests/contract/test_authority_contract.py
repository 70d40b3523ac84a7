"""What every authority keeps: the real one over each store and over HTTP, and the tests' own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from callpoint.adapters.clock.system import SystemClock
from callpoint.adapters.stores.postgresql import PostgresStore
from callpoint.adapters.stores.sqlite import SqliteStore
from callpoint.adapters.tokens.jose import JoseGrantReader
from callpoint.audit.entry import parse_entry
from callpoint.domain import scram
from callpoint.domain.allowance import Allowance, Used
from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Purpose
from callpoint.domain.errors import ConflictError, DeniedError
from callpoint.domain.ids import offline_stream
from callpoint.domain.kill import Scope
from callpoint.domain.offline import GrantError, OnLoss, gateway_audience, grant_digest
from callpoint.domain.offline_journal import (
    BEGINNING,
    Chained,
    DecidedOffline,
    FinishedOffline,
    GrantUsed,
    JournalEntry,
    Told,
    chained,
)
from callpoint.domain.operation import Operation
from callpoint.lifecycle import kill
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.connection import Wish, offer
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.authority import Arrival, Authority, Deed, Outcome, Standing
from callpoint.ports.stores import Store
from callpoint.ports.targets import Credential
from tests.fakes.authority import GRANTS, FakeAuthority
from tests.fakes.authority_site import authority_site, guarded
from tests.fakes.behind import GATEWAY, SOURCE, behind
from tests.fakes.beside import beside, running
from tests.fakes.clock import SeededRandom
from tests.fakes.keys import MemoryLogSigner, Signer
from tests.fakes.world import (
    INSTALLATION,
    ORIGIN,
    World,
    assemble,
    eligibility,
    found_world,
    make_world,
)

READ = Deed((Operation("sql:select", "public.items"),), "SELECT 1")
DELETE = Deed((Operation("sql:delete", "public.items"),))
LIMIT = 60
WITH = ("memory, with", "sqlite, with")
"""On a target where a reader's yes may come before its record."""


@dataclass
class Side:
    """An authority, a connection that opens sessions, and how all of it is killed.

    Attributes:
        beside: A second process on the same store, where there can be one.
        recorders: Theirs; they run where answers may come before their record.
    """

    authority: Authority
    connection: str
    kill: Callable[[], Awaitable[object]]
    beside: Authority | None = None
    world: World | None = None
    recorders: tuple[Recorder, ...] = ()

    async def open(self) -> str:
        arrival = Arrival(self.connection, SOURCE, GATEWAY)
        return (await self.authority.open_session(arrival)).session


async def over(
    store: Store | None, adapt: Callable[[Configuration], Configuration] = behind
) -> Side:
    """The real one; the purpose is to investigate, so nothing may be deleted."""
    rule = eligibility(allowance=Allowance(actions=LIMIT), on_loss=OnLoss.OFFLINE)
    if store is None:
        world = await make_world(rule, adapt=adapt)
    else:
        random = SeededRandom(1)
        world = assemble(
            rule, store=store, clock=SystemClock(), random=random, targets={}, adapt=adapt
        )
        await found_world(world)
    await world.incident()
    key = (await world.active(purpose=Purpose.INVESTIGATE)).id
    caller, services = world.caller("alice"), world.services
    made = await offer(services, caller, key, Wish(SOURCE, logins=8))
    recorders = Recorder(services), Recorder(services)
    return Side(
        GatewayAuthority(services, GATEWAY, recorders[0], GRANTS),
        made.connection.id,
        lambda: kill.kill(services, world.caller("bob"), Scope.EVERYTHING),
        GatewayAuthority(services, GATEWAY, recorders[1], GRANTS),
        world,
        recorders,
    )


def fake() -> Side:
    """The one of gateway tests."""
    made = FakeAuthority(Credential("user", "secret"), on_loss=OnLoss.OFFLINE)
    made.deny("sql:delete")

    async def end() -> None:
        made.kill()

    return Side(made, "conn1", end)


async def on_disk(folder: Path) -> Store:
    return await SqliteStore.open(
        folder / "state.db",
        signer=MemoryLogSigner(ORIGIN),
        clock=SystemClock(),
        checkpoint_file=folder / "checkpoint",
        origin=ORIGIN,
        installation=INSTALLATION,
    )


async def on_a_server(folder: Path, url: str) -> Store:
    return await PostgresStore.open(
        url,
        signer=MemoryLogSigner(ORIGIN),
        checkpoint_file=folder / "checkpoint",
        origin=ORIGIN,
        installation=INSTALLATION,
        schema=f"authority_{folder.name.replace('-', '_')}"[:60].lower(),
        number_within=timedelta(seconds=2),
    )


@pytest.fixture(params=["memory", "sqlite", "postgresql", "http", "fake", *WITH])
async def side(request, tmp_path) -> AsyncIterator[Side]:
    """Each authority in turn."""
    store: Store | None = None
    match request.param:
        case "fake":
            yield fake()
            return
        case "http":
            there = await over(None, lambda rules: guarded(behind(rules)))
            async with authority_site(decides=there.authority, world=there.world) as site:
                yield replace(there, authority=site.remote())
            return
        case "sqlite" | "sqlite, with":
            store = await on_disk(tmp_path)
        case "postgresql":
            database = request.getfixturevalue("store_database_15")
            store = await on_a_server(tmp_path, database.owner_url)
        case _:
            assert request.param in ("memory", "memory, with")
    if request.param in WITH:
        made = await over(store, beside)
        async with AsyncExitStack() as stack:
            for recorder in made.recorders:
                await stack.enter_async_context(running(recorder))
            yield made
    else:
        yield await over(store)
    if store is not None:
        await store.close()


async def test_nobody_learns_which_connections_exist(side):
    """One that is not there is greeted likewise, always the same, and opens nothing."""
    known = await side.authority.greet(side.connection, SOURCE)
    unknown = await side.authority.greet("nobody", SOURCE)
    assert unknown == await side.authority.greet("nobody", SOURCE)
    assert (known.iterations, len(known.salt)) == (unknown.iterations, scram.SALT_SIZE)
    with pytest.raises(DeniedError):
        await side.authority.open_session(Arrival("nobody", SOURCE, GATEWAY))


async def test_a_yes_a_no_and_an_outcome(side):
    """Deeds are numbered, a no has a reason and ends nothing, and an outcome is taken."""
    session = await side.open()
    yes, no = [await side.authority.decide(session, deed) for deed in (READ, DELETE)]
    assert (yes.allowed, no.allowed, yes.number, no.number) == (True, False, 1, 2)
    assert no.reasons
    assert await side.authority.report(session, Outcome(1, Used(1, 2))) is Standing.OPEN
    assert await side.authority.standing([session, "none"]) == {
        session: Standing.OPEN,
        "none": Standing.OVER,
    }


async def test_what_is_over_stays_over(side):
    """Ended by its gateway, or killed with an order: nothing more is decided, ending goes on."""
    first, second = await side.open(), await side.open()
    await side.authority.end_session(first, "left")
    await side.authority.end_session(first, "left")
    lines = side.authority.cuts()
    assert await anext(lines) is None
    await side.kill()
    assert (await anext(lines)) is not None
    for session in (first, second, "none"):
        with pytest.raises(ConflictError):
            await side.authority.decide(session, READ)
        await side.authority.end_session(session, "left")
    told = await side.authority.standing([first, second])
    assert set(told.values()) == {Standing.OVER}
    await lines.aclose()


async def test_a_grant_lists_what_was_allowed_here_and_nothing_else(side):
    """Signed for this gateway, journal and session; without what was refused or never asked."""
    session = await side.open()
    for deed in (READ, DELETE):
        await side.authority.decide(session, deed)
    granted = await side.authority.grants("journal1", [session, "none"])
    assert list(granted.grants) == [session]
    said = JoseGrantReader(granted.keys).read(granted.grants[session])
    assert said.operations == READ.operations
    assert (said.session, said.journal, said.allowance.destructive) == (session, "journal1", 0)
    assert said.aud == gateway_audience(said.iss, GATEWAY)
    assert timedelta(0) < said.expires_at - said.issued_at <= timedelta(minutes=5)
    with pytest.raises(GrantError):
        JoseGrantReader([Signer("mallory").public]).read(granted.grants[session])
    await side.kill()
    assert not (await side.authority.grants("journal1", [session])).grants


async def test_a_journal_is_taken_once(side):
    """Told again, whole or in parts, it is taken no second time, and says up to where it was."""
    session = await side.open()
    await side.authority.decide(session, READ)
    granted = await side.authority.grants("journal1", [session])
    at = JoseGrantReader(granted.keys).read(granted.grants[session]).issued_at
    told = journal_of(session, granted.grants[session], at)
    first = await side.authority.take(Told("journal1", told[:2]))
    assert first.seq == 2
    for part in (told, told, ()):
        assert (await side.authority.take(Told("journal1", part, is_whole=True))).seq == 3
    if side.world is not None:
        entries = await side.world.services.store.read(
            lambda view: view.entries(offline_stream(session))
        )
        kinds = [parse_entry(one.leaf).type for one in entries]
        assert kinds == ["session:offline", "action:offline", "action:finished-offline"]
        assert not [one for one in entries if parse_entry(one.leaf).data["trouble"]]


def journal_of(session: str, token: str, now: datetime) -> tuple[Chained, ...]:
    """One reading at that moment, in a journal."""
    decided = DecidedOffline(session, 1, grant_digest(token), now, READ.operations, True)
    ended = FinishedOffline(session, 1, Used(rows=3), now)
    found: list[Chained] = []
    entries: tuple[JournalEntry, ...] = (GrantUsed(session, token), decided, ended)
    for entry in entries:
        found.append(chained(len(found) + 1, found[-1].hash if found else BEGINNING, entry))
    return tuple(found)


@pytest.mark.parametrize("side", ["memory", "sqlite", "postgresql", *WITH], indirect=True)
async def test_many_at_once_share_one_allowance(side):
    """Eight sessions, kept by two processes, ask at once: exactly what is allowed passes."""
    assert side.beside is not None
    sessions = [await side.open() for _ in range(8)]

    async def ask(which: int) -> list[bool]:
        keeper = (side.authority, side.beside)[which % 2]
        return [(await keeper.decide(sessions[which], READ)).allowed for _ in range(12)]

    answers = await asyncio.gather(*(ask(which) for which in range(8)))
    assert sum(map(sum, answers)) == LIMIT
    told = await side.authority.standing(sessions)
    assert set(told.values()) == {Standing.PAUSED}
