"""The lines of gateways that this process has opened (``domain.gateway_line``)."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import AuthenticationError, DeniedError
from callpoint.domain.gateway_line import (
    KEY_SIZE,
    LIFETIME,
    LINE_LENGTH,
    Seen,
    mac,
    parse_credentials,
)
from callpoint.domain.principal import Principal
from callpoint.ports.clock import Clock, Random

_LINES = 64
"""Lines of one gateway at a time: of the programs that run under its name, twice over."""


@dataclass(frozen=True)
class GatewayLine:
    """One of them.

    Attributes:
        principal: As it was configured when the line was opened, with its key.
        seal_to: The age recipient of its program.
        opened: By the process's monotonic clock.
    """

    name: str
    gateway: str
    principal: Principal
    seal_to: str
    opened: float
    key: bytes = field(repr=False)
    seen: Seen = field(default_factory=Seen, repr=False)


class GatewayLines:
    """Opens lines and recognises calls on them.

    Args:
        configuration: The last one that was proven: a gateway, or a key, that was taken out of it
            is refused at once.
        clock: For the age of a line.
        random: For names and keys.
    """

    def __init__(
        self, configuration: Callable[[], Configuration], clock: Clock, random: Random
    ) -> None:
        self._configuration = configuration
        self._clock = clock
        self._random = random
        self._lines: dict[str, GatewayLine] = {}

    def open(self, principal: Principal, gateway: str, seal_to: str) -> GatewayLine:
        """A new line for a principal that has signed for it.

        Raises:
            DeniedError: The gateway is not this principal's.
        """
        self._must_be_its(principal, gateway)
        now = self._clock.monotonic()
        line = GatewayLine(
            name=self._random.ident(LINE_LENGTH),
            gateway=gateway,
            principal=principal,
            seal_to=seal_to,
            opened=now,
            key=self._random.token(KEY_SIZE),
        )
        self._forget(gateway, now)
        self._lines[line.name] = line
        return line

    def recognise(self, field_: str, gateway: str, call: str, body: bytes) -> GatewayLine:
        """The line that a call came on. Its number is spent last: only the key's holder can.

        Args:
            field_: The ``Authorization`` field.
            gateway: As the path says.
            call: The last segment of the path.
            body: As it arrived.

        Raises:
            AuthenticationError: It came on none, or was accepted before.
            DeniedError: The gateway is no longer this principal's.
        """
        name, number, claimed = parse_credentials(field_)
        line = self._lines.get(name)
        is_young = line is not None and self._age(line) < LIFETIME.total_seconds()
        if line is None or not is_young or line.gateway != gateway:
            raise AuthenticationError(
                "this server knows no such line", way_out="open a new one with a signed request"
            )
        if not hmac.compare_digest(mac(line.key, name, number, call, body), claimed):
            raise AuthenticationError("the call's MAC does not verify")
        self.must_stand(line)
        if not line.seen.spend(number):
            raise AuthenticationError(
                "this call was accepted before, or came too late to know", way_out="number it anew"
            )
        return line

    def must_stand(self, line: GatewayLine) -> None:
        """The configuration still has this gateway, with this principal and this key.

        Raises:
            DeniedError: It has not.
        """
        self._must_be_its(line.principal, line.gateway)

    def _must_be_its(self, principal: Principal, gateway: str) -> None:
        configuration = self._configuration()
        known = configuration.known_gateways.get(gateway)
        now = configuration.principals.get(principal.id)
        if known is None or known.principal != principal.id or now != principal:
            # Whether there is such a gateway is not for everybody to learn.
            raise DeniedError(
                f"{principal.id} is not the principal of a gateway called {gateway[:64]}",
                way_out=f"governors publish `principal` in [gateways.{gateway[:64]}]",
            )

    def _age(self, line: GatewayLine) -> float:
        return self._clock.monotonic() - line.opened

    def _forget(self, gateway: str, now: float) -> None:
        """What is too old, and the oldest of a gateway that opens more than it can need."""
        old = now - LIFETIME.total_seconds()
        self._lines = {name: line for name, line in self._lines.items() if line.opened > old}
        its = [line for line in self._lines.values() if line.gateway == gateway]
        for line in its[: max(0, len(its) - _LINES + 1)]:
            del self._lines[line.name]
