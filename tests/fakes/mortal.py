"""A store and targets that die with their process, anywhere, and take turns with other tasks."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from callpoint.ports.clock import Clock, Random
from callpoint.ports.keys import LogSigner
from callpoint.ports.stores import RecordName, Transaction
from tests.fakes.faults import Faults
from tests.fakes.memory_store import MemoryStore
from tests.fakes.simulated_target import SimulatedTarget

T = TypeVar("T")


class ProcessDiedError(BaseException):
    """Raised at every call of a dead process, so that no handler of it can do anything more."""


class Fuse:
    """Counts what changes the world, and kills the process at the chosen one.

    Attributes:
        burnt: How many were counted.
    """

    def __init__(self) -> None:
        self.burnt = 0
        self._left: int | None = None
        self._blown = False

    def light(self, left: int) -> None:
        """Die once ``left`` more were survived."""
        self._left = left

    def replace(self) -> None:
        """The process was started again."""
        self._left, self._blown = None, False

    def burn(self) -> None:
        """One more; raises when the process is, or just now became, dead."""
        self.burnt += 1
        if self._left is not None and not self._blown:
            self._left -= 1
            self._blown = self._left < 0
        if self._blown:
            raise ProcessDiedError


class MortalStore(MemoryStore):
    """Dies before or after a commit; lets other tasks run around each transaction."""

    def __init__(
        self, fuse: Fuse, *, signer: LogSigner, clock: Clock, origin: str, installation: str
    ) -> None:
        super().__init__(signer=signer, clock=clock, origin=origin, installation=installation)
        self.before = self.after = fuse.burn

    async def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        urgent: bool = False,
        compares: Sequence[RecordName] = (),
    ) -> T:
        await asyncio.sleep(0)
        result = await super().transact(work, urgent=urgent, compares=compares)
        await asyncio.sleep(0)
        return result


class MortalTarget(SimulatedTarget):
    """The caller dies before or after the act.

    Attributes:
        delays: How many turns a method waits before it acts.
        around: What surrounds the act of a method.
    """

    def __init__(
        self,
        fuse: Fuse,
        name: str,
        clock: Clock,
        random: Random,
        installation: str,
        *,
        checked_out: dict[str, str] | None = None,
    ) -> None:
        super().__init__(name, clock, random, installation, checked_out=checked_out)
        self.delays: dict[str, int] = {}
        self.around: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
        self._fuse = fuse

    def forget_faults(self) -> None:
        """Nothing is planned to fail any more."""
        self._faults = Faults()

    async def call(self, method: str, account: str) -> AbstractContextManager[None]:
        self._fuse.burn()
        for _ in range(self.delays.get(method, 0)):
            await asyncio.sleep(0)
        return self._mortal(method, await super().call(method, account))

    @contextmanager
    def _mortal(self, method: str, act: AbstractContextManager[None]) -> Iterator[None]:
        with self.around(method), act:
            yield
        self._fuse.burn()
