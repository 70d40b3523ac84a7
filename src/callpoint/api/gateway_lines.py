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
    answer_mac,
    mac,
    order_mac,
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


@dataclass(frozen=True)
class GatewayCall:
    """One call on it, which only who holds the line's key can have made.

    Attributes:
        name: What is asked: the last segment of the path.
    """

    line: GatewayLine
    number: int
    name: str

    def answer_mac(self, status: int, body: bytes) -> str:
        """What proves the answer to the gateway."""
        return answer_mac(self.line.key, self.line.name, self.number, self.name, status, body)

    def order_mac(self, place: int, order: bytes) -> str:
        """What proves an order in the stream that answers it."""
        return order_mac(self.line.key, self.line.name, self.number, place, order)


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

    def recognise(self, field_: str, gateway: str, call: str, body: bytes) -> GatewayCall:
        """Whose call it is. ``accept`` says whether it counts.

        Args:
            field_: The ``Authorization`` field.
            gateway: As the path says.
            call: The last segment of the path.
            body: As it arrived.

        Raises:
            AuthenticationError: It came on no line of this process.
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
        return GatewayCall(line, number, call)

    def accept(self, call: GatewayCall) -> None:
        """Spend its number.

        Raises:
            AuthenticationError: It was accepted before.
            DeniedError: The gateway is no longer this principal's.
        """
        self.must_stand(call.line)
        if not call.line.seen.spend(call.number):
            raise AuthenticationError(
                "this call was accepted before, or came too late to know", way_out="number it anew"
            )

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
