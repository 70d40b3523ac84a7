"""Stores on bad days: full disks, dead signers, unwritable folders, processes killed."""

import asyncio
import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from callpoint.adapters.stores.sql.batch import Job
from callpoint.adapters.stores.sql.checkpoint_file import CheckpointFile
from callpoint.adapters.stores.sql.ledger import Ledger
from callpoint.adapters.stores.sql.writer import Errand, Writer
from callpoint.adapters.stores.sqlite.connection import SqliteConnection
from callpoint.audit.entry import parse_entry
from callpoint.audit.verify.whole_log import verify_log
from callpoint.domain.errors import LogUnavailableError, StoreUnavailableError
from tests.contract.store_benches import (
    INSTALLATION,
    ORIGIN,
    SqliteBench,
    Thing,
    add,
    issued,
)

KILLS = 4


@pytest.fixture
def bench(tmp_path):
    return SqliteBench(tmp_path)


@pytest.fixture
async def store(bench):
    opened = await bench.open()
    yield opened
    await opened.close()


@contextmanager
def file_size_limit(size):
    """No file of this process may grow beyond `size`, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def big(key, size=200_000):
    return lambda tx: tx.put(Thing(key, subject="x" * size))


def check_whole(view, bench):
    """Every entry of the log verifies against its newest checkpoint and the one outside."""
    report = verify_log(
        [entry.leaf for entry in view.log_slice(0, 1_000_000)],
        view.checkpoint().encode(),
        bench.signer.verifier_key,
        earlier=bench.checkpoint_file.read_bytes(),
        origin=ORIGIN,
    )
    assert report.ok, report.findings
    return report.size


async def test_a_disk_that_refuses_to_write_is_an_error_and_no_end(bench, store):
    """When files cannot grow StoreUnavailableError is raised; with room again all works."""
    await store.transact(lambda tx: (tx.put(Thing("before")), tx.append("a:1", issued())))
    with file_size_limit(bench.path.with_name("state.db-wal").stat().st_size + 8192):
        for urgent in (False, True):
            with pytest.raises(StoreUnavailableError):
                await store.transact(big("huge"), urgent=urgent)
        assert await store.read(lambda v: v.find(Thing, "before"))
    await store.transact(lambda tx: (tx.put(Thing("after")), tx.append("a:1", issued())))
    found = await store.read(lambda v: (v.find(Thing, "huge"), v.find(Thing, "after") is not None))
    assert found == (None, True)
    assert await store.read(lambda v: check_whole(v, bench)) == 2


async def test_one_caller_that_fills_the_disk_fails_alone(bench):
    """SQLITE_FULL ends the whole transaction; the others of the batch are run again without it."""
    await (await bench.open()).close()

    def connect():
        connection = SqliteConnection(bench.path, bench.clock, is_writer=True)
        pages = connection.rows("PRAGMA page_count")[0][0]
        connection.rows(f"PRAGMA max_page_count = {pages + 12}")
        return connection

    ledger = Ledger(
        origin=ORIGIN,
        installation=INSTALLATION,
        signer=bench.signer,
        former_keys=(),
        file=CheckpointFile(bench.checkpoint_file),
    )
    writer = Writer(connect, ledger, "full")
    holds, begun = asyncio.Event(), asyncio.get_running_loop()
    gate = writer.ask(
        Errand(lambda _: asyncio.run_coroutine_threadsafe(holds.wait(), begun).result())
    )
    works = [big("huge") if n == 5 else lambda tx, n=n: tx.put(Thing(f"{n}")) for n in range(10)]
    jobs = [writer.ask(Job(work, urgent=False)) for work in works]
    holds.set()
    await asyncio.wrap_future(gate)
    results = await asyncio.gather(*map(asyncio.wrap_future, jobs), return_exceptions=True)
    await asyncio.to_thread(writer.stop)
    assert [n for n, r in enumerate(results) if isinstance(r, StoreUnavailableError)] == [5]
    assert sum(isinstance(r, Thing) for r in results) == 9


async def test_an_unwritable_checkpoint_stops_giving_only(bench, store):
    """When the checkpoint cannot be kept outside, nothing is given; what takes away is spooled."""
    await store.transact(add("a:1", issued()))
    kept = bench.checkpoint_file.rename(bench.checkpoint_file.with_name("aside"))
    bench.checkpoint_file.mkdir()
    with pytest.raises(LogUnavailableError, match="cannot be written"):
        await store.transact(lambda tx: (tx.put(Thing("a")), tx.append("a:1", issued())))
    await store.transact(lambda tx: (tx.put(Thing("b")), tx.append("a:1", issued())), urgent=True)
    found = await store.read(lambda v: (v.find(Thing, "a"), v.unnumbered("a:1")))
    assert found == (None, 1)
    bench.checkpoint_file.rmdir()
    kept.rename(bench.checkpoint_file)
    assert await store.merge_spool() == 0
    assert await store.read(lambda v: check_whole(v, bench)) == 2


async def test_a_checkpoint_that_cannot_be_published_is_told(bench, store, monkeypatch):
    """Committed, but not flushed outside: the caller learns it, and nothing is given from then on.

    What the flush left on the disk is not known, so the next one makes the file anew.
    """
    await store.transact(add("a:1", issued()))
    before = bench.checkpoint_file.stat().st_ino

    def fail(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(LogUnavailableError, match="the change stands"):
            await store.transact(add("a:1", issued()))
        broken.setattr(Path, "replace", lambda *_: fail(0))
        with pytest.raises(LogUnavailableError, match="cannot be replaced") as caught:
            await store.transact(add("a:1", issued()))
        assert "the change stands" not in caught.value.message
        broken.setattr(os, "fsync", fail)
        with pytest.raises(LogUnavailableError, match="cannot be written"):
            await store.transact(add("a:1", issued()))
        await store.transact(add("a:1", issued()), urgent=True)
        assert await store.read(lambda v: v.unnumbered("a:1")) == 1
    assert await store.merge_spool() == 0
    assert bench.checkpoint_file.stat().st_ino != before
    await store.transact(add("a:1", issued()))
    assert await store.read(lambda v: check_whole(v, bench)) == 4


async def test_a_flapping_signer_loses_nothing(bench, store):
    """With a signer that comes and goes, what was acknowledged is in the log, and nothing else."""
    done: list[str] = []

    async def caller(n):
        for turn in range(6):
            name = f"{n:02}-{turn}-".ljust(20, "x")
            try:
                await store.transact(add(f"a:{n}", issued(name)), urgent=turn % 2 == 0)
            except LogUnavailableError:
                continue
            done.append(name)

    async def flap():
        for turn in range(40):
            bench.break_log(broken=turn % 2 == 0)
            await asyncio.sleep(0.002)
        bench.break_log(broken=False)

    await asyncio.gather(flap(), *(caller(n) for n in range(16)))
    assert await store.merge_spool() == 0
    entries = await store.read(lambda v: v.log_slice(0, 1000))
    logged = [parse_entry(entry.leaf).data["lease"] for entry in entries]
    assert sorted(map(str, logged)) == sorted(done)
    await store.read(lambda v: check_whole(v, bench))


class Unforeseen(BaseException):
    """Nobody catches this by accident."""


async def test_the_writer_survives_the_unexpected(store):
    """An error that nobody foresaw reaches the caller that met it and stops nobody."""

    def odd(tx):
        tx.append("a:1", issued())
        raise Unforeseen("not even this")

    results = await asyncio.gather(
        store.transact(odd), store.transact(add("a:2", issued())), return_exceptions=True
    )
    assert [type(result) for result in results] == [Unforeseen, type(None)]
    await store.transact(add("a:1", issued()))
    assert len(await store.read(lambda v: v.log_slice(0, 10))) == 2


async def test_a_signer_that_fails_in_its_own_way_stops_giving_only(bench, store):
    """A key holder's own error counts as a dead log: what takes away goes on, without its words."""

    def fail(text):
        raise RuntimeError("PIN 1234 is wrong")

    bench.signer.sign = fail
    with pytest.raises(LogUnavailableError, match="RuntimeError") as caught:
        await store.transact(add("a:1", issued()))
    assert "1234" not in str(caught.value)
    await store.transact(add("a:1", issued()), urgent=True)
    assert await store.read(lambda v: v.unnumbered("a:1")) == 1


_CHILD = """
import asyncio, sys
from pathlib import Path
import msgspec
from tests.contract.store_benches import SqliteBench, Thing, issued

async def main(folder):
    store = await SqliteBench(Path(folder)).open()
    def step(tx):
        thing = tx.find(Thing, "a") or Thing("a")
        tx.put(msgspec.structs.replace(thing, count=thing.count + 1))
        tx.append("a:1", issued())
        return thing.count + 1
    async def caller():
        while True:
            count = await store.transact(step)
            sys.stdout.write(f"{count}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(caller() for _ in range(8)))

asyncio.run(main(sys.argv[1]))
"""


async def test_killed_in_the_middle_of_commits(bench):
    """After each kill -9 state and log agree, all verifies, and nothing acknowledged is lost."""
    for turn in range(KILLS):
        acknowledged = await asyncio.to_thread(kill_a_writer, bench, after=15 + 40 * turn)
        store = await bench.open()
        thing, entries = await store.read(lambda v: (v.get(Thing, "a"), v.entries("a:1")))
        assert thing.count == len(entries) >= acknowledged
        await store.check_log()
        assert await store.read(lambda v: check_whole(v, bench)) == thing.count
        await store.close()


def kill_a_writer(bench, *, after):
    """Let a process write until it has acknowledged so many more; returns the last acknowledged."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(bench.path.parent)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    last = 0
    with child:
        try:
            for _, line in zip(range(after), child.stdout, strict=False):
                last = max(last, int(line))
        finally:
            child.send_signal(signal.SIGKILL)
            for line in child.stdout:
                with suppress(ValueError):  # the last line may be cut
                    last = max(last, int(line) if line.endswith("\n") else 0)
    assert last, "the child never wrote"
    return last


async def test_two_processes_cannot_have_one_file(bench, store):
    """A second process, or a second store in this one, is told that the file is open."""
    with pytest.raises(StoreUnavailableError, match="another Callpoint"):
        await bench.open()


async def test_readers_do_not_need_the_writers_connection(bench, store):
    """Reads go on, on fresh connections too, while the writer has lost its own."""
    await store.transact(lambda tx: tx.put(Thing("a")))

    def lose(connection):
        raise StoreUnavailableError("lost")

    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await asyncio.wrap_future(store._writer.ask(Errand(lose)))
        found = await asyncio.gather(*(store.read(lambda v: v.get(Thing, "a")) for _ in range(8)))
        assert len(found) == 8


async def test_the_database_is_closed_to_others(bench, store):
    """The database and its companions can be read by their owner only."""
    await store.transact(lambda tx: tx.put(Thing("a")))
    files = list(bench.path.parent.glob("state.db*"))
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) == 4


async def test_a_folder_that_is_not_there_is_told(tmp_path):
    """A database in a folder that does not exist is an error with a way out, not a traceback."""
    with pytest.raises(StoreUnavailableError):
        await SqliteBench(tmp_path / "nowhere").open()


async def test_a_row_that_is_no_record_stops_one_reader_only(bench, store):
    """A damaged body raises for who reads it, and the pool goes on serving others."""
    await store.transact(lambda tx: [tx.put(Thing("a")), tx.put(Thing("b"))])
    bench.execute("UPDATE records SET body = x'00' WHERE key = 'a'")
    for _ in range(8):
        with pytest.raises(Exception, match="does not parse"):
            await store.read(lambda v: v.get(Thing, "a"))
        assert await store.read(lambda v: v.get(Thing, "b")) == msgspec.structs.replace(
            Thing("b"), version=1
        )
