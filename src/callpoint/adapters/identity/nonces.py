"""Spent nonces in the store, so that a request is accepted once by the whole installation."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from callpoint.domain.errors import ConflictError
from callpoint.domain.nonce import Nonce, spent_before
from callpoint.ports.clock import Clock
from callpoint.ports.identity import Recognised
from callpoint.ports.stores import Store, Transaction, View, Where

T = TypeVar("T")

KEEP_FOR = timedelta(hours=1)
"""How long a nonce is remembered.

A request is acceptable for 65 s after it was signed (60 s old, 5 s ahead). The rest is for clocks:
a node's clock that is set back by less than this cannot make a forgotten nonce young again.
"""

_SWEEP_BATCH = 500  # short transactions: on SQLite there is one writer


class StoreNonceBook:
    """Implements ``ports.identity.NonceBook`` on records of the store.

    Every transaction is urgent: a kill is authenticated while the log is down. While the *store*
    is down, `spend` raises StoreUnavailableError and nobody is authenticated, but for a kill: that
    has ``MemoryNonceBook`` (I13).

    Args:
        store: Where they are kept.
        clock: Decides how long, together with the store's: the later one counts.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def spend(self, key_id: str, nonce: str) -> bool:
        """See the port; StoreUnavailableError when it is not known whether it was spent."""
        node_now = self._clock.now()

        def work(transaction: Transaction) -> bool:
            spent = _spent(transaction, key_id, nonce, node_now)
            if transaction.find(Nonce, spent.key()) is not None:
                return False
            transaction.put(spent)
            return True

        try:
            return await self._store.transact(work, urgent=True)
        except ConflictError:
            # The transaction touches this nonce alone: somebody spends it at this very moment.
            return False

    def pending(self, found: Recognised) -> "StorePendingNonce":
        """The nonce of a request that is spent with its record."""
        return StorePendingNonce(self, self._store, self._clock, found)

    async def sweep(self) -> int:
        """Forget what may be forgotten by the store's clock; returns how many."""
        forgotten = 0
        while batch := await self._store.transact(_forget_batch, urgent=True):
            forgotten += batch
        return forgotten


class StorePendingNonce:
    """Implements ``ports.identity.PendingNonce``: its row stands or falls with the record.

    Two copies that arrive at once, on whatever nodes, both come as far as the transaction: there
    the row is unique.
    """

    def __init__(self, book: StoreNonceBook, store: Store, clock: Clock, found: Recognised) -> None:
        self._book = book
        self._store = store
        self._clock = clock
        self._key_id, self._nonce = found.caller.principal.id, found.nonce
        self._key = Nonce(self._key_id, self._nonce, due_at=found.signed_at).key()
        self._is_spent = False

    def must_be_new(self, view: View) -> None:
        """See the port."""
        if not self._is_spent and view.versions([(Nonce, self._key)]) != (0,):
            raise spent_before()

    async def record(self, work: Callable[[Transaction], T]) -> T:
        """See the port."""
        if self._is_spent:
            return await self._store.transact(work)
        node_now = self._clock.now()

        def both(transaction: Transaction) -> T:
            transaction.put(_spent(transaction, self._key_id, self._nonce, node_now))
            return work(transaction)

        done = await self._store.transact(both)
        self._is_spent = True
        return done

    async def settle(self) -> None:
        """See the port."""
        if self._is_spent:
            return
        if not await self._book.spend(self._key_id, self._nonce):
            raise spent_before()
        self._is_spent = True


def _spent(view: View, key_id: str, nonce: str, node_now: datetime) -> Nonce:
    return Nonce(key_id=key_id, nonce=nonce, due_at=max(node_now, view.now()) + KEEP_FOR)


def _forget_batch(transaction: Transaction) -> int:
    due = Where(due_before=transaction.now(), limit=_SWEEP_BATCH, skip_claimed=True)
    old = transaction.select(Nonce, due)
    for nonce in old:
        transaction.remove(Nonce, nonce.key())
    return len(old)


class MemoryNonceBook:
    """Implements ``ports.identity.NonceBook`` in this process alone, for a kill without the store.

    What was accepted through the store before it fell silent, or before a restart, can be accepted
    here once more. That is sound for a kill alone: it takes away, and killing what is dead changes
    nothing (I5). It is never asked for anything that gives.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: dict[tuple[str, str], datetime] = {}

    async def spend(self, key_id: str, nonce: str) -> bool:
        now = self._clock.now()
        # In the order in which they came, so the old ones are in front.
        while self._spent and next(iter(self._spent.values())) <= now:
            del self._spent[next(iter(self._spent))]
        if (key_id, nonce) in self._spent:
            return False
        self._spent[key_id, nonce] = now + KEEP_FOR
        return True
