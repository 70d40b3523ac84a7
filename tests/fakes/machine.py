"""A machine for the command line in tests, and the shell of one person on it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from click.testing import CliRunner, Result

from callpoint.cli.keyring import Keyring, save_principal_key
from callpoint.cli.program import program
from callpoint.cli.transport import Transport
from tests.fakes.clock import SeededRandom, SimulatedClock

SERVER = "https://callpoint.example"


class FakeMachine:
    """Implements ``cli.machine.Machine``: nothing real is run, waited for or connected to.

    Attributes:
        interactive: Whether a person can be asked.
        programs: What is installed: name to path.
        ran: Every program that was run: its arguments and its environment.
        exit_status: What each of them returns.
        on_run: Called while one runs, with its arguments.
        on_pause: Called after each wait, for what others do meanwhile.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        transport: Transport | None = None,
        clock: SimulatedClock | None = None,
    ) -> None:
        self.environment = environment
        self.transport = transport
        self.interactive = False
        self.programs = {"psql": "/usr/bin/psql", "ssh": "/usr/bin/ssh"}
        self.ran: list[tuple[list[str], dict[str, str]]] = []
        self.exit_status = 0
        self.on_run: Callable[[list[str]], None] = lambda _: None
        self.on_pause: Callable[[], None] = lambda: None
        self.clock = clock or SimulatedClock()
        self._random = SeededRandom(7)

    def now(self) -> datetime:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, span: timedelta) -> None:
        self.pause(span)

    def pause(self, span: timedelta) -> None:
        self.clock.advance(span)
        self.on_pause()

    def token(self, size: int) -> bytes:
        return self._random.token(size)

    def ident(self, length: int) -> str:
        return self._random.ident(length)

    def fraction(self) -> float:
        return self._random.fraction()

    def find_program(self, name: str) -> str | None:
        return self.programs.get(name)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        self.ran.append((list(arguments), dict(environment)))
        self.on_run(list(arguments))
        return self.exit_status


class Shell:
    """One person's shell: an own state directory with a key, and an own machine.

    The key is the one of ``tests.fakes.keys.Signer`` of that name.
    """

    def __init__(
        self,
        home: Path,
        principal: str,
        transport: Transport | None = None,
        clock: SimulatedClock | None = None,
    ) -> None:
        self.home = home / principal
        self.home.mkdir()
        self.principal = principal
        save_principal_key(
            self.home / "key.json", principal, hashlib.sha256(principal.encode()).digest()
        )
        self.environment = {"CALLPOINT_STATE": str(self.home), "CALLPOINT_SERVER": SERVER}
        self.machine = FakeMachine(self.environment, transport, clock)

    @property
    def keyring(self) -> Keyring:
        """The one-time keys on it."""
        return Keyring(self.home)

    def run(self, *arguments: object, input: str | None = None) -> Result:  # noqa: A002 -- click's word
        """Run ``callpoint`` with these arguments."""
        result = CliRunner(env=self.environment).invoke(
            program, [str(a) for a in arguments], input=input, obj=self.machine
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result
