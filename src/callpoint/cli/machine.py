"""What the command line needs of the machine it runs on; a test passes another one.

The client has a clock and a random source of its own: those of ``adapters.clock`` belong to the
server's processes, whose composition root takes a second to load.
"""

import os
import secrets
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:  # HTTP and TLS take a twentieth of a second, which offline commands need not pay
    from callpoint.cli.transport import Transport

_LETTERS = string.ascii_lowercase
_ALPHABET = string.ascii_lowercase + string.digits
_FRACTION_BITS = 53
_BY_SIGNAL = 128


class Machine(Protocol):
    """The outside of one run of the command line."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables."""
        ...

    @property
    def interactive(self) -> bool:
        """Whether a person sits at both ends and can be asked."""
        ...

    @property
    def transport(self) -> "Transport | None":
        """What carries HTTP; None for the network."""
        ...

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, span: timedelta) -> None:
        """As ``ports.clock.Clock`` has it; the command line itself uses ``pause``."""
        ...

    def pause(self, span: timedelta) -> None:
        """Wait."""
        ...

    def token(self, size: int) -> bytes:
        """Random bytes."""
        ...

    def ident(self, length: int) -> str:
        """Random ``[a-z0-9]``, the first one a letter."""
        ...

    def fraction(self) -> float:
        """Random in [0, 1), for jitter."""
        ...

    def find_program(self, name: str) -> str | None:
        """The path of a program, None when it is not installed."""
        ...

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run a program in the foreground; returns its exit status, as a shell would.

        Raises:
            SystemExit: Meanwhile a signal came that ends us (SIGTERM, SIGHUP); the program is over.
        """
        ...


class ThisMachine:
    """Implements ``Machine``, and with it ``ports.clock.Clock`` and ``Random``, for real."""

    transport: "Transport | None" = None

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ

    @property
    def interactive(self) -> bool:
        return sys.stdin.isatty() and sys.stdout.isatty()

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 -- see the module: this is the client's clock

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, span: timedelta) -> None:
        self.pause(span)

    def pause(self, span: timedelta) -> None:
        time.sleep(max(0.0, span.total_seconds()))  # noqa: TID251 -- likewise

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)

    def ident(self, length: int) -> str:
        rest = (secrets.choice(_ALPHABET) for _ in range(length - 1))
        return secrets.choice(_LETTERS) + "".join(rest)

    def fraction(self) -> float:
        return secrets.randbits(_FRACTION_BITS) / (1 << _FRACTION_BITS)

    def find_program(self, name: str) -> str | None:
        return shutil.which(name)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        with _Foreground() as foreground:
            return foreground.run(arguments, environment)


class _Foreground:
    """What becomes of signals while a program runs in the foreground.

    Ctrl-C belongs to the program: it cancels a query there, and must not end us before it. What is
    meant to end us ends the program, and then us, by the way of all that has to be put away.
    Handlers, unlike SIG_IGN, are not inherited.
    """

    _ENDING = (signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._came: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
        for number in self._ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._before[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run it; its exit status, or 128 and the number of the signal that ended it."""
        with subprocess.Popen(  # noqa: S603 -- the user's own program, without a shell
            arguments, env=dict(environment)
        ) as self._process:
            if self._came is not None:  # while it was being started
                self._process.send_signal(self._came)
            status = self._process.wait()
        if self._came is not None:
            raise SystemExit(_BY_SIGNAL + self._came)
        return status if status >= 0 else _BY_SIGNAL - status

    def _pass_on(self, number: int, _: object) -> None:
        self._came = number
        if self._process is not None:
            self._process.send_signal(number)
