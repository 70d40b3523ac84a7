"""The broker's connections that were just used, open for a moment for whoever comes next.

A removal asks half a dozen questions one after the other, and logging in costs more than an answer
does. So a connection that was given back in order waits a second; then it is closed.
"""

import asyncio
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import AsyncGenerator
from typing import NamedTuple

import asyncssh

LINGER = 1.0
"""Seconds that a connection waits."""


class _Idle(NamedTuple):
    connection: asyncssh.SSHClientConnection
    ends: TimerHandle


class IdleConnections:
    """The idle connections to one host; used by one event loop at a time."""

    def __init__(self) -> None:
        self._held: list[_Idle] = []
        self._loop: AbstractEventLoop | None = None
        self._guard: AsyncGenerator[None, None] | None = None

    async def take(self) -> asyncssh.SSHClientConnection | None:
        """One that nobody closed, or None.

        It may have died unseen within that second: then the question is lost, and so unknown.
        """
        await self._watch_over()
        while self._held:
            found = self._held.pop()
            found.ends.cancel()
            if not found.connection.is_closed():
                return found.connection
        return None

    async def keep(self, connection: asyncssh.SSHClientConnection) -> None:
        """Let it wait."""
        loop = await self._watch_over()
        self._held.append(_Idle(connection, loop.call_later(LINGER, self._end, connection)))

    def _end(self, connection: asyncssh.SSHClientConnection) -> None:
        self._held = [held for held in self._held if held.connection is not connection]
        connection.close()

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
                held = self._held.pop()
                held.ends.cancel()
                held.connection.abort()
                await held.connection.wait_closed()
