"""What every store guarantees of the event log (``ports/stores.py``), on each of them."""

import asyncio

import msgspec
import pytest

from callpoint.audit.entry import check_commitment, parse_entry
from callpoint.audit.merkle import Frontier, leaf_hash, verify_inclusion
from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError, LogUnavailableError, RequestError
from tests.contract.store_benches import Thing, add, closing_event, issued, private_event, signed


def leases(entries):
    """Which lease each entry is about."""
    return [parse_entry(entry.leaf).data["lease"] for entry in entries]


# -- the log ----------------------------------------------------------------------------------


async def test_entries_are_numbered_and_proven_on_return(bench, store):
    """When transact returns, its events are numbered, in order, and under a signed checkpoint."""
    await store.transact(add("a:1", issued("x" * 20), issued("y" * 20)))
    await store.transact(add("a:2", issued()))
    await store.transact(add("a:1", issued("z" * 20)))

    def check(view):
        checkpoint = signed(view, bench.signer)
        entries = view.entries("a:1")
        for entry in entries:
            proof = view.inclusion(entry.index)
            leaf = leaf_hash(entry.leaf)
            verify_inclusion(leaf, entry.index, checkpoint.size, proof, checkpoint.root)
        return checkpoint.size, [parse_entry(entry.leaf) for entry in entries]

    size, parsed = await store.read(check)
    assert size == 4
    assert [(entry.seq, entry.data["lease"]) for entry in parsed] == [
        (0, "x" * 20),
        (1, "y" * 20),
        (2, "z" * 20),
    ]
    assert {entry.installation for entry in parsed} == {"abc123"}


async def test_the_tree_grows_over_tiles(bench, store):
    """Over several tiles, every slice, every set of peaks and every sampled proof agrees."""
    for _ in range(7):
        await store.transact(add("a:1", *(issued() for _ in range(100))))

    def check(view):
        checkpoint = signed(view, bench.signer)
        leaves = [leaf_hash(entry.leaf) for entry in view.log_slice(0, 10_000)]
        assert Frontier().extend(leaves).root() == checkpoint.root
        assert len(leaves) == checkpoint.size == 700
        for size in (0, 1, 255, 256, 257, 511, 512, 513, 699, 700):
            assert view.peaks(size) == Frontier().extend(leaves[:size]).hashes
        for index in (0, 1, 255, 256, 511, 512, 698, 699):
            proof = view.inclusion(index)
            verify_inclusion(leaves[index], index, 700, proof, checkpoint.root)
        return [entry.index for entry in view.log_slice(255, 3)], view.log_slice(700, 5)

    assert await store.read(check) == ([255, 256, 257], ())


async def test_state_without_events_needs_no_entry(bench, store):
    """A transaction without events leaves the log as it was."""
    await store.transact(add("a:1", issued()))
    before = await store.read(lambda v: v.checkpoint())
    await store.transact(lambda tx: tx.put(Thing("a")))
    assert await store.read(lambda v: v.checkpoint()) == before


async def test_a_closing_event_states_the_length(store):
    """The entry of a closing event holds the stream's length, and nothing can follow it."""
    await store.transact(add("a:1", issued(), issued()))
    await store.transact(add("a:1", closing_event()))
    entries = await store.read(lambda v: v.entries("a:1"))
    assert parse_entry(entries[-1].leaf).data["stream_length"] == 3
    for urgent in (False, True):
        with pytest.raises(ConflictError):
            await store.transact(add("a:1", issued()), urgent=urgent)
    await store.transact(add("a:2", issued()))
    assert len(await store.read(lambda v: v.entries("a:1"))) == 3


async def test_nothing_follows_a_closing_event_in_one_transaction(store):
    """A transaction that closes a stream and then adds to it is refused as a whole."""
    with pytest.raises(ConflictError):
        await store.transact(add("a:1", closing_event(), issued()))
    assert await store.read(lambda v: v.entries("a:1")) == ()


async def test_personal_values_stay_beside_the_log(store):
    """A private value is in no leaf; beside the entry it opens the leaf's commitment."""
    words = "Ä \x00 the \N{FIRE} database"
    await store.transact(add("i:7", private_event(words), issued()))

    def check(view):
        entries = view.entries("i:7")
        return entries, view.personal(tuple(entry.index for entry in entries))

    entries, (value,) = await store.read(check)
    assert (value.index, value.name, value.value) == (entries[0].index, "words", words)
    entry = parse_entry(entries[0].leaf)
    check_commitment(entry.personal["words"], value.salt, value.value)
    assert b"database" not in entries[0].leaf
    assert await store.read(lambda v: v.personal(())) == ()


async def test_an_event_too_large_is_the_callers_error(store):
    """An event that no entry can hold fails its caller alone, urgent or not, and never blocks."""
    huge = ev.LeaseFailed(lease="l", target="t", error="x" * 70_000)
    for urgent in (False, True):
        with pytest.raises(RequestError):
            await store.transact(add("a:1", huge), urgent=urgent)
    await store.transact(add("a:1", issued()))
    assert await store.merge_spool() == 0


async def test_batched_callers_read_proven_streams(store):
    """A caller that reads a stream sees each event of it that the state it reads is made of."""

    def step(tx):
        thing = tx.find(Thing, "a") or Thing("a")
        assert len(tx.entries("a:1")) == thing.count
        assert tx.unnumbered("a:1") == 0
        tx.put(msgspec.structs.replace(thing, count=thing.count + 1))
        tx.append("a:1", issued())

    await asyncio.gather(*(store.transact(step) for _ in range(20)))
    assert len(await store.read(lambda v: v.entries("a:1"))) == 20


# -- when the log does not work ---------------------------------------------------------------


async def test_without_the_log_nothing_is_given(bench, store):
    """With a dead signer whatever is not urgent raises LogUnavailableError and changes nothing."""
    await store.transact(add("a:1", issued()))
    bench.break_log()
    assert not await store.log_works()

    def work(tx):
        tx.put(Thing("a"))
        tx.append("a:1", issued())

    for refused in (work, work, lambda tx: tx.put(Thing("a"))):
        with pytest.raises(LogUnavailableError):
            await store.transact(refused)
    found = await store.read(lambda v: (v.find(Thing, "a"), len(v.entries("a:1"))))
    assert found == (None, 1)
    bench.break_log(broken=False)
    await store.transact(work)
    assert await store.log_works()


async def test_what_takes_away_does_not_wait_for_the_log(bench, store):
    """With a dead signer urgent state is durable; its events wait, and are merged in order."""
    await store.transact(add("a:1", issued("0" * 20)))
    bench.break_log()
    for n in (1, 2, 3):
        await store.transact(add("a:1", issued(str(n) * 20)), urgent=True)
    await store.transact(lambda tx: tx.put(Thing("a")), urgent=True)
    waiting = await store.read(lambda v: (v.unnumbered("a:1"), len(v.entries("a:1"))))
    assert waiting == (3, 1)
    assert await store.merge_spool() == 3

    bench.break_log(broken=False)
    assert await store.merge_spool() == 0
    entries = await store.read(lambda v: v.entries("a:1"))
    assert leases(entries) == ["0" * 20, "1" * 20, "2" * 20, "3" * 20]
    assert await store.read(lambda v: v.unnumbered("a:1")) == 0
    assert await store.read(lambda v: v.find(Thing, "a")) is not None
    assert (await store.read(lambda v: signed(v, bench.signer))).size == 4


async def test_the_spool_comes_before_later_events(bench, store):
    """The first transaction after the log works again numbers what waited before its own."""
    bench.break_log()
    await store.transact(add("a:1", issued("1" * 20)), urgent=True)
    bench.break_log(broken=False)
    await store.transact(add("a:1", issued("2" * 20)))
    entries = await store.read(lambda v: v.entries("a:1"))
    assert leases(entries) == ["1" * 20, "2" * 20]


async def test_a_spooled_closing_event_closes(bench, store):
    """A stream whose closing event still waits takes no further event."""
    bench.break_log()
    await store.transact(add("a:1", issued(), closing_event()), urgent=True)
    with pytest.raises(ConflictError):
        await store.transact(add("a:1", issued()), urgent=True)
    bench.break_log(broken=False)
    assert await store.merge_spool() == 0
    entries = await store.read(lambda v: v.entries("a:1"))
    assert parse_entry(entries[-1].leaf).data["stream_length"] == 2


async def test_personal_values_survive_the_spool(bench, store):
    """A private value that waited in the spool opens its commitment after the merge."""
    bench.break_log()
    await store.transact(add("i:7", private_event()), urgent=True)
    bench.break_log(broken=False)
    await store.merge_spool()
    (entry,) = await store.read(lambda v: v.entries("i:7"))
    (value,) = await store.read(lambda v: v.personal((entry.index,)))
    check_commitment(parse_entry(entry.leaf).personal["words"], value.salt, value.value)
