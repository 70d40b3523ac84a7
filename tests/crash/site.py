"""Where it happens: a real PostgreSQL as target, and a store on SQLite or on PostgreSQL."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import asyncpg
import msgspec

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.stores.postgresql.store import PostgresStore
from callpoint.adapters.stores.sqlite.store import SqliteStore
from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.connector import PostgresqlConnector
from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings, RoleSettings
from callpoint.domain.eligibility import BudgetRule
from callpoint.lifecycle.services import Limits
from callpoint.ports.stores import Store
from tests.crash.fuse import Fuse, FusedConnector, FusedSigner, FusedStore
from tests.fakes.keys import MemoryLogSigner, MemoryVault
from tests.fakes.world import INSTALLATION, ORIGIN, World, assemble, eligibility, found_world

TTL = timedelta(seconds=4)
LIMITS = Limits(
    claim_for=timedelta(seconds=2),
    issue_within=timedelta(seconds=2),
    backoff_base=timedelta(milliseconds=100),
    backoff_cap=timedelta(milliseconds=500),
)
BROKER = "crash_broker"
PARENT = "crash_repair"
PASSWORD = "broker-of-the-crash-test"


class StoreKind(StrEnum):
    """Where state and evidence are kept."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Site(msgspec.Struct, frozen=True):
    """What a process must know to work here; travels to executed processes as JSON.

    Attributes:
        home: Folder of the store and of the checkpoint file.
        owner_dsn: A superuser of the target, who looks what is left.
        broker_dsn: What the connector uses.
        store_dsn: The database of the PostgreSQL store.
        vault: The sealing key, which outlives a process as a file would.
    """

    kind: StoreKind
    home: str
    owner_dsn: str
    broker_dsn: str
    store_dsn: str
    vault: str

    @property
    def checkpoint_file(self) -> Path:
        return Path(self.home) / "checkpoint"


async def prepare_target(owner_dsn: str, broker_dsn: str) -> None:
    """What the target's owner does once."""
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute(
        f"CREATE ROLE {BROKER} LOGIN NOINHERIT PASSWORD '{PASSWORD}';"
        f"CREATE ROLE {PARENT} NOLOGIN;"
        f"CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO {PARENT};"
    )
    await owner.execute(owner_script.render_home(settings(broker_dsn)))
    await owner.close()


def settings(broker_dsn: str) -> PostgresqlSettings:
    """The target as the configuration would say."""
    made = PostgresqlSettings(
        name="orders-db",
        installation=INSTALLATION,
        dsn=broker_dsn,
        roles={"repair": RoleSettings(PARENT)},
    )
    return msgspec.structs.replace(made, databases=(made.database,))


async def open_world(site: Site, fuse: Fuse) -> World:
    """One process over the site, with its fuse in every write and every call."""
    store = FusedStore(await _open_store(site, fuse), fuse)
    clock, random = SystemClock(), SystemRandom()
    connector = PostgresqlConnector(settings(site.broker_dsn), clock, random)
    return assemble(
        eligibility(ttl=TTL, accept_residual=True, budget=BudgetRule(10**6, timedelta(days=1))),
        store=store,
        clock=clock,
        random=random,
        targets={"orders-db": FusedConnector(connector, fuse)},
        vault=MemoryVault(site.vault),
        limits=LIMITS,
    )


async def _open_store(site: Site, fuse: Fuse) -> Store:
    signer = FusedSigner(MemoryLogSigner(ORIGIN), fuse)
    match site.kind:
        case StoreKind.SQLITE:
            return await SqliteStore.open(
                Path(site.home) / "store.db",
                signer=signer,
                clock=SystemClock(),
                checkpoint_file=site.checkpoint_file,
                origin=ORIGIN,
                installation=INSTALLATION,
            )
        case StoreKind.POSTGRESQL:
            return await PostgresStore.open(
                site.store_dsn,
                signer=signer,
                checkpoint_file=site.checkpoint_file,
                origin=ORIGIN,
                installation=INSTALLATION,
            )


async def found_site(site: Site) -> None:
    """Found the installation, and open the incident that all processes work on."""
    world = await open_world(site, Fuse(0))
    await found_world(world)
    await world.incident()
    await world.services.store.close()
