"""A thousand leases that are due at the same moment, one target dead, one slow.

    python -m benchmarks.storm --json

Four targets on a real PostgreSQL: two healthy ones, one behind 20 ms of distance, one that has died
(it accepts connections and never answers). A quarter of the leases is on each. They are issued by
the life cycle, then the store's clock moves past their end, and one sweep begins. The limit is what
a superuser's bare statements need to disable, end and drop as many roles as the healthy targets
hold, with as many at once. When all that can be reached is dead, the dead target comes back, and in
the end nothing may be alive anywhere.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from benchmarks.bare_roles import bare_roles
from benchmarks.distance import Distance, distance
from benchmarks.installation import INSTALLATION, Installed, installed
from benchmarks.load import work_off
from benchmarks.loop import run
from benchmarks.moved_clock import MovedClock
from benchmarks.report import Report, must, options
from benchmarks.servers import Prepared, alive, postgres, prepare
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.services import Limits
from callpoint.lifecycle.sweep import sweep
from callpoint.ports.stores import View, Where

HEALTHY, SLOW, DEAD = ("well-1", "well-2"), "slow", "dead"
TARGETS = (*HEALTHY, SLOW, DEAD)
_ONE_WAY = 0.01
_ISSUERS = 16
_PATIENCE = 300.0
_BEYOND_BACKOFF = timedelta(minutes=2)


async def measure(
    report: Report,
    server: ThrowawayPostgres,
    targets: Sequence[Prepared],
    ways: tuple[Distance, Distance],
    folder: Path,
    *,
    activations: int,
) -> None:
    far, dead = ways
    clock = MovedClock()
    settings = tuple(target.settings for target in targets)
    async with installed(folder, settings, clock=clock) as installation:
        await installation.open_incident()
        await work_off(range(activations), _ISSUERS, lambda _: installation.credential())
        report.figure("leases", await _open(installation, *TARGETS), 0)
        far.say(f"delay {_ONE_WAY}")
        dead.say("dead")
        on_healthy = activations * len(HEALTHY)
        limits = [await _limit(server, on_healthy)]
        clock.ahead += timedelta(hours=1, minutes=1)
        due = clock.now()
        await _storm(report, installation, dead)
        await installation.services.store.read(lambda view: _tell(report, view, due))
        limits.append(await _limit(server, on_healthy))
        await _finish(installation, clock)
    limit, proven = (sum(rates) / len(limits) for rates in zip(*limits, strict=True))
    report.figure("limit_revoke_per_s", limit, 1)
    report.figure("proven_limit_revoke_per_s", proven, 1)
    report.figure("live_after", alive(targets[0].owner_url, INSTALLATION), 0)
    must(report.figures["live_after"] == 0, "something is still alive")
    report.ratio("revoke_vs_limit", report.figures["revoke_per_s"] / limit, ">= 0.5")
    report.ratio("revoke_vs_proven_limit", report.figures["revoke_per_s"] / proven)


async def _storm(report: Report, installation: Installed, dead: Distance) -> None:
    """One sweep, until everything that can be reached is proven dead; then the dead comes back."""
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(sweep(installation.services))
        while await _open(installation, *HEALTHY, SLOW):
            must(time.perf_counter() - begun < _PATIENCE, "a healthy target starves")
            await asyncio.sleep(0.1)
        report.figure("open_on_dead_target", await _open(installation, DEAD), 0)
        dead.say("alive")


async def _finish(installation: Installed, clock: MovedClock) -> None:
    """What was dead is revoked when it answers again, without anybody asking for it."""
    for _ in range(20):
        if not await _open(installation, *TARGETS):
            return
        clock.ahead += _BEYOND_BACKOFF  # nobody waits here for the next attempt
        await sweep(installation.services)
    raise AssertionError("leases of the dead target stay open")


async def _open(installation: Installed, *targets: str) -> int:
    """Leases there that are not proven dead."""
    states = (LeaseState.PLANNED, LeaseState.LIVE, LeaseState.ENDING)

    def count(view: View) -> int:
        return sum(
            len(view.select(Lease, Where(states=states, subject=target, limit=10**6)))
            for target in targets
        )

    return await installation.services.store.read(count)


def _tell(report: Report, view: View, due: datetime) -> None:
    """When the last lease of each target was proven dead, and how many a second were."""
    held = view.select(Lease, Where(states=(LeaseState.ENDED,), limit=10**6))
    took = {
        name: [
            (x.ended_at - due).total_seconds() for x in held if x.plan.target == name and x.ended_at
        ]
        for name in TARGETS
    }
    healthy = [seconds for name in HEALTHY for seconds in took[name]]
    report.figure("slowest_healthy_s", max(healthy))
    report.figure("slow_target_s", max(took[SLOW]))
    report.figure("revoke_per_s", len(healthy) / max(healthy), 1)


async def _limit(server: ThrowawayPostgres, count: int) -> tuple[float, float]:
    """Bare revocations a second, as many and as many at once as on the healthy targets.

    The second figure is of those with the least that proves them: two logins and a look.
    """
    at_once = Limits().per_target * len(HEALTHY)
    names = [f"bare_{secrets.token_hex(6)}" for _ in range(count)]
    async with bare_roles(server, at_once) as roles:
        await roles.create(names, at_once)
        bare = await roles.end(names, at_once)
        await roles.create(names, at_once)
        return bare.rate, (await roles.end_proven(names, at_once)).rate


def _through(target: Prepared, server: ThrowawayPostgres, way: Distance) -> Prepared:
    """The same target as somebody sees it who is behind the proxy."""
    dsn = target.settings.dsn.replace(f":{server.port}/", f":{way.port}/")
    return Prepared(target.owner_url, msgspec.structs.replace(target.settings, dsn=dsn))


def main() -> None:
    chosen = options(
        __doc__, ("--leases", {"type": int, "default": 1000, "help": "due at once, on 4 targets"})
    )
    report = Report()
    activations = 3 if chosen.quick else -(-chosen.leases // len(TARGETS))
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres(is_durable=not chosen.quick) as server,
        ExitStack() as stack,
    ):
        far, dead = (stack.enter_context(distance(server.port)) for _ in range(2))
        targets = [prepare(server, name, INSTALLATION) for name in TARGETS]
        targets[2] = _through(targets[2], server, far)
        targets[3] = _through(targets[3], server, dead)
        run(measure(report, server, targets, (far, dead), Path(folder), activations=activations))
    report.note("all targets are one server, so the limit is that of one server as well")
    report.finish(as_json=chosen.json)


if __name__ == "__main__":
    main()
