"""A target site on a real server: an owner who ran the script, a broker, a parent role, a table.

Names are new for each test, because roles belong to the whole cluster.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.connector import PostgresqlConnector
from callpoint.adapters.targets.postgresql.settings import Mode, PostgresqlSettings, RoleSettings
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.targets import Credential, MintRequest
from tests.servers import FreshDatabase

BROKER_PASSWORD = "broker-of-a-test"


@dataclass
class Site:
    """One prepared target.

    Attributes:
        database: Where it is.
        owner: A superuser's connection to it.
        settings: As the configuration would say.
        connector: Over those settings.
        parent: The NOLOGIN role; it owns ``orders``.
    """

    database: FreshDatabase
    owner: Any
    settings: PostgresqlSettings
    connector: PostgresqlConnector
    parent: str
    made: list[str] = field(default_factory=list)
    opened: list[Any] = field(default_factory=list)

    @property
    def installation(self) -> str:
        return self.settings.installation

    def with_settings(self, **changes: object) -> "Site":
        """The same place seen through other settings."""
        settings = msgspec.structs.replace(self.settings, **changes)
        return replace(self, settings=settings, connector=connector_for(settings))

    def plan(self, minutes: float = 30, role: str = "repair") -> UndoPlan:
        """A plan for a new handle."""
        return self.connector.plan(
            MintRequest(
                handle=self.installation + SystemRandom().ident(14),
                target=self.settings.name,
                role=role,
                not_after=datetime.now(UTC) + timedelta(minutes=minutes),
            )
        )

    async def login(self, credential: Credential, *, options: bool = True) -> Any:
        """Connect as the actor; with ``options`` as the credential says, so as the parent."""
        return self._kept(await login(credential, options=options))

    async def broker(self, database: str = "") -> Any:
        """Connect as whoever stole the broker's credential."""
        name = database or self.database.name
        return self._kept(await asyncpg.connect(self.settings.dsn, database=name))

    def _kept(self, connection: Any) -> Any:
        # Closed at the end, so that a test may leave a session for the connector to kill.
        self.opened.append(connection)
        return connection

    async def role(self, suffix: str, options: str = "NOLOGIN") -> str:
        """A further role of the owner's, removed at the end."""
        name = f"{suffix}_{self.installation}"
        await self.owner.execute(f"CREATE ROLE {name} {options}")
        self.made.append(name)
        return name

    async def exists(self, role: str) -> bool:
        return bool(await self.owner.fetchval("SELECT to_regrole($1) IS NOT NULL", role))

    async def live(self, account_oid: int) -> int:
        """Sessions by oid: a dropped role has no name any more."""
        return int(
            await self.owner.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1", account_oid
            )
        )

    async def oid(self, role: str) -> int:
        return int(await self.owner.fetchval("SELECT oid FROM pg_roles WHERE rolname = $1", role))


async def login(credential: Credential, *, options: bool = True) -> Any:
    """Connect as an actor; the caller closes or is cut."""
    where = credential.endpoint
    return await asyncpg.connect(
        host=where["host"],
        port=int(where["port"]),
        database=where["dbname"],
        user=credential.username,
        password=credential.secret,
        timeout=5,
        server_settings={"options": where["options"]} if options else {},
    )


def connector_for(settings: PostgresqlSettings) -> PostgresqlConnector:
    return PostgresqlConnector(settings, SystemClock(), SystemRandom())


@asynccontextmanager
async def open_site(database: FreshDatabase, mode: Mode = Mode.FUNCTIONS) -> AsyncIterator[Site]:
    """Prepare a target as its owner would, and remove every role of it afterwards."""
    installation = "t" + secrets.token_hex(3)[:5]
    broker, parent = f"broker_{installation}", f"repair_{installation}"
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute(
        f"CREATE ROLE {broker} LOGIN NOINHERIT PASSWORD '{BROKER_PASSWORD}';"
        f"CREATE ROLE {parent} NOLOGIN;"
        f"CREATE TABLE orders (id int, state text); ALTER TABLE orders OWNER TO {parent};"
        "CREATE TABLE billing (id int);"
    )
    settings = PostgresqlSettings(
        name="orders-db",
        installation=installation,
        dsn=database.url(broker, BROKER_PASSWORD),
        roles={"repair": RoleSettings(parent)},
        databases=(database.name,),
        mode=mode,
    )
    made = [broker, parent]
    if mode is Mode.FUNCTIONS:
        await owner.execute(owner_script.render_home(settings))
    else:
        await owner.execute(owner_script.render_createrole(settings))
        made.append(settings.powers)
    site = Site(database, owner, settings, connector_for(settings), parent, made)
    try:
        yield site
    finally:
        for connection in site.opened:
            connection.terminate()
        await _remove(site)
        await owner.close()


async def _remove(site: Site) -> None:
    rows = await site.owner.fetch(
        "SELECT rolname FROM pg_roles WHERE starts_with(rolname::text, $1)",
        f"cp_{site.installation}",
    )
    for role in [*(row["rolname"] for row in rows), *reversed(site.made)]:
        await site.owner.execute(
            f"SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = '{role}'"
        )
        if await site.exists(role):
            await site.owner.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
