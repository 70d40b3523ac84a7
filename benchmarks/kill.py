"""From `kill` to the last byte that a live session can send, on one node and across two.

    python -m benchmarks.kill --json

Each kill ends one activation while its session streams through the gateway for PostgreSQL as fast
as it can, every second one reading and every second one writing. The clock starts before the signed
request is made, and stops with the last byte that the client received, or that was accepted from
it; what lay in buffers on the way counts. Both processes read the machine's monotonic clock.

One node: one `callpoint serve` with its gateway inside, on SQLite. Two nodes: two `callpoint serve`
on one PostgreSQL; the kill goes to one, the session through the gateway of the other.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import nodes
from benchmarks.nodes import People, Place, serving
from benchmarks.report import Report, must, options, percentile
from benchmarks.servers import PARENT, make_database, postgres, prepare
from callpoint.cli.throwaway import ThrowawayPostgres

_AIMS = {"one_node": 50, "two_nodes": 250}
_ROWS = 2_000


@dataclass(frozen=True)
class Ended:
    """One kill, seconds since it was ordered.

    Attributes:
        last: Until the last byte; negative: nothing passed any more.
        over: Until the client knew.
        answered: Until the kill was answered, everything revoked.
    """

    last: float
    over: float
    answered: float


class Streamer:
    """The client's process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self, dsn: str, *, writes: bool) -> None:
        """Returns when much has passed."""
        must(self._process.stdin is not None, "pipes were asked for")
        print(json.dumps({"dsn": dsn, "writes": writes}), file=self._process.stdin, flush=True)
        must(self._line() == {"begun": True}, "the session does not stream")

    def ended(self) -> dict[str, float]:
        """Waits until it is over."""
        return self._line()

    def _line(self) -> dict[str, float]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        must(bool(line), "the client ended")
        told: dict[str, float] = json.loads(line)
        return told


@contextmanager
def streamer() -> Iterator[Streamer]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Streamer(process)
    finally:
        process.kill()
        process.wait()


def one_kill(killers: People, owner: People, client: Streamer, *, writes: bool) -> Ended:
    """``killers`` order it at one server; the session is through the gateway of ``owner``'s."""
    activation = owner.active()
    where = owner.connection(activation)
    client.begin(
        f"host={where.host} port={where.port} user={where.connection} password={where.secret}"
        f" dbname={where.dbname} sslmode={where.sslmode}",
        writes=writes,
    )
    ordered = time.monotonic()
    killed = killers.kill(activation)
    answered = time.monotonic()
    told = client.ended()
    must(killed.activations == (activation,), f"killed {killed}")
    return Ended(told["last"] - ordered, told["over"] - ordered, answered - ordered)


def tell(report: Report, name: str, kills: Sequence[Ended]) -> None:
    last = [max(0.0, kill.last) for kill in kills]
    report.figure(f"{name}_kills", len(kills), 0)
    report.figure(f"{name}_p50_ms", percentile(last, 50) * 1000)
    report.figure(f"{name}_p99_ms", percentile(last, 99) * 1000)
    report.figure(f"{name}_max_ms", max(last) * 1000)
    report.figure(f"{name}_closed_p99_ms", percentile([k.over for k in kills], 99) * 1000)
    report.figure(f"{name}_revoked_p50_ms", percentile([k.answered for k in kills], 50) * 1000)
    print(f"aim: {name}_p99_ms <= {_AIMS[name]}", flush=True)


def installed(server: ThrowawayPostgres, folder: Path, name: str, *, shared: bool) -> Place:
    """An installation with its own target, and the store in a database when it is shared."""
    database = f"target_{name}"
    more = {}
    if shared:
        make_database(server, f"store_{name}")
        more["STORE_DSN"] = server.superuser_url(f"store_{name}")
    folder.mkdir()
    place = nodes.found(folder, database, PARENT, "STORE_DSN" if shared else "", more)
    target = prepare(server, name, place.installation)
    place.environment["ORDERS_BROKER_DSN"] = target.settings.dsn
    with psycopg.connect(target.owner_url, autocommit=True) as owner:
        owner.execute("INSERT INTO orders SELECT generate_series(1, %s)", (_ROWS,))
    return place


def measure(report: Report, server: ThrowawayPostgres, folder: Path, count: int) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(streamer())
        for name, shared in (("one_node", False), ("two_nodes", True)):
            with ExitStack() as running:
                place = installed(server, folder / name, name, shared=shared)
                gateway = "node1"
                if shared:
                    nodes.second_node(place)
                    gateway = "node2"
                nodes.with_gateway(place, gateway)
                owner = killers = People(place, running.enter_context(serving(place, gateway)))
                if shared:
                    killers = People(place, running.enter_context(serving(place, "node1")))
                owner.open_incident()
                one_kill(killers, owner, client, writes=False)  # everything is loaded
                kills = [
                    one_kill(killers, owner, client, writes=bool(number % 2))
                    for number in range(count)
                ]
                tell(report, name, kills)


def main() -> None:
    chosen = options(__doc__)
    report = Report()
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres(is_durable=not chosen.quick) as server,
    ):
        measure(report, server, Path(folder), 2 if chosen.quick else 200)
    report.finish(as_json=chosen.json)


if __name__ == "__main__":
    main()
