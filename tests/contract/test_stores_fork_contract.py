"""A log is never forked: rolled back, changed or swapped databases are refused, then recovered."""

import shutil
from contextlib import asynccontextmanager

import pytest

from callpoint.adapters.stores.postgresql import migrations as of_postgresql
from callpoint.adapters.stores.sqlite import migrations as of_sqlite
from callpoint.audit.checkpoint import parse_checkpoint
from callpoint.audit.entry import parse_entry
from callpoint.audit.kept_file import newest_note
from callpoint.audit.merkle import Frontier, leaf_hash, verify_inclusion
from callpoint.audit.note import parse_note
from callpoint.domain.errors import (
    ConflictError,
    HeldError,
    LogUnavailableError,
    StoreUnavailableError,
    TamperError,
)
from tests.contract.store_benches import (
    ORIGIN,
    FragileSigner,
    PostgresBench,
    Thing,
    add,
    issued,
    signed,
)


@asynccontextmanager
async def opened(bench):
    store = await bench.open()
    try:
        yield store
    finally:
        await store.close()


async def fill(bench, count, stream="a:1"):
    """Append `count` events, the last in a commit of its own."""
    async with opened(bench) as store:
        if count > 1:
            await store.transact(add(stream, *(issued() for _ in range(count - 1))))
        await store.transact(add(stream, issued()))


async def rolled_back(bench, *, kept=3, lost=2):
    """A database restored from a backup that lacks the last entries."""
    await fill(bench, kept)
    bench.back_up()
    await fill(bench, lost)
    bench.restore()


async def assert_halted(store, why):
    with pytest.raises(LogUnavailableError, match=why) as caught:
        await store.check_log()
    assert "callpoint log recover" in caught.value.way_out
    with pytest.raises(LogUnavailableError, match=why):
        await store.transact(lambda tx: tx.put(Thing("given")))
    assert await store.read(lambda v: v.find(Thing, "given")) is None


async def test_a_rolled_back_database_is_not_signed(disk_bench):
    """After a restore of an older database nothing is signed, and what takes away goes on."""
    await rolled_back(disk_bench)
    disk_bench.signer.signed.clear()
    async with opened(disk_bench) as store:
        await assert_halted(store, "2 are missing")
        await store.transact(add("a:1", issued()), urgent=True)
        await store.transact(lambda tx: tx.put(Thing("revoked")), urgent=True)
        assert await store.merge_spool() == 1
        assert await store.read(lambda v: v.find(Thing, "revoked"))
    assert disk_bench.signer.signed == []


async def test_an_emptied_database_is_not_signed(disk_bench):
    """A database that lost everything is as halted as one that lost a part."""
    async with opened(disk_bench):
        pass
    disk_bench.back_up()
    await fill(disk_bench, 2)
    disk_bench.restore()
    async with opened(disk_bench) as store:
        await assert_halted(store, "2 are missing")


async def test_a_forked_database_is_not_signed(disk_bench):
    """A database of the same length, or longer, with other entries is refused."""
    await fill(disk_bench, 2)
    older = disk_bench.checkpoint_file.read_bytes()
    disk_bench.back_up()
    await fill(disk_bench, 2)
    newer = disk_bench.checkpoint_file.read_bytes()
    disk_bench.restore()
    disk_bench.checkpoint_file.write_bytes(older)
    await fill(disk_bench, 3, stream="b:1")
    disk_bench.checkpoint_file.write_bytes(newer)
    async with opened(disk_bench) as store:
        await assert_halted(store, "not the ones that were signed")


async def test_a_database_ahead_of_the_file_is_normal(disk_bench):
    """A death between commit and file leaves an older checkpoint, which is caught up with."""
    await fill(disk_bench, 2)
    older = disk_bench.checkpoint_file.read_bytes()
    await fill(disk_bench, 3)
    newer = disk_bench.checkpoint_file.read_bytes()
    disk_bench.checkpoint_file.write_bytes(older)
    async with opened(disk_bench) as store:
        assert await store.log_works()
        assert newest_note(disk_bench.checkpoint_file.read_bytes()) == newest_note(newer)
        await store.transact(add("a:1", issued()))


async def test_a_missing_file_halts_until_it_is_back(disk_bench):
    """Without the file nothing is signed; put back, the log works again without a restart."""
    await fill(disk_bench, 2)
    text = disk_bench.checkpoint_file.read_bytes()
    disk_bench.checkpoint_file.unlink()
    async with opened(disk_bench) as store:
        await assert_halted(store, "missing")
        disk_bench.checkpoint_file.write_bytes(text)
        await store.check_log()
        await store.transact(add("a:1", issued()))


async def test_the_file_exists_before_the_first_entry(disk_bench):
    """The very first commit already finds a checkpoint outside, so its absence means something."""
    async with opened(disk_bench) as store:
        await store.check_log()
    note = parse_note(newest_note(disk_bench.checkpoint_file.read_bytes()))
    assert parse_checkpoint(note.text).size == 0


async def test_a_strange_file_halts(disk_bench):
    """A damaged file, one that another key signed, and one of another log are refused."""
    await fill(disk_bench, 2)
    text = disk_bench.checkpoint_file.read_bytes()
    body = parse_note(newest_note(text)).text
    stranger = FragileSigner("callpoint/stranger").sign(body)
    other_log = disk_bench.signer.sign(body.replace(ORIGIN, "callpoint/other0"))
    cut = b"callpoint-kept/1 0\n" + text[:-7]
    for strange in (text[:-7], cut[: len(text)], b"", stranger.encode(), other_log.encode()):
        disk_bench.checkpoint_file.write_bytes(strange)
        async with opened(disk_bench) as store:
            await assert_halted(store, "halted")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE head SET size = 2",
        "UPDATE head SET peaks = (SELECT substr(hashes, 1, 128) FROM tiles)",
        "DELETE FROM head",
        "UPDATE entries SET leaf_hash = root FROM (SELECT root FROM tiles) AS t WHERE idx = 0",
        "DELETE FROM checkpoints WHERE size = 300",
        "UPDATE checkpoints SET note = 'callpoint/abc123' WHERE size = 300",
    ],
)
async def test_rows_changed_by_hand_are_noticed(disk_bench, change):
    """Changed rows of the log are found at the next start, or when they are read."""
    async with opened(disk_bench) as store:
        await store.transact(add("a:1", *(issued() for _ in range(299))))
        await store.transact(add("a:1", issued()))
    # The file is older than the database, as after a crash, so that the tree is really looked at.
    older = disk_bench.signer.sign(disk_bench.signer.signed[-2])
    disk_bench.checkpoint_file.write_bytes(older.encode())
    drop_triggers(disk_bench)
    disk_bench.execute(change)
    async with opened(disk_bench) as store:
        if change.startswith("UPDATE entries"):
            entries = store.read(lambda v: v.entries("a:1"))
            with pytest.raises(TamperError):
                await entries
        elif change.startswith("DELETE FROM head"):
            with pytest.raises((TamperError, LogUnavailableError)):
                await store.check_log()
        else:
            await assert_halted(store, "halted")


@pytest.mark.parametrize("table", ["entries", "checkpoints", "tiles"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
async def test_evidence_refuses_change(disk_bench, table, verb):
    """The database itself refuses to update or delete entries, tiles and checkpoints."""
    async with opened(disk_bench) as store:
        await store.transact(add("a:1", *(issued() for _ in range(256))))
    column = {"entries": "seq", "checkpoints": "size", "tiles": "level"}[table]
    with pytest.raises(Exception, match="never changed"):
        disk_bench.execute(verb.format(table, column, column))


async def test_a_record_changed_by_hand_is_not_believed(disk_bench):
    """A record whose column or body was changed raises TamperError instead of being returned."""
    async with opened(disk_bench) as store:
        await store.transact(lambda tx: [tx.put(Thing(key)) for key in ("a", "b")])
        disk_bench.execute("UPDATE records SET state = 'ended' WHERE key = 'a'")
        disk_bench.execute("UPDATE records SET body = substring(body, 2) WHERE key = 'b'")
        for key in ("a", "b"):
            with pytest.raises(TamperError):
                await store.read(lambda v, key=key: v.get(Thing, key))


# -- recovery ---------------------------------------------------------------------------------


async def test_recovery_opens_a_new_origin(disk_bench):
    """Recovery names the lost checkpoint and range, keeps what is left, and streams go on."""
    await rolled_back(disk_bench, kept=300, lost=5)
    lost = newest_note(disk_bench.checkpoint_file.read_bytes()).decode()
    async with opened(disk_bench) as store:
        await store.transact(add("a:1", issued("spooled-meanwhile---")), urgent=True)
        event = await store.recover("disk lost", actor="person:alice")
        assert (event.old_checkpoint, event.kept_size, event.lost_size) == (lost, 300, 5)
        await store.transact(add("a:1", issued()))
        whole, checkpoint, proof = await store.read(
            lambda v: (
                v.log_slice(0, 1000),
                signed(v, disk_bench.signer, f"{ORIGIN}/2"),
                v.inclusion(7),
            )
        )
        stream = await store.read(lambda v: v.entries("a:1"))
    first = parse_entry(whole[300].leaf)
    assert (first.type, first.stream, first.data["lost_size"]) == (
        "log:recovered",
        "installation",
        5,
    )
    assert first.data["reason"] == "disk lost"
    leaves = [leaf_hash(entry.leaf) for entry in whole]
    assert Frontier().extend(leaves).root() == checkpoint.root
    verify_inclusion(leaves[7], 7, checkpoint.size, proof, checkpoint.root)
    assert [parse_entry(entry.leaf).seq for entry in stream] == list(range(302))
    assert disk_bench.checkpoint_file.with_name("checkpoint.lost-1").read_text() == lost


async def test_a_recovered_log_goes_on(disk_bench):
    """After recovery the store opens and works; a whole log is not recovered again."""
    await rolled_back(disk_bench)
    async with opened(disk_bench) as store:
        await store.recover("first")
    async with opened(disk_bench) as store:
        await store.check_log()
        with pytest.raises(ConflictError, match="nothing to recover"):
            await store.recover("again")
        await store.transact(add("a:1", issued()))


async def test_a_death_before_the_new_origins_file_is_normal(disk_bench):
    """The checkpoint that the recovery names, or an older one, may still be in the file."""
    await fill(disk_bench, 1)
    oldest = disk_bench.checkpoint_file.read_bytes()
    await rolled_back(disk_bench)
    named = disk_bench.checkpoint_file.read_bytes()
    async with opened(disk_bench) as store:
        await store.recover("first")
    for left in (named, oldest):
        disk_bench.checkpoint_file.write_bytes(left)
        async with opened(disk_bench) as store:
            await store.check_log()


async def test_a_second_recovery_is_a_third_origin(disk_bench):
    """A database rolled back to before its recovery is halted, and recovers into a newer origin."""
    await fill(disk_bench, 2)
    shutil.copy(disk_bench.checkpoint_file, disk_bench.checkpoint_file.with_name("other"))
    disk_bench.back_up()
    await fill(disk_bench, 2)
    for origin, why in ((f"{ORIGIN}/2", "2 are missing"), (f"{ORIGIN}/3", "before the recovery")):
        disk_bench.restore()
        async with opened(disk_bench) as store:
            await assert_halted(store, why)
            await store.recover("again")
            checkpoint = await store.read(lambda v: v.checkpoint())
            assert checkpoint.startswith(f"{origin}\n3\n")


async def test_a_recovery_accounts_only_for_what_it_knew(disk_bench):
    """A node whose checkpoint is newer than the one that the recovery named stays halted."""
    await fill(disk_bench, 3)
    disk_bench.back_up()
    await fill(disk_bench, 1)
    older = disk_bench.checkpoint_file.read_bytes()
    await fill(disk_bench, 1)
    newer = disk_bench.checkpoint_file.read_bytes()
    disk_bench.restore()
    disk_bench.checkpoint_file.write_bytes(older)
    async with opened(disk_bench) as store:
        await store.recover("with an old file")
    disk_bench.checkpoint_file.write_bytes(newer)
    async with opened(disk_bench) as store:
        await assert_halted(store, "the recovery knew of 4")
    disk_bench.checkpoint_file.write_bytes(older)
    drop_triggers(disk_bench)
    disk_bench.execute("UPDATE recoveries SET kept_size = 0")
    async with opened(disk_bench) as store:
        await assert_halted(store, "should be a recovery")


async def test_a_lost_file_can_be_recovered_from(disk_bench):
    """Without the file too a new origin can be opened; it names no old checkpoint."""
    await fill(disk_bench, 2)
    disk_bench.checkpoint_file.unlink()
    async with opened(disk_bench) as store:
        event = await store.recover("the volume with the file is gone")
        assert (event.old_checkpoint, event.kept_size, event.lost_size) == ("", 2, 0)
        await store.transact(add("a:1", issued()))


async def test_a_key_that_does_not_sign_is_repaired_and_not_recovered_from(disk_bench):
    """Recovery ends everything that is open, so only a halted log is a reason for it."""
    await fill(disk_bench, 2)
    async with opened(disk_bench) as store:
        disk_bench.break_log()
        with pytest.raises(ConflictError, match="nothing to recover"):
            await store.recover("it does not work")
        disk_bench.break_log(broken=False)
        assert len(await store.read(lambda view: view.log_slice(0, 10))) == 2
        await store.check_log()


async def test_what_disagrees_with_itself_is_not_recovered(disk_bench):
    """A database whose tree is not what its own checkpoint signed stays halted."""
    await fill(disk_bench, 3)
    drop_triggers(disk_bench)
    disk_bench.execute("DELETE FROM checkpoints WHERE size = 3")
    async with opened(disk_bench) as store:
        with pytest.raises(TamperError, match="cannot be recovered"):
            await store.recover("please")
        await assert_halted(store, "halted")


# -- who may open -----------------------------------------------------------------------------


async def test_a_newer_schema_is_refused(disk_bench):
    """A database that a newer Callpoint has changed is not opened, and the error says so."""
    async with opened(disk_bench):
        pass
    disk_bench.execute("INSERT INTO migrations VALUES (99, 'from the future', '')")
    with pytest.raises(StoreUnavailableError, match="version 99"):
        await disk_bench.open()


async def test_another_installations_database_is_refused(disk_bench):
    """A database of another installation is not opened."""
    async with opened(disk_bench):
        pass
    disk_bench.execute("UPDATE head SET installation = 'other0'")
    with pytest.raises(StoreUnavailableError, match="belongs to installation other0"):
        await disk_bench.open()


async def test_a_database_that_is_elsewhere_is_held(disk_bench):
    """A copy is told from the original and left as it is, until somebody says that it was moved."""
    async with opened(disk_bench) as store:
        here = store.place
    disk_bench.execute("UPDATE head SET place = 'elsewhere'")
    before = disk_bench.execute("SELECT * FROM head")
    with pytest.raises(HeldError, match=f"was at elsewhere, and is at {here}"):
        await disk_bench.open()
    assert disk_bench.execute("SELECT * FROM head") == before
    moved = await disk_bench.open(allow_moved=True)
    await moved.settle()
    await moved.close()
    async with opened(disk_bench) as store:
        assert store.place == here
    assert disk_bench.execute("SELECT place FROM head") == [(here,)]


async def test_migrations_are_applied_once(disk_bench):
    """Opening again applies nothing again."""
    for _ in range(2):
        async with opened(disk_bench):
            pass
    schema = of_postgresql if isinstance(disk_bench, PostgresBench) else of_sqlite
    count = len(schema.MIGRATIONS)
    told = disk_bench.execute("SELECT count(*), max(number) FROM migrations")
    assert told == [(count, count)]


def drop_triggers(bench):
    """What somebody who owns the database does first."""
    if isinstance(bench, PostgresBench):
        for table in ("entries", "checkpoints", "tiles", "recoveries"):
            bench.execute(f"DROP TRIGGER refuse_{table} ON {table}")
        return
    for (name,) in bench.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        bench.execute(f"DROP TRIGGER {name}")
