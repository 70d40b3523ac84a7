"""The authority in this process, for each gateway that it decides for."""

import asyncio

from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.grants import Grants


class Authorities:
    """One for each gateway: it keeps count of the sessions that it opened."""

    def __init__(self, services: Services, grants: Grants | None = None) -> None:
        self._services = services
        self._recorder = Recorder(services)
        self._grants = grants
        self._made: dict[str, GatewayAuthority] = {}

    def of(self, gateway: str) -> GatewayAuthority:
        """Of a gateway that the configuration has, by its name."""
        if gateway not in self._made:
            made = GatewayAuthority(self._services, gateway, self._recorder, self._grants)
            self._made[gateway] = made
        return self._made[gateway]

    async def run(self, stop: asyncio.Event) -> None:
        """Put on record what was answered beside it, until ``stop`` is set."""
        await self._recorder.run(stop)
