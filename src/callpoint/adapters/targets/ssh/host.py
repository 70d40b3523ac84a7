"""The broker's questions to the host side, over SSH with its own key: one channel, one question.

Every failure becomes ``TargetRefusedError`` (the host side answered no: nothing was done) or
``TargetUnknownError`` (it may be done).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncssh

from callpoint.adapters.targets.ssh.door import Door, closed, opened
from callpoint.adapters.targets.ssh.idle import IdleConnections
from callpoint.adapters.targets.ssh.settings import SshSettings
from callpoint.domain.errors import TargetRefusedError, TargetUnknownError
from callpoint.domain.untrusted import printable
from callpoint.host import wire
from callpoint.host.wire import WireError

_AT_ONCE = 4
_ASK_SECONDS = 12
_UNFINISHED = frozenset({"krl", "system", "garbled", ""})
"""Codes after which a part may have been done."""

Answer = dict[str, Any]


class Conversation:
    """One connection of the broker to the host side."""

    def __init__(self, settings: SshSettings, connection: asyncssh.SSHClientConnection) -> None:
        self._settings = settings
        self._connection = connection

    async def ask(self, verb: str, **fields: object) -> Answer:
        """One question.

        Raises:
            TargetRefusedError: The host side said no; the code is its own.
            TargetUnknownError: It said something else, or nothing.
        """
        request = wire.request(verb, self._settings.installation, **fields)
        with translated(self._settings):
            async with asyncio.timeout(_ASK_SECONDS):
                return wire.read_answer(await self.say(request))

    async def say(self, raw: bytes, command: str = "callpoint-host serve") -> bytes:
        """Send bytes to a channel and read what comes back, within the protocol's limit.

        sshd runs the forced command, whatever command is named. Errors are the library's.
        """
        process = await self._connection.create_process(command, encoding=None)
        try:
            process.stdin.write(raw)
            process.stdin.write_eof()
            answer = b""
            # One read gives what has come by then, not all of it.
            while part := await process.stdout.read(wire.ANSWER_LIMIT + 1 - len(answer)):
                answer += part
            return answer
        finally:
            process.close()

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        """For the selftest, which tries what the broker must not be able to do."""
        return self._connection


class Host:
    """The host side of one target.

    Args:
        settings: Where it is, and the broker's key.
    """

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._idle = IdleConnections()

    def __repr__(self) -> str:
        return f"Host({self._settings.name})"

    @asynccontextmanager
    async def conversation(self) -> AsyncIterator[Conversation]:
        """A connection of the broker, one of a few; afterwards it waits a moment for the next.

        Raises:
            TargetRefusedError: sshd does not let the broker in.
            TargetUnknownError: No answer.
        """
        settings = self._settings
        door = Door(settings.host, settings.port, settings.host_keys)
        async with self._at_once:
            with translated(settings):
                connection = await self._idle.take() or await opened(
                    door, settings.broker, settings.broker_key
                )
            is_in_order = False
            try:
                with translated(settings):
                    yield Conversation(settings, connection)
                is_in_order = True
            finally:
                if is_in_order:
                    await self._idle.keep(connection)
                else:
                    await closed(connection)

    async def ask(self, verb: str, **fields: object) -> Answer:
        """One question on a connection of its own; errors as ``Conversation.ask``."""
        async with self.conversation() as conversation:
            return await conversation.ask(verb, **fields)


@contextmanager
def translated(settings: SshSettings) -> Iterator[None]:
    """Turn what the library raises into the two errors that a connector may raise."""
    name = settings.name
    try:
        yield
    except WireError as error:
        raise _answered(name, error) from error
    except asyncssh.PermissionDenied as error:
        raise TargetRefusedError(
            f"sshd of {name} does not let the broker in",
            target=name,
            code="publickey",
            way_out="check the broker's key, its account, and sshd's log on the host",
        ) from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise TargetUnknownError(
            f"whoever answers for {name} does not have the pinned host key",
            target=name,
            code="host-key",
            way_out=f"compare the host's keys with targets.{name}.host_key before you change it",
        ) from error
    except (asyncssh.Error, OSError) as error:  # a time-out is an OSError
        raise TargetUnknownError(
            f"{name} does not answer ({type(error).__name__})",
            target=name,
            way_out=f"is sshd up at {settings.host}:{settings.port}, and may this server reach it?",
        ) from error


def _answered(name: str, error: WireError) -> TargetRefusedError | TargetUnknownError:
    said = f"the host side of {name}: {printable(error.message)}"
    code = printable(error.code, 40)
    if error.code in _UNFINISHED:
        way_out = f"see that `callpoint target selftest {name}` is well"
        return TargetUnknownError(said, target=name, code=code, way_out=way_out)
    return TargetRefusedError(said, target=name, code=code)
