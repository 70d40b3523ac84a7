"""Several processes on one PostgreSQL: with the log key, and without it."""

import asyncio

import msgspec
import psycopg
import pytest

from callpoint.adapters.identity.nonces import StoreNonceBook
from callpoint.audit.entry import parse_entry
from callpoint.audit.merkle import Frontier, leaf_hash
from callpoint.domain.errors import (
    AuthenticationError,
    ConflictError,
    LogUnavailableError,
    StoreUnavailableError,
)
from callpoint.domain.principal import Principal, PrincipalKind
from callpoint.ports.identity import Caller, Recognised
from tests.contract.store_benches import PostgresBench, Thing, add, issued, signed
from tests.fakes.clock import SimulatedClock


async def test_two_processes_share_one_log(postgres_bench, tmp_path):
    """Two processes with the log key number one dense, unforked log, and lose no update."""
    stores = [await postgres_bench.open(checkpoint_file=tmp_path / name) for name in ("one", "two")]
    await stores[0].transact(lambda tx: tx.put(Thing("a")))

    def step(tx):
        thing = tx.get(Thing, "a")
        tx.put(msgspec.structs.replace(thing, count=thing.count + 1))
        tx.append("a:1", issued())

    await asyncio.gather(*(stores[n % 2].transact(step) for n in range(80)))
    thing, whole, checkpoint = await stores[0].read(
        lambda v: (v.get(Thing, "a"), v.log_slice(0, 500), signed(v, postgres_bench.signer))
    )
    assert thing.count == 80
    assert [parse_entry(entry.leaf).seq for entry in whole] == list(range(80))
    assert Frontier().extend(leaf_hash(entry.leaf) for entry in whole).root() == checkpoint.root
    for store in stores:
        await store.close()
    again = await postgres_bench.open(checkpoint_file=tmp_path / "one")
    await again.check_log()
    await again.close()


async def test_a_nonce_that_goes_with_its_record_is_spent_on_one_node(postgres_bench, tmp_path):
    """Copies of a request on two nodes at once, none of which either has seen: one record."""
    stores = [await postgres_bench.open(checkpoint_file=tmp_path / name) for name in ("one", "two")]
    clock = SimulatedClock()
    ana = Principal("ana", PrincipalKind.HUMAN, ("ana",), "")
    found = Recognised(Caller(ana, "k"), "n-1", clock.now())
    copies = [StoreNonceBook(stores[n % 2], clock).pending(found) for n in range(8)]

    async def answered(copy):
        try:
            await copy.record(lambda tx: tx.append("decisions", issued()))
        except ConflictError:
            with pytest.raises(AuthenticationError, match="spent"):
                await stores[0].read(copy.must_be_new)
            with pytest.raises(AuthenticationError, match="spent"):
                await copy.settle()
            return False
        await stores[1].read(copy.must_be_new)
        await copy.settle()
        return True

    assert sorted(await asyncio.gather(*map(answered, copies))) == [False] * 7 + [True]
    assert len(await stores[0].read(lambda view: view.entries("decisions"))) == 1
    for store in stores:
        await store.close()


async def test_a_process_without_the_key_is_numbered_by_another(postgres_bench):
    """Its transact returns when its events are numbered and signed by the process with the key."""
    keeper = await postgres_bench.open()
    store = await opened_without_key(postgres_bench)
    await asyncio.gather(*(store.transact(add("a:1", issued())) for _ in range(10)))
    count, waiting = await store.read(lambda v: (len(v.entries("a:1")), v.unnumbered("a:1")))
    assert (count, waiting) == (10, 0)
    assert (await store.read(lambda v: signed(v, postgres_bench.signer))).size == 10
    await store.close()
    await keeper.close()


async def test_without_a_key_holder_nothing_is_given(postgres_bench):
    """Nobody at work with the log key: not urgent changes nothing, urgent spools."""
    store = await postgres_bench.open(has_key=False)
    assert not await store.log_works()
    with pytest.raises(LogUnavailableError, match="log key"):
        await store.transact(lambda tx: tx.put(Thing("a")))
    await store.transact(add("a:1", issued()), urgent=True)
    assert await store.read(lambda v: (v.find(Thing, "a"), v.unnumbered("a:1"))) == (None, 1)
    with pytest.raises(LogUnavailableError, match="log key"):
        await store.recover("no key here")
    await store.close()
    keeper = await postgres_bench.open()
    assert await keeper.merge_spool() == 0
    assert await keeper.read(lambda v: len(v.entries("a:1"))) == 1
    await keeper.close()


async def test_a_broken_signer_shuts_the_keyless_out(postgres_bench):
    """When the key holder's log stops working, processes without the key stop giving."""
    keeper = await postgres_bench.open()
    store = await opened_without_key(postgres_bench)
    postgres_bench.break_log()
    await until(store, works=False)
    with pytest.raises(LogUnavailableError):
        await store.transact(add("a:1", issued()))
    postgres_bench.break_log(broken=False)
    await until(store, works=True)
    await store.transact(add("a:1", issued()))
    await store.close()
    await keeper.close()


async def test_a_missing_number_is_told(postgres_bench):
    """Committed, but not numbered in time: the error says that the change stands unproven."""
    keeper = await postgres_bench.open()
    store = await opened_without_key(postgres_bench)
    postgres_bench.break_log()

    def work(tx):
        tx.put(Thing("a"))
        tx.append("a:1", issued())

    # The keeper has not noticed yet, so this one is let in.
    with pytest.raises(LogUnavailableError, match="the change stands"):
        await store.transact(work)
    assert await store.read(lambda v: v.find(Thing, "a")) is not None
    await store.close()
    await keeper.close()


async def test_a_lost_connection_is_an_error_and_no_end(postgres_bench):
    """A connection that the server cuts fails who is on it; the next caller gets a new one."""
    store = await postgres_bench.open()
    await store.transact(add("a:1", issued()))

    def cut(tx):
        tx.put(Thing("a"))
        cut_connections(postgres_bench)
        tx.append("a:1", issued())

    with pytest.raises(StoreUnavailableError):
        await store.transact(cut)
    await store.transact(add("a:1", issued()))
    await store.read(lambda v: v.now())
    cut_connections(postgres_bench)
    with pytest.raises(StoreUnavailableError):
        await store.read(lambda v: v.now())
    assert await store.read(lambda v: (v.find(Thing, "a"), len(v.entries("a:1")))) == (None, 2)
    await store.close()


async def test_writers_take_turns(postgres_bench, tmp_path):
    """Two processes take turns: the second's transaction begins after the first's commit."""
    stores = [await postgres_bench.open(checkpoint_file=tmp_path / name) for name in ("one", "two")]
    order = []

    def slow(name):
        def work(tx):
            order.append(f"{name} begins")
            tx.put(Thing(name))
            tx.find(Thing, "other")
            order.append(f"{name} ends")

        return work

    await asyncio.gather(*(stores[n].transact(slow(str(n))) for n in (0, 1)))
    assert order in (
        ["0 begins", "0 ends", "1 begins", "1 ends"],
        ["1 begins", "1 ends", "0 begins", "0 ends"],
    )
    for store in stores:
        await store.close()


async def opened_without_key(bench: PostgresBench):
    """A store without the key, once the key holder shows that its log works."""
    store = await bench.open(has_key=False)
    await until(store, works=True)
    return store


async def until(store, *, works: bool) -> None:
    """Wait until the store says so; the test's time limit ends it."""
    while await store.log_works() is not works:  # noqa: ASYNC110 -- another process's doing
        await asyncio.sleep(0.05)


def cut_connections(bench: PostgresBench) -> None:
    """What a server restart does to every connection of Callpoint."""
    with psycopg.connect(bench.database.owner_url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
            "WHERE application_name = 'callpoint' AND datname = current_database()"
        )
