"""Durable, proven appends a second, beside raw group commit on the same disk.

    python -m benchmarks.log --json

An append is *proven* when it has its number, stands in the Merkle tree under a checkpoint that was
signed and is kept outside the database too, and all of that is on the disk. Raw group commit
writes as many bytes durably, and nothing else. Both take 1, 16 and 64 writers at a time, in turns.
"""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.load import Took, for_seconds, together
from benchmarks.loop import run
from benchmarks.raw_commits import PostgresSink, RawCommits, SqliteSink
from benchmarks.report import Report, median_ratio, must, options
from benchmarks.servers import make_database, postgres
from callpoint.adapters.clock.system import SystemClock
from callpoint.adapters.keys.files import FileLogSigner, create_keys
from callpoint.adapters.stores.postgresql import PostgresStore
from callpoint.adapters.stores.sql.store import SqlStore
from callpoint.adapters.stores.sqlite import SqliteStore
from callpoint.audit.checkpoint import parse_checkpoint
from callpoint.audit.entry import parse_entry
from callpoint.audit.merkle import leaf_hash, root_of
from callpoint.audit.note import Verifier, parse_note, verify_note
from callpoint.domain.event import LeaseIssued
from callpoint.ports.stores import View

ORIGIN, INSTALLATION = "callpoint/bench0", "bench0"
WRITERS = (1, 16, 64)
_CHECKED = 10**7
Call = Callable[[int], Awaitable[object]]


def appending(store: SqlStore) -> Call:
    """One event of ordinary size, each client in a stream of its own."""

    def call(client: int) -> Awaitable[object]:
        stream = f"activation:client{client}"
        event = LeaseIssued(lease="bench0abcdefghijkl00", target="orders-db", box_sha256="a" * 64)
        return store.transact(lambda tx: tx.append(stream, event))

    return call


async def compare(
    report: Report, name: str, ours: Call, raw: Call, *, seconds: float, rounds: int
) -> float:
    """Both in turns, for each number of writers; returns how many appends were ours."""
    appended = 0
    for writers in WRITERS:
        proven: list[Took] = []
        bare: list[Took] = []
        for _ in range(rounds):
            bare.append(await for_seconds(seconds, writers, raw))
            proven.append(await for_seconds(seconds, writers, ours))
        for what, phases in (("append", proven), ("raw", bare)):
            whole = together(phases)
            report.timed(f"{name}_{what}_{writers}", whole.calls, whole.whole)
        appended += sum(len(phase.calls) for phase in proven)
        ratio = median_ratio([(a.rate, b.rate) for a, b in zip(proven, bare, strict=True)])
        report.figure(f"{name}_append_vs_raw_{writers}", ratio)
    return appended


def must_be_whole(view: View, verifier_key: str, least: int) -> None:
    """Every append is in the tree that the newest checkpoint was signed over."""
    signed = parse_note(view.checkpoint().encode())
    verify_note(signed, [Verifier.parse(verifier_key)])
    checkpoint = parse_checkpoint(signed.text)
    entries = view.log_slice(0, _CHECKED)
    must(checkpoint.size == len(entries) >= least, "an append is not under the checkpoint")
    root = root_of(leaf_hash(entry.leaf) for entry in entries)
    must(checkpoint.root == root, "the entries do not give the signed root")
    parse_entry(entries[-1].leaf)


async def measure(
    report: Report, folder: Path, *, seconds: float, rounds: int, is_durable: bool
) -> None:
    create_keys(folder / "keys", log_name=ORIGIN)
    signer = FileLogSigner(folder / "keys")
    sqlite = await SqliteStore.open(
        folder / "state.db",
        signer=signer,
        clock=SystemClock(),
        checkpoint_file=folder / "checkpoint",
        origin=ORIGIN,
        installation=INSTALLATION,
    )
    try:
        with RawCommits(SqliteSink, folder / "raw.db") as raw:
            made = await compare(
                report, "sqlite", appending(sqlite), raw.call, seconds=seconds, rounds=rounds
            )
        await sqlite.read(lambda view: must_be_whole(view, signer.verifier_key, int(made)))
    finally:
        await sqlite.close()
    with postgres(is_durable=is_durable) as server:
        make_database(server, "store")
        dsn = server.superuser_url("store")
        store = await PostgresStore.open(
            dsn,
            signer=signer,
            checkpoint_file=folder / "checkpoint-postgresql",
            origin=ORIGIN,
            installation=INSTALLATION,
        )
        try:
            with RawCommits(PostgresSink, dsn) as raw:
                made = await compare(
                    report, "postgresql", appending(store), raw.call, seconds=seconds, rounds=rounds
                )
            await store.read(lambda view: must_be_whole(view, signer.verifier_key, int(made)))
        finally:
            await store.close()
    report.ratio("append_vs_raw", report.figures["sqlite_append_vs_raw_64"], ">= 0.45")
    report.ratio("append_vs_raw_postgresql", report.figures["postgresql_append_vs_raw_64"])


def main() -> None:
    chosen = options(
        __doc__, ("--seconds", {"type": float, "default": 3.0, "help": "for each measurement"})
    )
    report = Report()
    seconds, rounds = (0.05, 1) if chosen.quick else (chosen.seconds, 3)
    with tempfile.TemporaryDirectory() as folder:
        run(
            measure(
                report,
                Path(folder),
                seconds=seconds,
                rounds=rounds,
                is_durable=not chosen.quick,
            )
        )
    report.finish(as_json=chosen.json)


if __name__ == "__main__":
    main()
