"""Bare ``CREATE ROLE`` and its end, by a superuser over kept connections: what the server allows.

No approval, no evidence, no probing and no verification: nobody who gives and takes away roles on
this server can be faster. ``end_proven`` adds what no proof can do without, and nothing else: the
login that works before, the one that is refused after, and a look that the role is gone.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from benchmarks.load import Took, work_off
from benchmarks.report import must
from benchmarks.servers import PARENT
from callpoint.adapters.targets.postgresql import scram
from callpoint.cli.throwaway import ThrowawayPostgres

_SECRET = "a-secret-of-nobody"  # noqa: S105 -- of roles that live for seconds on a throwaway server
_VERIFIER = scram.verifier(_SECRET, b"sixteen bytes ..")


class BareRoles:
    """Kept connections, as many as clients.

    Args:
        connections: A superuser's.
        server: Where the roles log in.
    """

    def __init__(self, connections: Sequence[Any], server: ThrowawayPostgres) -> None:
        self._server = server
        self._idle: asyncio.Queue[Any] = asyncio.Queue()
        for connection in connections:
            self._idle.put_nowait(connection)

    async def create(self, names: Sequence[str], clients: int) -> Took:
        """Each with its password's verifier, its end and its parent."""
        return (await work_off(names, clients, self._create))[1]

    async def end(self, names: Sequence[str], clients: int) -> Took:
        """Each disabled, its sessions ended, dropped."""
        return (await work_off(names, clients, self._end))[1]

    async def end_proven(self, names: Sequence[str], clients: int) -> Took:
        """The same between two logins, of which the first works and the second does not."""
        return (await work_off(names, clients, self._end_proven))[1]

    async def _end_proven(self, name: str) -> None:
        must(await self._can_log_in(name), f"{name} cannot log in")
        await self._end(name)
        connection = await self._idle.get()
        try:
            there = await connection.fetchval("SELECT to_regrole($1)", name)
        finally:
            self._idle.put_nowait(connection)
        must(there is None and not await self._can_log_in(name), f"{name} is not dead")

    async def _can_log_in(self, name: str) -> bool:
        try:
            # Without TLS and without a look for certificates: the server has none to offer.
            session = await asyncpg.connect(self._server.url("postgres", name, _SECRET), ssl=False)
        except asyncpg.InvalidPasswordError:
            return False
        await session.close()
        return True

    async def _create(self, name: str) -> None:
        await self._run(
            f"CREATE ROLE {name} LOGIN NOINHERIT CONNECTION LIMIT 5 PASSWORD '{_VERIFIER}'"
            f" VALID UNTIL '2099-01-01' IN ROLE {PARENT}"
        )

    async def _end(self, name: str) -> None:
        await self._run(f"ALTER ROLE {name} NOLOGIN CONNECTION LIMIT 0 PASSWORD NULL")
        await self._run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"  # noqa: S608 -- names of our own
        )
        await self._run(f"DROP ROLE {name}")

    async def _run(self, statement: str) -> None:
        connection = await self._idle.get()
        try:
            await connection.execute(statement)
        finally:
            self._idle.put_nowait(connection)


@asynccontextmanager
async def bare_roles(server: ThrowawayPostgres, clients: int) -> AsyncIterator[BareRoles]:
    """Open the connections, close them afterwards."""
    connections = [await asyncpg.connect(server.superuser_url()) for _ in range(clients)]
    try:
        yield BareRoles(connections, server)
    finally:
        for connection in connections:
            await connection.close()
