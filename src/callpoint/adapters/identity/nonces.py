"""Spent nonces in the store, so that a request is accepted once by the whole installation."""

from datetime import datetime, timedelta

from callpoint.domain.errors import ConflictError
from callpoint.domain.nonce import Nonce
from callpoint.ports.clock import Clock
from callpoint.ports.stores import Store, Transaction, Where

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
            kept_until = max(node_now, transaction.now()) + KEEP_FOR
            spent = Nonce(key_id=key_id, nonce=nonce, due_at=kept_until)
            if transaction.find(Nonce, spent.key()) is not None:
                return False
            transaction.put(spent)
            return True

        try:
            return await self._store.transact(work, urgent=True)
        except ConflictError:
            # The transaction touches this nonce alone: somebody spends it at this very moment.
            return False

    async def sweep(self) -> int:
        """Forget what may be forgotten by the store's clock; returns how many."""
        forgotten = 0
        while batch := await self._store.transact(_forget_batch, urgent=True):
            forgotten += batch
        return forgotten


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
