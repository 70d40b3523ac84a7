"""Two processes that both believe to be the one that numbers and signs (ADR 0006).

The one is stopped in the middle of its commit. The server cuts its session, as it does with a
writer that stalls or that the network lost, the other goes on, and the first wakes up.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import psycopg
import pytest

from callpoint.audit.checkpoint import parse_checkpoint
from callpoint.audit.entry import parse_entry
from callpoint.audit.kept_file import newest_note
from callpoint.audit.merkle import Frontier, leaf_hash
from callpoint.audit.note import parse_note
from tests.contract.store_benches import PostgresBench, add, issued, signed
from tests.fault.fenced import Pause
from tests.servers import fresh_database

ROOT = Path(__file__).parents[2]
WITHIN = 30.0


@pytest.mark.parametrize("pause", list(Pause))
async def test_a_paused_signer_publishes_nothing_after_another_took_over(
    postgres_15, tmp_path, pause
):
    """It loses its event or has committed it; of each size one checkpoint is ever published."""
    with fresh_database(postgres_15) as database:
        bench = PostgresBench(tmp_path, database)
        other = await bench.open(checkpoint_file=tmp_path / "other")
        await other.transact(add("first:1", issued()))
        (tmp_path / "paused").write_bytes((tmp_path / "other").read_bytes())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.fault.fenced", database.owner_url, bench.schema),
            *(tmp_path / "paused", pause),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            said = process.stdout
            assert said is not None
            assert await said.readline() == b"ready\n"
            await asyncio.to_thread(_await_stop, process.pid)
            assert _cut_whoever_holds_the_lock(bench) == (pause is not Pause.COMMITTED)
            await other.transact(add("other:1", issued()))
            await other.transact(add("other:1", issued()))
            os.kill(process.pid, signal.SIGCONT)
            told = json.loads(await said.readline())
            assert await said.readline() == b"done\n"
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
        await other.transact(add("last:1", issued()))
        whole, checkpoint = await other.read(
            lambda view: (view.log_slice(0, 100), signed(view, bench.signer))
        )
        await other.close()
    is_in = pause is Pause.COMMITTED
    assert told["outcome"] == ("" if is_in else "StoreUnavailableError")
    if pause is Pause.LOCKED:
        assert told["signed"] == [], "it signed a tree of the past"
    streams = [parse_entry(entry.leaf).stream for entry in whole]
    assert streams.count("paused:1") == is_in
    assert [streams.count(name) for name in ("other:1", "after:1", "last:1")] == [2, 1, 1]
    leaves = [leaf_hash(entry.leaf) for entry in whole]
    assert Frontier().extend(leaves).root() == checkpoint.root
    for kept in ("paused", "other"):
        _assert_is_of_the_log(tmp_path / kept, leaves)
    assert list(tmp_path.glob(".*.new")) == []


def _await_stop(process: int) -> None:
    """Until it is stopped, as ``/proc`` says; it stays this test's child."""
    deadline = time.monotonic() + WITHIN
    while Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "T":
        assert time.monotonic() < deadline, "it does not come to its pause"
        time.sleep(0.02)


def _cut_whoever_holds_the_lock(bench: PostgresBench) -> int:
    """What ``idle_in_transaction_session_timeout`` or a dead network does, at once; how many."""
    with psycopg.connect(bench.database.owner_url, autocommit=True) as owner:
        cut = owner.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE mode = 'ExclusiveLock'"
            f" AND granted AND relation = '{bench.schema}.writer'::regclass"
        ).fetchall()
    return len(cut)


def _assert_is_of_the_log(file: Path, leaves: list[bytes]) -> None:
    """The checkpoint that a process keeps outside is one that the one log had."""
    kept = parse_checkpoint(parse_note(newest_note(file.read_bytes())).text)
    assert 0 < kept.size <= len(leaves)
    assert Frontier().extend(leaves[: kept.size]).root() == kept.root
