"""After the last death: time passes, one clean process sweeps once, and nothing may be left."""

import asyncio
from collections.abc import Iterable

import asyncpg
import msgspec

from callpoint.audit.verify import verify_log
from callpoint.domain.activation import Activation, ActivationState, fold
from callpoint.domain.event import LeaseEnded
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle import reconcile, sweep
from callpoint.lifecycle.proof import Proven, proven
from callpoint.ports.stores import View, Where
from tests.crash.fuse import Fuse
from tests.crash.site import LIMITS, TTL, Site, open_world
from tests.fakes.world import ORIGIN, World, installation

_ALL = 10**6


class Verdict(msgspec.Struct, frozen=True):
    """What was left.

    Attributes:
        leases: Leases ever planned.
        live: Accounts on the target, and sessions of accounts that are gone.
        orphans: Leases that are not proven dead.
        missing: Activations or leases whose rows and events do not tell the same story.
        findings: What the verifier says of the whole log.
    """

    leases: int
    live: int
    orphans: int
    missing: int
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not (self.live or self.orphans or self.missing or self.findings)


async def judge(site: Site) -> Verdict:
    """Let every lease run out and every claim of a dead process end, then sweep once and look."""
    await asyncio.sleep((TTL + LIMITS.claim_for).total_seconds() + 0.5)
    world = await open_world(site, Fuse(0))
    try:
        await sweep.sweep(world.services)
        await reconcile.reconcile(world.services)
        return await _look(site, world)
    finally:
        await world.services.store.close()


async def _look(site: Site, world: World) -> Verdict:
    store = world.services.store
    leases = await store.read(lambda view: view.select(Lease, Where(limit=_ALL)))
    return Verdict(
        leases=len(leases),
        live=await _live(site),
        orphans=sum(lease.state is not LeaseState.ENDED for lease in leases),
        missing=await store.read(lambda view: _missing(view, leases)),
        findings=await store.read(lambda view: _verified(view, site)),
    )


async def _live(site: Site) -> int:
    """As a superuser: accounts in the catalogue, and sessions whose account is gone."""
    owner = await asyncpg.connect(site.owner_dsn)
    try:
        accounts = await owner.fetchval(
            "SELECT count(*) FROM pg_roles WHERE starts_with(rolname::text, $1)", "cp_tstinc"
        )
        ghosts = await owner.fetchval(
            "SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid)"
        )
    finally:
        await owner.close()
    return int(accounts) + int(ghosts)


def _missing(view: View, leases: Iterable[Lease]) -> int:
    """Every row is the fold of its events, every ended lease has its proof, none is active."""
    wrong = 0
    for row in view.select(Activation, Where(limit=_ALL)):
        stream = activation_stream(row.id)
        events = proven(view, installation(), [stream])[stream]
        logged = fold((item.event, item.at) for item in events)
        own = [lease for lease in leases if lease.activation == row.id]
        agrees = msgspec.structs.replace(row, version=0) == logged
        if not agrees or row.state is ActivationState.ACTIVE or not _proofs(events, own):
            wrong += 1
    return wrong


def _proofs(events: tuple[Proven, ...], leases: list[Lease]) -> bool:
    buried = [item.event.lease for item in events if isinstance(item.event, LeaseEnded)]
    return sorted(buried) == sorted(lease.id for lease in leases)


def _verified(view: View, site: Site) -> tuple[str, ...]:
    """The stand-alone verifier over the whole log, against the checkpoint outside the database."""
    entries = [entry.leaf for entry in view.log_slice(0, _ALL)]
    report = verify_log(
        entries,
        view.checkpoint().encode(),
        installation().log_key,
        earlier=site.checkpoint_file.read_bytes(),
        origin=ORIGIN,
    )
    return tuple(str(finding) for finding in report.findings)
