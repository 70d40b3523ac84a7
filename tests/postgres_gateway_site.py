"""A gateway in front of a real PostgreSQL, with an authority of which the test decides."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import structlog

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.gateways.postgres.gateway import PostgresGateway
from callpoint.gateways.postgres.settings import GatewaySettings
from callpoint.ports.credential import Credential
from tests.fakes.authority import FakeAuthority
from tests.servers import FreshDatabase

SECRET = "secret-of-conn1"

_TABLES = """
CREATE TABLE items (id int PRIMARY KEY, word text);
INSERT INTO items SELECT n, 'word ' || n FROM generate_series(1, 100) n;
CREATE TABLE people (id int PRIMARY KEY, pay int);
INSERT INTO people VALUES (1, 1000);
CREATE SCHEMA other; CREATE TABLE other.items (id int); INSERT INTO other.items VALUES (666);
GRANT ALL ON SCHEMA public, other TO {role};
GRANT ALL ON ALL TABLES IN SCHEMA public, other TO {role};
"""


@dataclass
class GatewaySite:
    """One gateway and its target.

    Attributes:
        database: The target, as its owner sees it.
        role: The account that sessions have there.
        authority: Who is asked.
        gateway: Running.
    """

    database: FreshDatabase
    role: str
    authority: FakeAuthority
    gateway: PostgresGateway

    @property
    def port(self) -> int:
        return self.gateway.port

    @property
    def dsn(self) -> str:
        """For libpq, through the gateway."""
        return (
            f"host=127.0.0.1 port={self.port} user=conn1 password={SECRET}"
            f" dbname={self.database.name}"
        )

    @property
    def environment(self) -> dict[str, str]:
        """For psql and its like, through the gateway."""
        return {
            "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "conn1",
            "PGPASSWORD": SECRET, "PGDATABASE": self.database.name, "PATH": "/usr/bin:/bin",
            "PGCONNECT_TIMEOUT": "10",
        }  # fmt: skip

    async def connect(self, **changes: Any) -> Any:
        """asyncpg through the gateway."""
        given = {
            "host": "127.0.0.1", "port": self.port, "user": "conn1", "password": SECRET,
            "database": self.database.name, "timeout": 10, "ssl": False,
        }  # fmt: skip
        return await asyncpg.connect(**(given | changes))

    async def psycopg(self, **changes: Any) -> Any:
        """psycopg through the gateway, in autocommit."""
        return await psycopg.AsyncConnection.connect(self.dsn, **({"autocommit": True} | changes))

    async def owner(self, query: str) -> Any:
        """One value, as the owner sees it."""
        owner = await asyncpg.connect(self.database.owner_url)
        try:
            return await owner.fetchval(query)
        finally:
            await owner.close()

    async def run(self, *command: str, stdin: str = "") -> tuple[int, str, str]:
        """A program of PostgreSQL's, through the gateway: its exit code and what it wrote."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        return process.returncode or 0, out.decode(), err.decode()

    async def settled(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Wait until something has come to be."""
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 -- of whatever kind
                await asyncio.sleep(0.01)


@asynccontextmanager
async def open_gateway(
    database: FreshDatabase, *, settings: GatewaySettings | None = None, **changes: Any
) -> AsyncIterator[GatewaySite]:
    """Tables, an account, a gateway; all of it gone afterwards."""
    role = f"actor_{secrets.token_hex(4)}"
    password = secrets.token_hex(8)
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    await owner.execute(_TABLES.format(role=role))
    place = database.server
    endpoint = {
        "host": "127.0.0.1", "port": str(place.port), "dbname": database.name, "sslmode": "prefer",
    }  # fmt: skip
    authority = FakeAuthority(Credential(role, password, endpoint), **changes)
    gateway = PostgresGateway(
        authority, settings or GatewaySettings("db-gateway", port=0), SystemClock(),
        SystemRandom(), structlog.get_logger(),
    )  # fmt: skip
    stop, is_up = asyncio.Event(), asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.serve(stop, lambda _port: is_up.set()))
            await is_up.wait()
            while not gateway.is_heard:  # noqa: ASYNC110 -- it has no event for it
                await asyncio.sleep(0.005)
            try:
                yield GatewaySite(database, role, authority, gateway)
            finally:
                stop.set()
    finally:
        await owner.execute(
            f"SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = '{role}'"
        )
        await owner.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
        await owner.close()
