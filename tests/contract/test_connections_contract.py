"""A connection secret is used once, whichever store keeps it and however many ask at once."""

import asyncio
from datetime import timedelta

from callpoint.domain.connection import KEPT_FOR, LIFETIME, Connection
from callpoint.domain.errors import ConflictError, DeniedError
from callpoint.domain.scram import verifier
from callpoint.lifecycle.connection import spend
from callpoint.ports.stores import Store, Where

SOURCE = "2001:db8::7"


async def kept(store: Store) -> Connection:
    """A connection as the store holds it."""
    now = await store.read(lambda view: view.now())
    made = Connection(
        id="q1w2e3r4t5y6u7i8o9p0",
        activation="a1b2c3d4e5f6",
        lease="abc123a1b2c3d4e5f600",
        principal="alice",
        target="orders-db",
        role="repair",
        gateway="front",
        source=SOURCE,
        verifier=verifier("known to the test alone", bytes(range(16))),
        expires_at=now + LIFETIME,
        strength="key",
        acts_for=(),
    )
    return await store.transact(lambda tx: tx.put(made), urgent=True)


async def test_it_reads_back_as_it_was_offered(store: Store):
    """The digest that the log keeps is the same for what the store gives back, spent or not."""
    made = await kept(store)
    again = await store.read(lambda view: view.get(Connection, made.id))
    assert again == made
    used = await store.transact(lambda tx: spend(tx, made, SOURCE, "front"), urgent=True)
    assert used.spent_at is not None
    assert used.digest() == made.digest()


async def test_of_many_uses_one_succeeds(store: Store):
    """The others are told that it was used, or that it moved."""
    made = await kept(store)
    results = await asyncio.gather(
        *(store.transact(lambda tx: spend(tx, made, SOURCE, "front"), urgent=True) for _ in "1234"),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Connection) for result in results) == 1
    assert sum(isinstance(result, DeniedError | ConflictError) for result in results) == 3


async def test_it_is_found_when_it_may_be_forgotten(store: Store):
    """By its gateway, its activation and its time."""
    made = await kept(store)
    due = made.expires_at + KEPT_FOR
    early, late = (
        Where(due_before=moment, parent=made.activation, subject="front")
        for moment in (due - timedelta(seconds=1), due)
    )
    assert await store.read(lambda view: view.select(Connection, early)) == ()
    assert await store.read(lambda view: view.select(Connection, late)) == (made,)
