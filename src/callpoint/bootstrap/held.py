"""A server on a copy of its installation: it runs, says so, and does nothing (I8)."""

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from callpoint.domain.errors import HeldError
from callpoint.ports.stores import RecordName, Transaction, View

T = TypeVar("T")


class HeldStore:
    """Implements ``ports.stores.Store``: whoever asks is told why, and what to do.

    Args:
        why: From opening the real one, which is closed.
    """

    def __init__(self, why: HeldError) -> None:
        self.why = why

    def _refuse(self) -> NoReturn:
        raise HeldError(self.why.message, way_out=self.why.way_out)

    async def transact(
        self,
        work: Callable[[Transaction], T],  # noqa: ARG002 -- the port's
        *,
        urgent: bool = False,  # noqa: ARG002 -- the port's
        compares: Sequence[RecordName] = (),  # noqa: ARG002 -- the port's
    ) -> T:
        self._refuse()

    async def read(self, work: Callable[[View], T]) -> T:  # noqa: ARG002 -- the port's
        self._refuse()

    def listen(self, hear: Callable[[str], None]) -> None:
        """Nothing is ever committed, so nothing is signalled."""

    async def log_works(self) -> bool:
        return False

    async def merge_spool(self) -> int:
        self._refuse()

    async def close(self) -> None:
        """Nothing is open."""
