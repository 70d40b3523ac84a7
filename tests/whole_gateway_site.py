"""All of it, nothing made up: gateway, authority, log, connector, and a server of PostgreSQL.

Only people and their approvals are the test world's. The actor is on 127.0.0.1, where the gateway
is too; whoever stole something is on ``ELSEWHERE``, from where the server lets nobody in.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import structlog

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.stores.postgresql import PostgresStore
from callpoint.adapters.stores.sqlite import SqliteStore
from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.tokens.jose import JoseGrantReader
from callpoint.audit.entry import parse_entry
from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance
from callpoint.domain.configuration import Configuration
from callpoint.domain.connection import Offered
from callpoint.domain.eligibility import Purpose
from callpoint.domain.errors import CallpointError, DeniedError, UnavailableError
from callpoint.domain.kill import Scope
from callpoint.domain.offline import OnLoss
from callpoint.gateways.offline import OfflineKit
from callpoint.gateways.postgres.gateway import PostgresGateway
from callpoint.gateways.postgres.messages import error_fields
from callpoint.gateways.postgres.settings import GatewaySettings
from callpoint.gateways.postgres.startup import startup_body
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.kill import kill
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.authority import (
    Arrival,
    Cut,
    Deed,
    Opened,
    Outcome,
    Standing,
    Verdict,
)
from callpoint.ports.journals import OfflineJournal
from callpoint.ports.stores import Store
from tests.contract.store_benches import FragileSigner
from tests.fakes.authority import GRANTS
from tests.fakes.behind import GATEWAY, behind, connect
from tests.fakes.keys import MemoryVault
from tests.fakes.wire import Wire
from tests.fakes.world import (
    INSTALLATION,
    ORIGIN,
    World,
    assemble,
    eligibility,
    found_world,
)
from tests.postgresql_site import Site, open_site
from tests.servers import FreshDatabase

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
E = TypeVar("E", bound=ev.Event)

_TABLES = """
CREATE TABLE items (id int PRIMARY KEY, word text);
INSERT INTO items SELECT n, 'word ' || n FROM generate_series(1, 400) n;
ALTER TABLE items OWNER TO {parent};
GRANT CREATE, USAGE ON SCHEMA public TO {parent};
"""


class SpyingAuthority(GatewayAuthority):
    """The real one; a thief inside the gateway keeps what it was given.

    Attributes:
        opened: The sessions, with their credentials.
        is_away: It answers nothing, and its orders are not heard.
    """

    def __init__(self, services: Services, gateway: str, recorder: Recorder) -> None:
        super().__init__(services, gateway, recorder, GRANTS)
        self.opened: list[Opened] = []
        self.is_away = False

    async def open_session(self, arrival: Arrival) -> Opened:
        self.opened.append(await super().open_session(arrival))
        return self.opened[-1]

    async def decide(self, session: str, deed: Deed) -> Verdict:
        self._must_be_there()
        return await super().decide(session, deed)

    async def report(self, session: str, outcome: Outcome) -> Standing:
        self._must_be_there()
        return await super().report(session, outcome)

    async def end_session(self, session: str, reason: str) -> None:
        self._must_be_there()
        await super().end_session(session, reason)

    async def standing(self, sessions: Sequence[str]) -> dict[str, Standing]:
        self._must_be_there()
        return await super().standing(sessions)

    async def cuts(self) -> AsyncIterator[Cut | None]:
        async for order in super().cuts():
            self._must_be_there()
            yield order

    def _must_be_there(self) -> None:
        if self.is_away:
            raise UnavailableError("nobody answers")


class HurriedClock(SystemClock):
    """Of a gateway: silence can be made long in a moment; what sleeps is not woken by it."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class Front:
    """A running gateway, of a process of its own as far as the store is concerned."""

    world: World
    authority: SpyingAuthority
    gateway: PostgresGateway
    clock: HurriedClock

    async def connect(self, made: Offered) -> Any:
        """asyncpg through it."""
        return await asyncpg.connect(
            host=HERE, port=self.gateway.port, user=made.connection.id, password=made.secret,
            database=made.database, timeout=10, ssl=False,
        )  # fmt: skip


@dataclass
class WholeSite:
    """The target, the installation and its gateways.

    Attributes:
        site: The target.
        world: The installation, as the first process has it.
        front: Its gateway.
        fronts: The gateways of all processes.
        signer: Signs the log until it is told to break.
        links: Clients that are closed at the end.
    """

    site: Site
    world: World
    signer: FragileSigner
    fronts: list[Front] = field(default_factory=list)
    links: list[Wire] = field(default_factory=list)

    @property
    def front(self) -> Front:
        return self.fronts[0]

    async def activation(self, purpose: Purpose = Purpose.RECOVER, **changes: Any) -> str:
        """Asked by alice, approved by two, issued at the server."""
        return (await self.world.active(purpose=purpose, **changes)).id

    async def offer(self, activation: str) -> Offered:
        """A connection secret for alice, here."""
        return await connect(self.world, activation, source=HERE)

    async def login(self, activation: str, front: Front | None = None) -> Any:
        """asyncpg through the gateway, as alice."""
        return await (front or self.front).connect(await self.offer(activation))

    async def wire(self, activation: str, front: Front | None = None) -> Wire:
        """Raw, through the gateway, as alice."""
        made = await self.offer(activation)
        link = await knock((front or self.front).gateway.port, made.connection.id, made.secret)
        self.links.append(link)
        return link

    async def kill(self, activation: str) -> None:
        """By carol."""
        await kill(self.world.services, self.world.caller("carol"), Scope.ACTIVATION, activation)

    async def told(self, kind: type[E]) -> list[E]:
        """What the log says."""
        leaves = await self.world.services.store.read(lambda view: view.log_slice(0, 100_000))
        entries = [parse_entry(item.leaf) for item in leaves]
        events = [ev.parse(entry.type, entry.data) for entry in entries]
        return [event for event in events if isinstance(event, kind)]

    async def settled(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Wait until something has come to be."""
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 -- of whatever kind
                await asyncio.sleep(0.01)

    async def backends(self) -> int:
        """Sessions of minted accounts at the server."""
        return int(
            await self.site.owner.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE starts_with(usename::text, $1)",
                f"cp_{INSTALLATION}",
            )
        )


class KnockedWire(Wire):
    """Keeps the last message, which says why a login failed."""

    last: bytes = b""

    async def frame(self) -> bytes:
        self.last = await super().frame()
        return self.last


async def knock(
    port: int, user: str, secret: str, source: str = HERE, **parameters: str
) -> KnockedWire:
    """Log in at a gateway or a server, from an address of one's choice.

    Raises:
        DeniedError: With SQLSTATE and words of the refusal.
    """
    ends = await asyncio.open_connection(HERE, port, local_addr=(source, 0))
    made = KnockedWire(*ends)
    made.send(startup_body({"user": user} | parameters))
    try:
        await made.prove(await made.frame(), secret)
    except (AssertionError, CallpointError, asyncio.IncompleteReadError) as error:
        made.close()
        told = error_fields(made.last)
        raise DeniedError(f"{told['C']} {told['M']}") from error
    return made


@asynccontextmanager
async def open_whole(
    database: FreshDatabase,
    folder: Path,
    *,
    spends: Allowance | None = None,
    processes: int = 1,
    on_postgresql: bool = False,
    adapt: Callable[[Configuration], Configuration] = behind,
    journal: OfflineJournal | None = None,
) -> AsyncIterator[WholeSite]:
    """Everything up; at the end everything is killed and nothing is left at the server.

    Args:
        database: The target, and the store's server where it is on one.
        folder: For the store's files.
        spends: The allowance of each activation.
        processes: So many gateways, each with an authority (and on PostgreSQL a store) of its own.
        on_postgresql: Where the store is; else it is a file of SQLite.
        adapt: Makes the configuration, for instance that reads are recorded beside the answer.
        journal: The first gateway's: its sessions may go on without their authority.
    """
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(open_site(database))
        site = place.with_settings(installation=INSTALLATION)
        await site.owner.execute(owner_script.render_home(site.settings))
        await site.owner.execute(_TABLES.format(parent=site.parent))
        signer = FragileSigner(ORIGIN)
        schema = f"s_{secrets.token_hex(6)}"

        async def opened() -> Store:
            if on_postgresql:
                return await PostgresStore.open(
                    database.owner_url, signer=signer, checkpoint_file=folder / "checkpoint",
                    origin=ORIGIN, installation=INSTALLATION, schema=schema,
                )  # fmt: skip
            return await SqliteStore.open(
                folder / "state.db", signer=signer, clock=SystemClock(),
                checkpoint_file=folder / "checkpoint", origin=ORIGIN, installation=INSTALLATION,
            )  # fmt: skip

        stores = [await opened() for _ in range(processes if on_postgresql else 1)]
        for store in stores:
            stack.push_async_callback(store.close)
        vault, on_loss = MemoryVault(), OnLoss.OFFLINE if journal else OnLoss.CUT
        worlds = [
            _world(store, site, spends or Allowance(), vault, adapt, on_loss) for store in stores
        ]
        await found_world(worlds[0])
        await worlds[0].incident()
        whole = WholeSite(site, worlds[0], signer)
        for n in range(processes):
            world = worlds[n % len(worlds)]
            whole.fronts.append(await stack.enter_async_context(_front(world, journal)))
        try:
            yield whole
        finally:
            for link in whole.links:
                link.close()
            signer.is_broken = False
            await kill(whole.world.services, whole.world.caller("carol"), Scope.EVERYTHING)


def _world(
    store: Store,
    site: Site,
    spends: Allowance,
    vault: MemoryVault,
    adapt: Callable[[Configuration], Configuration],
    on_loss: OnLoss,
) -> World:
    return assemble(
        eligibility(accept_residual=True, allowance=spends, on_loss=on_loss),
        store=store,
        clock=SystemClock(),
        random=SystemRandom(),
        targets={"orders-db": site.connector},
        vault=vault,
        adapt=adapt,
    )


@asynccontextmanager
async def _front(world: World, journal: OfflineJournal | None = None) -> AsyncIterator[Front]:
    recorder, clock = Recorder(world.services), HurriedClock()
    authority = SpyingAuthority(world.services, GATEWAY, recorder)
    kit = OfflineKit(journal, JoseGrantReader) if journal is not None else None
    gateway = PostgresGateway(
        authority, GatewaySettings(GATEWAY, port=0), clock, SystemRandom(),
        structlog.get_logger(), kit,
    )  # fmt: skip
    stop, is_up = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run(stop))
        group.create_task(gateway.serve(stop, lambda _port: is_up.set()))
        await is_up.wait()
        while not gateway.is_heard:  # noqa: ASYNC110 -- it has no event for it
            await asyncio.sleep(0.005)
        try:
            yield Front(world, authority, gateway, clock)
        finally:
            stop.set()
