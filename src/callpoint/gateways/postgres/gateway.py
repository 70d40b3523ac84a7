"""The gateway for PostgreSQL: clients on one side, targets on the other, decisions in between."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import structlog

from callpoint.domain.errors import ConfigError
from callpoint.gateways.guard import Guard
from callpoint.gateways.offline import EnduringAuthority, Keeping, OfflineKit
from callpoint.gateways.postgres.keys import CancelKeys
from callpoint.gateways.postgres.link import Link
from callpoint.gateways.postgres.login import Front
from callpoint.gateways.postgres.messages import Refusal
from callpoint.gateways.postgres.settings import GatewaySettings
from callpoint.gateways.postgres.visit import House, Visit
from callpoint.gateways.postgres.wanted import Catalogues
from callpoint.ports.authority import Authority
from callpoint.ports.clock import Clock, Random

_BACKLOG = 128
_TOO_MANY = Refusal("53300", "the gateway has too many connections", hint="try again in a moment")


class PostgresGateway:
    """One listener. ``serve`` runs it until it is stopped.

    Args:
        authority: Who is asked.
        settings: How it listens.
        clock: This process's.
        random: Unpredictable.
        logger: For what happens; statements are on record with the authority.
        offline: What sessions need to go on without the authority; None: they never do.

    Attributes:
        port: Where it listens, once it does.

    Raises:
        ConfigError: The certificate cannot be used.
    """

    def __init__(
        self,
        authority: Authority,
        settings: GatewaySettings,
        clock: Clock,
        random: Random,
        logger: structlog.typing.FilteringBoundLogger,
        offline: OfflineKit | None = None,
    ) -> None:
        self.port = 0
        self._settings = settings
        self._logger = logger
        enduring: EnduringAuthority | None = None
        if offline is not None:
            keeping = Keeping(offline, settings.name, clock)
            authority = enduring = EnduringAuthority(authority, keeping, clock, logger)
        self._guard = Guard(authority, clock, logger, settings.lost_after, enduring)
        self._house = House(
            authority, self._guard, settings, Front.of(settings), CancelKeys(random), Catalogues(),
            clock, random, logger,
        )  # fmt: skip
        self._visits: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    @property
    def sessions(self) -> int:
        """How many are open."""
        return self._guard.sessions

    @property
    def is_heard(self) -> bool:
        """Whether orders of the authority would be heard: nobody is let in otherwise."""
        return self._guard.is_heard

    def cut(self, session: str, reason: str) -> bool:
        """End a session now; False if it is not here."""
        return self._guard.cut(session, reason)

    async def serve(
        self, stop: asyncio.Event, listening: Callable[[int], None] = lambda _port: None
    ) -> None:
        """Listen until ``stop`` is set; then every session is cut.

        Args:
            stop: Ends it.
            listening: Called with the port.

        Raises:
            ConfigError: The address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: _Door(self._arrived), self._settings.host, self._settings.port,
                backlog=_BACKLOG,
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(
                f"the gateway cannot listen on {self._settings.host}:{self._settings.port}: "
                f"{error.strerror}",
                way_out="choose another port, or stop who has it",
            ) from error
        self.port = server.sockets[0].getsockname()[1]
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                guard = group.create_task(self._guard.run(stop), name="guard")
                listening(self.port)
                await guard  # it cuts every session before it ends
                server.close()
                for visit in tuple(self._visits):
                    visit.cancel()
        finally:
            self._group = None
            server.close()

    def _arrived(self, link: Link) -> None:
        if self._group is None or len(self._visits) >= self._settings.limits.connections:
            link.write(_TOO_MANY.encoded("FATAL"))
            link.close()
            return
        task = self._group.create_task(Visit(self._house, link).run())
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)


class _Door(Link):
    """A link that says that it is there."""

    def __init__(self, arrived: Callable[[Link], None]) -> None:
        super().__init__()
        self._arrived = arrived

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        if own is not None:
            with contextlib.suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._arrived(self)
