"""Signals of a store (``ports/stores.py``), on each store, and between two processes."""

import asyncio
from contextlib import suppress

import pytest

from callpoint.domain.errors import ConflictError, RequestError, StoreUnavailableError
from callpoint.ports.stores import SIGNAL_LIMIT
from tests.contract.store_benches import Thing, add, issued

SOON = 5


class Ear:
    """Keeps what it hears, and lets a test wait for it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Event()
        self.heard: list[str] = []

    def hear(self, text: str) -> None:
        self.heard.append(text)
        self._loop.call_soon_threadsafe(self._came.set)

    async def until(self, text: str) -> None:
        async with asyncio.timeout(SOON):
            while text not in self.heard:
                await self._came.wait()
                self._came.clear()


async def test_a_signal_is_heard_before_its_caller_is_answered(store):
    """Who listens on the same process has heard a signal when ``transact`` returns."""
    ear = Ear()
    store.listen(ear.hear)
    await store.transact(lambda tx: tx.signal("one"), urgent=True)
    assert "one" in ear.heard


async def test_what_was_taken_back_is_never_heard(store):
    """A caller that fails signals nothing, also when another one of its batch succeeds."""
    ear = Ear()
    store.listen(ear.hear)

    def fail(tx):
        tx.put(Thing("a"))
        tx.signal("never")
        raise ConflictError("no")

    def work(tx):
        tx.put(Thing("b"))
        tx.signal("yes")

    results = await asyncio.gather(
        store.transact(fail), store.transact(work), return_exceptions=True
    )
    assert isinstance(results[0], ConflictError)
    await ear.until("yes")
    assert "never" not in ear.heard


async def test_a_signal_is_bounded(postgres_bench):
    """A signal of more bytes than the limit is refused, and takes its transaction along."""
    store = await postgres_bench.open()
    with pytest.raises(RequestError):
        await store.transact(lambda tx: (tx.put(Thing("a")), tx.signal("x" * (SIGNAL_LIMIT + 1))))
    await store.transact(lambda tx: (tx.put(Thing("a")), tx.signal("x" * SIGNAL_LIMIT)))
    await store.close()


async def test_a_signal_reaches_another_process(postgres_bench):
    """A process on the same database hears a committed signal, in order, whichever signalled."""
    one, two = await postgres_bench.open(), await postgres_bench.open()
    ear = Ear()
    two.listen(ear.hear)
    await asyncio.sleep(0.3)  # its connection listens
    await one.transact(lambda tx: (tx.signal("first"), tx.signal("second")), urgent=True)
    await ear.until("second")
    assert [text for text in ear.heard if text in ("first", "second")] == ["first", "second"]
    await two.close()
    await one.close()


async def test_a_process_that_lost_its_connection_hears_again(postgres_bench):
    """After the server ended every connection, later signals arrive; those between may be lost."""
    one, two = await postgres_bench.open(), await postgres_bench.open()
    ear = Ear()
    two.listen(ear.hear)
    postgres_bench.execute(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
        "WHERE application_name = 'callpoint' AND datname = current_database()"
    )
    async with asyncio.timeout(SOON):
        while "later" not in ear.heard:
            await _signal(one, "later")
            await asyncio.sleep(0.1)
    await two.close()
    await one.close()


async def test_a_signal_goes_out_with_the_log_down(bench):
    """An urgent transaction signals also while its events wait in the spool."""
    store = await bench.open()
    await store.transact(add("a:1", issued()))
    ear = Ear()
    store.listen(ear.hear)
    bench.break_log()
    await store.transact(lambda tx: (tx.append("a:1", issued()), tx.signal("cut")), urgent=True)
    assert "cut" in ear.heard
    await store.close()


async def _signal(store, text):
    with suppress(StoreUnavailableError):  # its own connection was cut, too
        await store.transact(lambda tx: tx.signal(text), urgent=True)
