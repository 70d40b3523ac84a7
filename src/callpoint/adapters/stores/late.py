"""A store that does not answer yet: the process starts without it, to take away (I13)."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from callpoint.domain.errors import StoreUnavailableError
from callpoint.ports.stores import RecordName, Store, Transaction, View

T = TypeVar("T")


class LateStore:
    """Implements ``ports.stores.Store``: refuses everything until the real one is attached.

    Args:
        why: What is said until then.
    """

    def __init__(self, why: str) -> None:
        self._why = why
        self._inner: Store | None = None
        self._listeners: list[Callable[[str], None]] = []

    @property
    def is_there(self) -> bool:
        """The real one was attached."""
        return self._inner is not None

    def attach(self, store: Store) -> None:
        """From now on everything goes to it; it is closed with this one."""
        self._inner = store
        for hear in self._listeners:
            store.listen(hear)

    async def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        urgent: bool = False,
        compares: Sequence[RecordName] = (),
    ) -> T:
        return await self._store().transact(work, urgent=urgent, compares=compares)

    async def read(self, work: Callable[[View], T]) -> T:
        return await self._store().read(work)

    def listen(self, hear: Callable[[str], None]) -> None:
        self._listeners.append(hear)
        if self._inner is not None:
            self._inner.listen(hear)

    async def log_works(self) -> bool:
        return await self._store().log_works()

    async def merge_spool(self) -> int:
        return await self._store().merge_spool()

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()

    def _store(self) -> Store:
        if self._inner is None:
            raise StoreUnavailableError(
                f"the store is not there yet: {self._why}",
                way_out="repair it: the server finds it by itself; `callpoint kill` needs none",
                is_silent=True,
            )
        return self._inner
