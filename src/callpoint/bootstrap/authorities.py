"""The authority in this process, for each gateway that it decides for."""

from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.services import Services


class Authorities:
    """One for each gateway: it keeps count of the sessions that it opened."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._made: dict[str, GatewayAuthority] = {}

    def of(self, gateway: str) -> GatewayAuthority:
        """Of a gateway that the configuration has, by its name."""
        if gateway not in self._made:
            self._made[gateway] = GatewayAuthority(self._services, gateway)
        return self._made[gateway]
