"""The way out after a store's clock had jumped ahead (I4): somebody says which time counts."""

from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from callpoint.audit.entry import parse_entry
from callpoint.domain.errors import ConflictError
from callpoint.domain.ids import INSTALLATION_STREAM
from tests.contract.store_benches import Thing, add, issued


@asynccontextmanager
async def opened(bench):
    store = await bench.open()
    try:
        yield store
    finally:
        await store.close()


async def test_an_accepted_clock_counts_from_then_on(disk_bench):
    """A clock that was ahead and is right again is accepted once, on record, for good."""
    async with opened(disk_bench) as store:
        disk_bench.jump(timedelta(days=30))
        await store.transact(lambda tx: tx.put(Thing("a")))
        disk_bench.jump(timedelta(days=-30))
        assert await store.read(lambda v: v.skew()) > timedelta(days=29)
        accepted = await store.accept_clock("NTP was wrong", actor="gina")
        assert accepted.ahead - accepted.accepted > timedelta(days=29)
        await store.transact(add("a:1", issued()))
        assert await store.read(lambda v: v.skew()) == timedelta(0)
        assert await store.read(lambda v: v.now()) < accepted.ahead
        (entry,) = await store.read(lambda v: v.entries(INSTALLATION_STREAM))
        assert parse_entry(entry.leaf).data["reason"] == "NTP was wrong"
    async with opened(disk_bench) as store:
        assert await store.read(lambda v: v.skew()) == timedelta(0)


async def test_a_clock_that_is_not_behind_is_not_accepted(disk_bench):
    """There is nothing to accept while the clock is as the store has seen it."""
    async with opened(disk_bench) as store:
        await store.transact(lambda tx: tx.put(Thing("a")))
        with pytest.raises(ConflictError):
            await store.accept_clock("no reason", actor="gina")
