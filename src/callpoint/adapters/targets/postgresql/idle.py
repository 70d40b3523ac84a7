"""Connections that were just used, kept open for a moment for whoever comes next.

A revocation asks a dozen short questions one after the other, and connecting costs ten times what
an answer costs. So a connection that was given back in order waits a second; then it is closed. It
never waits longer: a broker's open session is something that the owner has to explain.
"""

import asyncio
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import msgspec

from callpoint.adapters.targets.postgresql.login import Login

LINGER = 1.0
"""Seconds that a connection waits."""

_ANSWER_LIMIT = 1.0
_CLOSE_LIMIT = 1.0
_GONE = (
    TimeoutError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server said goodbye, and the driver takes nothing more
)


class _Idle(msgspec.Struct, frozen=True, eq=False):
    """One of them, and when it is closed."""

    database: str
    login: Login
    ends: TimerHandle


class IdleConnections:
    """The idle connections to one endpoint, oldest first; used by one event loop at a time."""

    def __init__(self) -> None:
        self._held: list[_Idle] = []
        self._loop: AbstractEventLoop | None = None
        self._guard: AsyncGenerator[None, None] | None = None

    def __len__(self) -> int:
        return len(self._held)

    async def take(self, database: str) -> Login | None:
        """One that answers, or None. What does not answer is dropped: nothing was asked of it yet.

        Without this look, the first question after a server's restart would be lost on the way, and
        nobody could say whether it took effect. However short it waited: the server's last words
        can be here before the end of the connection is.
        """
        await self._watch_over()
        while matching := [held for held in self._held if held.database == database]:
            found = matching[-1]
            self._let_go(found)
            if await _answers(found.login):
                return found.login
            found.login.connection.terminate()
        return None

    async def keep(self, database: str, login: Login) -> None:
        """Let it wait; the caller has seen that it is in order."""
        loop = await self._watch_over()
        ends = loop.call_later(LINGER, self._end, login)
        self._held.append(_Idle(database, login, ends))

    async def drop_oldest(self) -> None:
        """Close the one that waits longest, to make room for another."""
        oldest = self._held[0]
        self._let_go(oldest)
        await closed(oldest.login.connection)

    def _let_go(self, held: _Idle) -> None:
        self._held.remove(held)
        held.ends.cancel()

    def _end(self, login: Login) -> None:
        self._held = [held for held in self._held if held.login is not login]
        # It is in no transaction, so the server takes this for a goodbye.
        login.connection.terminate()

    async def _watch_over(self) -> AbstractEventLoop:
        """See that no connection outlives its event loop.

        A loop that ends closes every generator that is suspended on it. Connectors have no end of
        their own that could be used instead: they are replaced while they are at work.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._held, self._loop = [], loop
            self._guard = self._until_it_ends(loop)
            await anext(self._guard)
        return loop

    async def _until_it_ends(self, loop: AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            while self._held and self._loop is loop:
                await self.drop_oldest()


async def _answers(login: Login) -> bool:
    if login.connection.is_closed():
        return False
    try:
        async with asyncio.timeout(_ANSWER_LIMIT):
            await login.rows("SELECT 1")
    except _GONE:
        return False
    return True


async def closed(connection: Any) -> None:  # noqa: ANN401 - the driver ships without types
    """Say goodbye within a second, else drop the socket: a goodbye never fails a call."""
    try:
        await connection.close(timeout=_CLOSE_LIMIT)
    except _GONE:
        connection.terminate()
