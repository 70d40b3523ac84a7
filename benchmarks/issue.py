"""From request to credential, and from return to proven dead, beside OpenBao and the bare server.

    python -m benchmarks.issue --json [--store postgresql]

Ours, through the life cycle in one process, with the real store, log, keys and connector: request
(policy decided), one signed vote of another person, issue (votes and state proven from the log,
intent under a checkpoint before the first call to the target), `live` under a checkpoint, and the
sealed credential revealed. Its end: returned, the credential tried, disabled, sessions ended, what
it left compared, dropped, verified absent and refused, recorded. Left out: HTTP, request signatures
and people; the benchmark makes the approver's signature itself.

OpenBao's end is ``sys/leases/revoke`` with ``sync``: it drops the role, and proves nothing.
"""

import argparse
import asyncio
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import openbao
from benchmarks.bare_roles import bare_roles
from benchmarks.installation import INSTALLATION, Installed, installed
from benchmarks.load import Took, together, work_off
from benchmarks.loop import run
from benchmarks.report import Report, median_ratio, must, options
from benchmarks.servers import Prepared, alive, make_database, postgres, prepare
from callpoint.audit.checkpoint import parse_checkpoint
from callpoint.audit.note import parse_note
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.removal import REFUSED
from callpoint.ports.stores import View, Where

CLIENTS = (1, 16)
TARGET = "orders-db"
Phases = dict[str, list[Took]]


async def ours(installation: Installed, count: int, clients: int) -> tuple[Took, Took]:
    """So many credentials made, then all of them given back."""
    made, issued = await work_off([TARGET] * count, clients, installation.credential)
    _, revoked = await work_off([a.id for a in made], clients, installation.give_back)
    return issued, revoked


async def peers(bao: openbao.OpenBao, count: int, clients: int) -> tuple[Took, Took]:
    """The same of OpenBao."""
    free: asyncio.Queue[openbao.Client] = asyncio.Queue()
    for _ in range(clients):
        free.put_nowait(await openbao.Client.open(bao))

    async def create(_: int) -> str:
        client = await free.get()
        answer = await client.call("GET", "database/creds/repair")
        free.put_nowait(client)
        return str(answer["lease_id"])

    async def end(lease: str) -> None:
        client = await free.get()
        await client.call("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})
        free.put_nowait(client)

    made, issued = await work_off(range(count), clients, create)
    _, revoked = await work_off(made, clients, end)
    while not free.empty():
        free.get_nowait().close()
    return issued, revoked


async def bare(server: ThrowawayPostgres, count: int, clients: int) -> tuple[Took, Took, Took]:
    """The same of the server itself; the last is the end with the least that proves it."""
    names = [f"bare_{secrets.token_hex(6)}" for _ in range(count)]
    async with bare_roles(server, clients) as roles:
        issued = await roles.create(names, clients)
        revoked = await roles.end(names, clients)
        await roles.create(names, clients)
        return issued, revoked, await roles.end_proven(names, clients)


def must_be_proven(view: View, count: int) -> None:
    """Every lease has ended, proven and refused, and its end is under the newest checkpoint."""
    held = view.select(Lease, Where(limit=10**6))
    must(len(held) == count, f"{len(held)} leases of {count}")
    wrong = [x.id for x in held if x.state is not LeaseState.ENDED or x.evidence != REFUSED]
    must(not wrong, f"not proven dead: {wrong[:5]}")
    size = parse_checkpoint(parse_note(view.checkpoint().encode()).text).size
    for lease in held:
        entries = view.entries(f"activation:{lease.activation}")
        is_proven = b"lease:ended" in entries[-1].leaf and entries[-1].index < size
        waits = view.unnumbered(f"activation:{lease.activation}")
        must(is_proven and not waits, f"the end of {lease.id} is not under the checkpoint")


async def measure(
    report: Report,
    server: ThrowawayPostgres,
    target: Prepared,
    bao: openbao.OpenBao | None,
    folder: Path,
    chosen: argparse.Namespace,
) -> None:
    store_dsn = ""
    if chosen.store == "postgresql":
        make_database(server, "store")
        store_dsn = server.superuser_url("store")
    sizes = {1: 3, 16: 16} if chosen.quick else {1: 40, 16: 240}
    total = 0
    async with installed(folder, (target.settings,), store_dsn=store_dsn) as installation:
        await installation.open_incident()
        await ours(installation, 1, 1)  # rules and connections are loaded before the clock starts
        total += 1
        for clients in CLIENTS:
            phases: Phases = {}
            rounds = 1 if chosen.quick else 3
            for _ in range(rounds):
                count = sizes[clients]
                _keep(phases, "", await ours(installation, count, clients))
                if bao is not None:
                    _keep(phases, "openbao_", await peers(bao, count, clients))
                *limits, proven = await bare(server, count, clients)
                _keep(phases, "limit_", limits)
                phases.setdefault("proven_limit_revoke", []).append(proven)
                total += count
            _tell(report, phases, clients)
        await installation.services.store.read(lambda view: must_be_proven(view, total))
    left = alive(target.owner_url, INSTALLATION)
    must(left == 0, f"{left} accounts or sessions are left")


def _keep(phases: Phases, who: str, took: Sequence[Took]) -> None:
    for what, phase in zip(("issue", "revoke"), took, strict=True):
        phases.setdefault(who + what, []).append(phase)


def _tell(report: Report, phases: Phases, clients: int) -> None:
    for name, rounds in phases.items():
        whole = together(rounds)
        report.timed(f"{name}_{clients}", whole.calls, whole.whole)
    if clients != CLIENTS[-1]:
        return
    pairs = {
        "issue_vs_openbao": ("issue", "openbao_issue", ">= 1"),
        "issue_vs_limit": ("issue", "limit_issue", ""),
        "revoke_vs_limit": ("revoke", "limit_revoke", ""),
        "revoke_vs_proven_limit": ("revoke", "proven_limit_revoke", ""),
    }
    for name, (mine, theirs, aim) in pairs.items():
        if theirs in phases:
            both = zip(phases[mine], phases[theirs], strict=True)
            report.ratio(name, median_ratio([(a.rate, b.rate) for a, b in both]), aim)


def main() -> None:
    chosen = options(
        __doc__,
        (
            "--store",
            {
                "choices": ("sqlite", "postgresql"),
                "default": "sqlite",
                "help": "where Callpoint keeps state and log; the target is always PostgreSQL",
            },
        ),
    )
    report = Report()
    program = openbao.binary()
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres(is_durable=not chosen.quick) as server,
        ExitStack() as stack,
    ):
        target = prepare(server, TARGET, INSTALLATION)
        bao = None
        if program is None:
            report.note("OpenBao is not installed, so it was left out: run `make benchmarks`")
        else:
            bao = stack.enter_context(openbao.running(server, program))
            report.note(
                f"OpenBao {openbao.installed_version()} in dev mode stores nothing durably;"
                " ours has every step on the disk and under a signed checkpoint"
            )
        run(measure(report, server, target, bao, Path(folder), chosen))
    report.finish(as_json=chosen.json)


if __name__ == "__main__":
    main()
