"""Statements through the gateway with 32 clients, beside the same server without it.

    python -m benchmarks.gateway_postgres --json

pgbench, select-only, in its three protocols. Ours is one process: gateway, authority, policy and
store (SQLite), as ``callpoint serve`` runs them. Each statement is read by PostgreSQL's own parser,
decided by Cedar on facts that are compared with the store's rows, and stands in the log under a
signed checkpoint before it reaches the target; what became of it is recorded after it. At the end
the log must hold one proven decision for each statement, allowed.

PgBouncer, in session mode, passes messages on; it reads no statement and keeps no record.
"""

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg

from benchmarks import pgbouncer
from benchmarks.installation import INSTALLATION, Behind, Installed, installed
from benchmarks.loop import run
from benchmarks.report import Report, fail, median_ratio, must, options
from benchmarks.servers import PARENT, Prepared, alive, postgres, prepare
from callpoint.audit.checkpoint import parse_checkpoint
from callpoint.audit.note import parse_note
from callpoint.bootstrap.journal import make_logger
from callpoint.cli.loopback import free_port
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.gateway import POSTGRESQL, Evidence, Gateway
from callpoint.domain.ids import session_stream
from callpoint.domain.session import Session
from callpoint.gateways.postgres.gateway import PostgresGateway
from callpoint.gateways.postgres.settings import GatewaySettings
from callpoint.lifecycle import connection
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.stores import View, Where

CLIENTS = 32
GATEWAY = "db-gateway"
TARGETS = {"orders-db": Evidence.BEFORE, "orders-with": Evidence.WITH}
BEFORE, WITH = TARGETS
_SPARE = 8
"""Connections of pgbench's beside its clients': it looks at the tables first."""

_BARE = "bare"
_TABLE = b"pgbench_accounts"


@dataclass(frozen=True)
class Login:
    """Where pgbench connects."""

    port: int
    database: str
    user: str
    password: str


@dataclass(frozen=True)
class Ran:
    """One run of pgbench.

    Attributes:
        rate: Statements a second, without the logins.
        logins_ms: So long all clients took to log in.
    """

    statements: int
    rate: float
    logins_ms: float


async def pgbench(at: Login, protocol: str, clients: int, each: int) -> Ran:
    """So many rows by their key for each client; each transaction is one statement.

    A count and not a time, because pgbench's time begins before the clients have logged in.
    """
    process = await asyncio.create_subprocess_exec(
        *("pgbench", "-n", "-S", "-M", protocol, "-c", str(clients), "-j", "1"),
        *("-t", str(each), "-h", "127.0.0.1", "-p", str(at.port), "-U", at.user, at.database),
        env={**os.environ, "PGPASSWORD": at.password, "PGSSLMODE": "disable"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    said = out.decode()
    must(process.returncode == 0, f"pgbench: {said}{err.decode()}")
    statements = re.search(r"transactions actually processed: (\d+)", said)
    rate = re.search(r"tps = ([\d.]+)", said)
    login = re.search(r"initial connection time = ([\d.]+) ms", said)
    failed = re.search(r"failed transactions: (\d+)", said)
    if statements is None or rate is None or login is None:
        raise AssertionError(f"pgbench says nothing of its rate: {said}")
    must(failed is None or failed[1] == "0", f"statements failed: {said}")
    return Ran(int(statements[1]), float(rate[1]), float(login[1]))


@dataclass
class Told:
    """What the rounds said."""

    rates: dict[str, list[float]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    logins: list[tuple[float, float]] = field(default_factory=list)

    def rate(self, name: str, ran: Ran) -> None:
        """One more round of it."""
        self.rates.setdefault(name, []).append(ran.rate)

    def compared(self, name: str, ours: Ran, other: Ran) -> None:
        """One more round of both."""
        self.pairs.setdefault(name, []).append((ours.rate, other.rate))

    def say(self, report: Report) -> None:
        """The medians."""
        for name, rates in self.rates.items():
            report.figure(name, median(rates), 1)
        report.figure("logins_ms", median(ours for ours, _ in self.logins), 1)
        report.figure("logins_direct_ms", median(other for _, other in self.logins), 1)
        for name, pairs in self.pairs.items():
            report.ratio(name, median_ratio(pairs))


@dataclass
class Ways:
    """The ways to the same tables.

    Attributes:
        bouncer: PgBouncer's port; 0 where there is none.
        passed: Statements that went through the gateway.
    """

    installation: Installed
    bare: Login
    bouncer: int
    activations: dict[str, str]
    gateway_port: int
    clients: int
    passed: int = 0

    async def direct(self, protocol: str, each: int) -> Ran:
        """Without anything between."""
        return await pgbench(self.bare, protocol, self.clients, each)

    async def bounced(self, protocol: str, each: int) -> Ran:
        """Through PgBouncer."""
        at = Login(self.bouncer, self.bare.database, self.bare.user, self.bare.password)
        return await pgbench(at, protocol, self.clients, each)

    async def guarded(self, target: str, protocol: str, each: int) -> Ran:
        """Through the gateway, with a connection secret for all its logins."""
        wish = connection.Wish(source="127.0.0.1", logins=self.clients + _SPARE)
        services, alice = self.installation.services, self.installation.caller("alice")
        given = await connection.offer(services, alice, self.activations[target], wish)
        at = Login(self.gateway_port, given.database, given.connection.id, given.secret)
        ran = await pgbench(at, protocol, self.clients, each)
        self.passed += ran.statements
        return ran


def must_be_on_record(view: View, statements: int) -> int:
    """One allowed decision for each statement, under the newest checkpoint; how many entries."""
    size = parse_checkpoint(parse_note(view.checkpoint().encode()).text).size
    decided = entries = 0
    for session in view.select(Session, Where(limit=10**6)):
        stream = session_stream(session.id)
        must(not view.unnumbered(stream), f"session {session.id} has entries without a number")
        for entry in view.entries(stream):
            must(entry.index < size, f"entry {entry.index} is not under the checkpoint")
            entries += 1
            if b'"type":"action:decided"' in entry.leaf and _TABLE in entry.leaf:
                must(json.loads(entry.leaf)["data"]["allowed"] is True, "one was refused")
                decided += 1
    must(decided == statements, f"{decided} decisions on record of {statements} statements")
    return entries


@asynccontextmanager
async def listening(installation: Installed, port: int) -> AsyncIterator[None]:
    """The gateway beside its authority, as inside ``callpoint serve``."""
    services = installation.services
    recorder = Recorder(services)
    gateway = PostgresGateway(
        GatewayAuthority(services, GATEWAY, recorder),
        GatewaySettings(GATEWAY, port=port),
        services.clock,
        services.random,
        make_logger(services.clock, sys.stderr),
    )
    stop, is_up = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run(stop))
        group.create_task(gateway.serve(stop, lambda _port: is_up.set()))
        await is_up.wait()
        while not gateway.is_heard:
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            stop.set()


def fill(prepared: Prepared) -> None:
    """Tables of pgbench, for the role that the gateway's accounts have."""
    done = subprocess.run(  # noqa: S603 -- PostgreSQL's own program
        ["pgbench", "-i", "-q", prepared.owner_url],  # noqa: S607 -- wherever it is
        capture_output=True,
        text=True,
        check=False,
    )
    must(done.returncode == 0, f"pgbench -i: {done.stderr}")
    with psycopg.connect(prepared.owner_url, autocommit=True) as owner:
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {PARENT}".encode())


def bare_login(server: ThrowawayPostgres, prepared: Prepared) -> Login:
    """An account of nobody's, with the same role."""
    password = secrets.token_hex(16)
    with psycopg.connect(prepared.owner_url, autocommit=True) as owner:
        database = owner.info.dbname
        owner.execute(f"CREATE ROLE {_BARE} LOGIN PASSWORD '{password}' IN ROLE {PARENT}".encode())
    return Login(server.port, database, _BARE, password)


async def measure(report: Report, ways: Ways, *, is_quick: bool) -> None:
    """Every way in turn, so that a slow minute of the machine hits all of them."""
    few, many, rounds = (1, 10, 1) if is_quick else (60, 1_000, 3)
    if not is_quick:
        await ways.guarded(BEFORE, "prepared", 10)  # rules and catalogues are loaded
    told = Told()
    for _ in range(rounds):
        for protocol in ("simple", "extended", "prepared"):
            ours = await ways.guarded(BEFORE, protocol, few)
            direct = await ways.direct(protocol, many)
            told.compared(f"{protocol}_vs_direct", ours, direct)
            told.rate(f"{protocol}_per_s", ours)
            told.rate(f"{protocol}_direct_per_s", direct)
            told.logins.append((ours.logins_ms, direct.logins_ms))
            if protocol != "prepared":
                continue
            beside = await ways.guarded(WITH, protocol, few)
            told.compared("prepared_with_vs_direct", beside, direct)
            told.rate("prepared_with_per_s", beside)
            if not ways.bouncer:
                continue
            bounced = await ways.bounced(protocol, many)
            told.compared("prepared_vs_pgbouncer", ours, bounced)
            told.rate("prepared_pgbouncer_per_s", bounced)
    told.say(report)


async def compare(
    report: Report,
    server: ThrowawayPostgres,
    targets: dict[str, Prepared],
    folder: Path,
    *,
    is_quick: bool,
) -> None:
    port = free_port()
    behind = Behind(Gateway(GATEWAY, POSTGRESQL, "127.0.0.1", port, "disable"), TARGETS)
    settings = tuple(prepared.settings for prepared in targets.values())
    for prepared in targets.values():
        fill(prepared)
    bare = bare_login(server, targets[BEFORE])
    async with installed(folder, settings, behind=behind) as installation:
        await installation.open_incident()
        activations = {name: (await installation.activate(name)).id for name in TARGETS}
        ways = Ways(installation, bare, 0, activations, port, 4 if is_quick else CLIENTS)
        with ExitStack() as stack:
            program = pgbouncer.binary()
            if program is None:
                report.note("PgBouncer is not installed, so it was left out (Debian: pgbouncer)")
            else:
                report.note(f"{pgbouncer.version(program)} in session mode; it decides nothing")
                ways.bouncer = stack.enter_context(
                    pgbouncer.running(program, server.port, bare.database, bare.user, bare.password)
                )
            async with listening(installation, port):
                await measure(report, ways, is_quick=is_quick)
        for activation in activations.values():
            await installation.give_back(activation)
        entries = await installation.services.store.read(
            lambda view: must_be_on_record(view, ways.passed)
        )
        report.figure("statements_on_record", ways.passed, 0)
        report.figure("entries", entries, 0)
    left = alive(targets[BEFORE].owner_url, INSTALLATION)
    must(left == 0, f"{left} accounts or sessions are left")


def main() -> None:
    chosen = options(__doc__)
    report = Report()
    if shutil.which("pgbench") is None:
        fail("pgbench is not on this machine (Debian: postgresql-contrib)")
    with tempfile.TemporaryDirectory() as folder, postgres(is_durable=not chosen.quick) as server:
        targets = {
            name: prepare(server, name, INSTALLATION, sessions=CLIENTS + _SPARE) for name in TARGETS
        }
        run(compare(report, server, targets, Path(folder), is_quick=chosen.quick))
    report.finish(as_json=chosen.json)


if __name__ == "__main__":
    main()
