"""A thousand leases that are due at once, on targets of which one is dead and one is slow.

Rows are put into the store as issue leaves them, without a request and votes each: what is tested
is their end.
"""

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import msgspec

from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.eligibility import Opening
from callpoint.domain.ids import handle
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.privilege import Privilege
from callpoint.lifecycle.services import Limits
from callpoint.ports.stores import Store, Transaction, Where
from callpoint.ports.targets import MintRequest
from tests.fakes.clock import SeededRandom
from tests.fakes.simulated_target import SimulatedTarget
from tests.fakes.world import INSTALLATION, World, assemble, eligibility, found_world

DEAD, SLOW, HEALTHY = "dead", "slow", ("well-1", "well-2")
TARGETS = (DEAD, SLOW, *HEALTHY)
LIMITS = Limits(
    step_within=timedelta(seconds=2),
    backoff_base=timedelta(milliseconds=200),
    backoff_cap=timedelta(milliseconds=400),
)


class StormTarget(SimulatedTarget):
    """A target that may never answer, or take its time.

    Attributes:
        silence: While it is set, no call returns.
        pause: Before each call is answered.
        most_busy: Calls that were under way at once, at most.
    """

    silence: asyncio.Event | None = None
    pause = 0.0
    busy = 0
    most_busy = 0

    async def call(self, method: str, account: str) -> AbstractContextManager[None]:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            if self.silence is not None:
                await self.silence.wait()
            await asyncio.sleep(self.pause)
        finally:
            self.busy -= 1
        return await super().call(method, account)

    def begun(self) -> list[str]:
        """Accounts in the order in which their revocation began, each once."""
        return list(dict.fromkeys(account for _, account in self.calls if account))


@dataclass
class Storm:
    """Leases and targets."""

    world: World
    targets: dict[str, StormTarget]
    leases: dict[str, Lease] = field(default_factory=dict)

    def heal(self) -> None:
        """The dead target answers again."""
        target = self.targets[DEAD]
        assert target.silence is not None
        target.silence.set()
        target.silence = None

    async def open(self, *targets: str) -> int:
        """Leases on the targets that are not proven dead."""

        def count(view) -> int:
            where = Where(limit=10_000)
            found = view.select(Lease, where)
            return sum(x.plan.target in targets and x.state is not LeaseState.ENDED for x in found)

        return await self.world.services.store.read(count)


async def make_storm(store: Store, clock, *, activations: int) -> Storm:
    """Found an installation, and let so many activations run out, each with a lease on each target.

    What is on the dead target is the oldest, so that it would be first in any single queue.
    """
    random = SeededRandom(5)
    targets = {name: StormTarget(name, clock, random, INSTALLATION) for name in TARGETS}
    targets[SLOW].pause = 0.02
    opens = tuple(Opening(name, "repair") for name in TARGETS)
    world = assemble(
        eligibility(opens=opens),
        store=store,
        clock=clock,
        random=random,
        targets=dict(targets),
        limits=LIMITS,
    )
    await found_world(world)
    await world.incident(targets=TARGETS)
    storm = Storm(world, targets)
    template = await world.ask()
    targets[DEAD].silence = asyncio.Event()
    for start in range(0, activations, 50):
        numbers = range(start, min(start + 50, activations))
        await store.transact(partial(storm_rows, storm, template, numbers))
    return storm


def storm_rows(storm: Storm, template: Activation, numbers: range, tx: Transaction) -> None:
    """As issue leaves them, but for the one thing that time changed: all of them are over."""
    for n in numbers:
        key = f"s{n:011d}"
        not_after = tx.now() - timedelta(minutes=1, milliseconds=n * 7919 % 1000)
        tx.put(
            msgspec.structs.replace(
                template,
                request=msgspec.structs.replace(template.request, activation=key),
                state=ActivationState.ACTIVE,
                activated_at=tx.now() - timedelta(hours=1),
                not_after=not_after,
                version=0,
            )
        )
        for m, (name, target) in enumerate(storm.targets.items()):
            at = not_after - timedelta(hours=name == DEAD)
            made = target.plan(MintRequest(handle(INSTALLATION, key, m), name, "repair", at))
            plan = msgspec.structs.replace(made, privilege=tuple(Privilege)[n % 4])
            account = target.plant(plan.handle, lifetime=timedelta(hours=1))
            target.open_session(account.name, "planted")
            lease = Lease(plan.handle, key, "alice", plan, LeaseState.LIVE, due_at=at)
            storm.leases[plan.account] = tx.put(lease)
