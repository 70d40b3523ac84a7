"""Bare ``CREATE ROLE`` and its end, by a superuser over kept connections: what the server allows.

No approval, no evidence, no probing and no verification: nobody who gives and takes away roles on
this server can be faster.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from benchmarks.load import Took, work_off
from benchmarks.servers import PARENT
from callpoint.adapters.targets.postgresql import scram

_VERIFIER = scram.verifier("a-secret-of-nobody", b"sixteen bytes ..")


class BareRoles:
    """Kept connections, as many as clients."""

    def __init__(self, connections: Sequence[Any]) -> None:
        self._idle: asyncio.Queue[Any] = asyncio.Queue()
        for connection in connections:
            self._idle.put_nowait(connection)

    async def create(self, names: Sequence[str], clients: int) -> Took:
        """Each with its password's verifier, its end and its parent."""
        return (await work_off(names, clients, self._create))[1]

    async def end(self, names: Sequence[str], clients: int) -> Took:
        """Each disabled, its sessions ended, dropped."""
        return (await work_off(names, clients, self._end))[1]

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
async def bare_roles(superuser_url: str, clients: int) -> AsyncIterator[BareRoles]:
    """Open the connections, close them afterwards."""
    connections = [await asyncpg.connect(superuser_url) for _ in range(clients)]
    try:
        yield BareRoles(connections)
    finally:
        for connection in connections:
            await connection.close()
