"""What every store guarantees (``ports/stores.py``), on each of them."""

import asyncio
from datetime import UTC, datetime, timedelta
from threading import Event

import msgspec
import pytest

from callpoint.audit.entry import parse_entry
from callpoint.domain.errors import (
    ConflictError,
    NotFoundError,
    StoreUnavailableError,
)
from callpoint.ports.stores import Where
from tests.contract.store_benches import (
    Other,
    Thing,
    add,
    issued,
)

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


# -- records ----------------------------------------------------------------------------------


async def test_a_record_comes_back_as_it_was_stored(store):
    """What was put is found again with the next version, equal in every field."""
    thing = Thing("a", state="x", parent="p", subject="s", due=MOMENT, count=3)
    stored = await store.transact(lambda tx: tx.put(thing))
    assert stored == msgspec.structs.replace(thing, version=1)
    assert await store.read(lambda view: view.get(Thing, "a")) == stored


async def test_kinds_do_not_share_keys(store):
    """A key of one kind is unknown in another; `get` says so and `find` gives None."""
    await store.transact(lambda tx: tx.put(Thing("a")))
    assert await store.read(lambda view: view.find(Other, "a")) is None
    with pytest.raises(NotFoundError):
        await store.read(lambda view: view.get(Other, "a"))


async def test_a_stale_record_is_a_conflict(store):
    """Putting a record that moved meanwhile raises ConflictError and changes nothing."""
    first = await store.transact(lambda tx: tx.put(Thing("a")))
    await store.transact(lambda tx: tx.put(msgspec.structs.replace(first, count=1)))
    with pytest.raises(ConflictError):
        await store.transact(lambda tx: tx.put(msgspec.structs.replace(first, count=2)))
    with pytest.raises(ConflictError):
        await store.transact(lambda tx: tx.put(Thing("a", count=9)))
    with pytest.raises(ConflictError):
        await store.transact(lambda tx: tx.put(Thing("never stored", version=4)))
    assert (await store.read(lambda view: view.get(Thing, "a"))).count == 1


async def test_versions_tell_what_moved(store):
    """One for each record that is asked for, in that order; 0 for one that is not there."""
    first = await store.transact(lambda tx: tx.put(Thing("a")))
    await store.transact(lambda tx: (tx.put(Other("a")), tx.put(Thing("b"))))
    await store.transact(lambda tx: tx.put(msgspec.structs.replace(first, count=1)))
    asked = ((Thing, "b"), (Thing, "a"), (Other, "b"), (Other, "a"))
    assert await store.read(lambda view: view.versions(asked)) == (1, 2, 0, 1)
    assert await store.transact(lambda tx: tx.versions(asked[1:2])) == (2,)
    assert await store.read(lambda view: view.versions(())) == ()


async def test_versions_that_are_looked_up_for_many_are_what_each_of_them_finds(store):
    """Whatever callers of the same moment wrote, removed, or took back before."""
    first = await store.transact(lambda tx: tx.put(Thing("a")))
    asked = ((Thing, "a"), (Thing, "b"), (Other, "a"))

    def fail(tx):
        tx.put(Thing("b"))
        raise ConflictError("taken back")

    works = (
        lambda tx: tx.put(msgspec.structs.replace(first, count=1)).version,
        lambda tx: tx.versions(asked),
        fail,
        lambda tx: tx.versions(asked),
        lambda tx: tx.remove(Thing, "a"),
        lambda tx: (tx.versions(asked), tx.put(Thing("b")).version, tx.versions(asked)),
    )
    found = await asyncio.gather(
        *(store.transact(work, compares=asked) for work in works), return_exceptions=True
    )
    assert isinstance(found.pop(2), ConflictError)
    assert found == [2, (2, 0, 0), (2, 0, 0), None, ((0, 0, 0), 1, (0, 1, 0))]


async def test_a_removed_record_is_gone(store):
    """A removed record is not found, may be removed again, and may be stored anew."""
    await store.transact(lambda tx: tx.put(Thing("a")))
    for _ in range(2):
        await store.transact(lambda tx: tx.remove(Thing, "a"))
    assert await store.read(lambda view: view.find(Thing, "a")) is None
    assert (await store.transact(lambda tx: tx.put(Thing("a")))).version == 1


async def test_select_restricts_and_orders(store):
    """Each member of Where restricts; the order is by due time if that restricts, else by key."""
    rows = [
        Thing("c", state="live", parent="p1", subject="s1", due=MOMENT),
        Thing(
            "a", state="ending", parent="p1", subject="s2", due=MOMENT + timedelta(microseconds=1)
        ),
        Thing("b", state="ended", parent="p2", subject="s1"),
        Thing("B", state="live", parent="p2", subject="s1", due=MOMENT - timedelta(days=400)),
    ]
    await store.transact(lambda tx: [tx.put(row) for row in rows])

    async def keys(**where):
        found = await store.read(lambda view: view.select(Thing, Where(**where)))
        return [thing.id for thing in found]

    assert await keys() == ["B", "a", "b", "c"]
    assert await keys(states=("live", "ending")) == ["B", "a", "c"]
    assert await keys(parent="p1") == ["a", "c"]
    assert await keys(parent="p1", subject="s1") == ["c"]
    assert await keys(due_before=MOMENT) == ["B", "c"]
    assert await keys(due_before=MOMENT + timedelta(microseconds=1)) == ["B", "c", "a"]
    assert await keys(limit=2) == ["B", "a"]
    assert await keys(due_before=MOMENT, limit=1, skip_claimed=True) == ["B"]
    assert await keys(parent="") == []
    urgent = [
        Thing("z", state="urgent", subject="s1", due=MOMENT, priority=2),
        Thing("y", state="urgent", subject="s1", due=MOMENT - timedelta(days=1), priority=-1),
        Thing("x", state="urgent", subject="s2", due=MOMENT - timedelta(days=1)),
        Thing("w", state="urgent", subject="s2", due=MOMENT, priority=2),
        Thing("later", state="urgent", subject="s3", due=MOMENT + timedelta(days=1), priority=2),
    ]
    await store.transact(lambda tx: [tx.put(row) for row in urgent])
    first = {"states": ("urgent",), "due_before": MOMENT, "by_priority": True}
    assert await keys(**first) == ["w", "z", "x", "y"]
    assert await keys(**first, subject="s1", limit=1) == ["z"]
    due = await store.read(lambda view: view.subjects(Thing, ("urgent",), MOMENT))
    assert due == ("s1", "s2")
    assert await store.read(lambda view: view.select(Other, Where())) == ()


async def test_a_claim_is_taken_once(store):
    """Of many workers that claim due rows at once, each row goes to exactly one."""
    rows = [Thing(f"{n:02}", due=MOMENT) for n in range(12)]
    await store.transact(lambda tx: [tx.put(row) for row in rows])

    def claim(tx):
        due = tx.select(Thing, Where(due_before=MOMENT, limit=3, skip_claimed=True))
        later = MOMENT + timedelta(hours=1)
        return [tx.put(msgspec.structs.replace(row, due=later)).id for row in due]

    taken = await asyncio.gather(*(store.transact(claim) for _ in range(8)))
    assert sorted(key for keys in taken for key in keys) == [row.id for row in rows]


async def test_budgets_count_by_parent_and_first_storing(bench, store):
    """Records count per parent, by state and subject, when first stored after a moment."""

    def put(key, state, parent, subject="s"):
        return lambda tx: tx.put(Thing(key, state=state, parent=parent, subject=subject))

    await store.transact(put("old", "used", "i0"))
    bench.jump(timedelta(hours=1))
    since = await store.read(lambda view: view.now())
    bench.jump(timedelta(seconds=1))
    for work in (
        put("1", "used", "i1"),
        put("2", "used", "i1"),
        put("3", "over", "i2"),
        put("4", "denied", "i3"),
        put("5", "used", "i4", "other"),
    ):
        await store.transact(work)
    old = await store.read(lambda view: view.get(Thing, "old"))
    await store.transact(lambda tx: tx.put(msgspec.structs.replace(old, count=1)))

    counts = await store.read(lambda v: v.count_subjects(Thing, "s", ("used", "over"), since))
    assert counts == {"i1": 2, "i2": 1}
    assert await store.read(lambda v: v.count_subjects(Thing, "s", (), since)) == {}


async def test_states_are_counted_and_the_newest_come_first(bench, store):
    """How many are in each state now; and who was stored last, whatever happened to them since."""
    for key in ("b", "c", "a"):
        await store.transact(lambda tx, k=key: tx.put(Thing(k)))
        bench.jump(timedelta(seconds=1))
    old = await store.read(lambda view: view.get(Thing, "b"))
    await store.transact(lambda tx: tx.put(msgspec.structs.replace(old, state="over")))
    assert await store.read(lambda view: view.count_states(Thing)) == {"live": 2, "over": 1}

    async def newest(**where):
        found = await store.read(lambda v: v.select(Thing, Where(newest=True, **where)))
        return [thing.id for thing in found]

    assert await newest() == ["a", "c", "b"]
    assert await newest(limit=2) == ["a", "c"]
    assert await newest(states=("live",)) == ["a", "c"]


# -- transactions -----------------------------------------------------------------------------


async def test_a_failed_caller_changes_nothing(store):
    """What a failing work wrote and appended is gone, and its own error reaches the caller."""

    def work(tx):
        tx.put(Thing("a"))
        tx.append("s:1", issued())
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await store.transact(work)
    assert await store.read(lambda v: (v.find(Thing, "a"), v.entries("s:1"))) == (None, ())


async def test_one_failure_in_a_batch_hurts_nobody_else(store):
    """Of many concurrent callers exactly the failing ones fail, and the log holds the others."""

    def work(n):
        def run(tx):
            tx.put(Thing(f"{n:03}"))
            tx.append(f"s:{n}", issued())
            if n % 3 == 0:
                raise RuntimeError(str(n))

        return run

    results = await asyncio.gather(
        *(store.transact(work(n)) for n in range(90)), return_exceptions=True
    )
    failed = [n for n, result in enumerate(results) if isinstance(result, RuntimeError)]
    assert failed == list(range(0, 90, 3))
    kept = await store.read(lambda v: [thing.id for thing in v.select(Thing, Where())])
    assert kept == [f"{n:03}" for n in range(90) if n % 3]
    whole = await store.read(lambda v: v.log_slice(0, 1000))
    assert sorted(parse_entry(entry.leaf).stream for entry in whole) == sorted(
        f"s:{n}" for n in range(90) if n % 3
    )


async def test_no_update_is_lost(store):
    """Concurrent read-modify-write of one record by many callers counts every one of them."""
    await store.transact(lambda tx: tx.put(Thing("a")))

    def increment(tx):
        thing = tx.get(Thing, "a")
        tx.put(msgspec.structs.replace(thing, count=thing.count + 1))

    await asyncio.gather(*(store.transact(increment) for _ in range(60)))
    assert (await store.read(lambda v: v.get(Thing, "a"))).count == 60


async def test_no_write_skew(store):
    """Two callers that each read what the other changes cannot both act on the old state."""
    await store.transact(lambda tx: [tx.put(Thing(key)) for key in ("a", "b")])

    def leave(key):
        def work(tx):
            on_call = tx.select(Thing, Where(states=("live",)))
            if len(on_call) > 1:
                tx.put(msgspec.structs.replace(tx.get(Thing, key), state="gone"))

        return work

    await asyncio.gather(store.transact(leave("a")), store.transact(leave("b")))
    assert len(await store.read(lambda v: v.select(Thing, Where(states=("live",))))) == 1


async def test_a_read_does_not_see_half_a_transaction(store):
    """Readers that run while a pair is moved always see both halves alike."""
    await store.transact(lambda tx: [tx.put(Thing(key)) for key in ("a", "b")])

    def move(tx):
        for key in ("a", "b"):
            thing = tx.get(Thing, key)
            tx.put(msgspec.structs.replace(thing, count=thing.count + 1))

    async def look():
        return await store.read(lambda v: v.get(Thing, "a").count == v.get(Thing, "b").count)

    tasks = [store.transact(move) if n % 2 else look() for n in range(60)]
    assert False not in await asyncio.gather(*tasks)


# -- time -------------------------------------------------------------------------------------


async def test_the_stores_clock_never_goes_back(bench, store):
    """After a backward jump `now` stays at the high-water mark and `skew` says how far it is."""
    await store.transact(lambda tx: tx.put(Thing("a")))
    before = await store.read(lambda v: v.now())
    bench.jump(timedelta(hours=-2))
    now, skew = await store.read(lambda v: (v.now(), v.skew()))
    assert before - timedelta(seconds=5) <= now
    assert timedelta(hours=1, minutes=59) < skew <= timedelta(hours=2)
    await store.transact(add("a:1", issued()), urgent=True)
    bench.jump(timedelta(hours=2, seconds=10))
    assert await store.read(lambda v: v.skew()) == timedelta(0)


async def test_the_clock_stands_still_within_a_transaction(store):
    """A transaction and its entries have one moment, aware and in UTC."""

    def work(tx):
        moments = {tx.now() for _ in range(3)}
        tx.append("a:1", issued())
        return moments

    (moment,) = await store.transact(work)
    assert moment.utcoffset() == timedelta(0)
    (entry,) = await store.read(lambda v: v.entries("a:1"))
    assert parse_entry(entry.leaf).at == moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- closing ----------------------------------------------------------------------------------


async def test_close_finishes_what_was_accepted(disk_bench):
    """Whatever was accepted before close is done; after it the store says that it is closed."""
    store = await disk_bench.open()
    running = [asyncio.ensure_future(store.transact(add("a:1", issued()))) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*running)
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.transact(add("a:1", issued()))
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.read(lambda v: v.now())
    again = await disk_bench.open()
    assert len(await again.read(lambda v: v.entries("a:1"))) == 20
    await again.close()


async def test_a_caller_that_gives_up_stops_nobody(store):
    """A cancelled caller leaves the store working for the others."""
    tasks = [asyncio.ensure_future(store.transact(add("a:1", issued()))) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None for result in results[1::2])
    await store.transact(add("a:2", issued()))


async def test_who_gives_up_takes_back_what_has_not_begun(disk_bench):
    """While the writer is busy with somebody else, a caller that leaves gets nothing done."""
    store = await disk_bench.open()
    goes_on = Event()
    running = asyncio.ensure_future(store.transact(lambda _: goes_on.wait(10)))
    await asyncio.sleep(0.1)
    queued = asyncio.ensure_future(store.transact(add("a:1", issued())))
    await asyncio.sleep(0)
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    goes_on.set()
    assert await running
    assert await store.read(lambda view: view.entries("a:1")) == ()
    await store.close()
