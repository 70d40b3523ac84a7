"""Every due revocation of one target, in order, until none is due (I6, I7).

Each target has its own queue and its own workers, so a dead one keeps no other waiting. In it the
most privileged goes first, and of these the oldest; every few picks the oldest goes, whatever its
privilege, so that nothing waits for ever behind what is more privileged and does not die.
The queue is the store: a worker looks for the next one when it is free, so what becomes due
meanwhile finds its place, and memory and tasks stay bounded however many are due.
"""

from datetime import datetime
from functools import partial

import msgspec

from callpoint.domain.errors import CallpointError
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.revoke import revoke, together
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import View, Where

_OLDEST_EVERY = 8
"""One pick of so many goes by age alone."""

_STATES = (LeaseState.ENDING,)


class Drained(msgspec.Struct, frozen=True):
    """What was done at one target.

    Attributes:
        dead: Leases that were proven dead.
        failed: Attempts that did not prove it; each is due again.
        errors: One line for each lease that our own side could not work on now.
    """

    dead: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()


async def due_targets(services: Services) -> tuple[str, ...]:
    """Targets with a revocation that is due now."""
    return await services.store.read(lambda view: view.subjects(Lease, _STATES, view.now()))


async def drain(services: Services, target: str, *, due_before: datetime | None = None) -> Drained:
    """Revoke what is due on a target, ``limits.per_target`` at a time.

    Args:
        services: Of this process.
        target: Its configured name; it need not be configured any more.
        due_before: Only what was due by then, so that it comes to an end while leases fail and
            become due again. None: until nothing is due.
    """
    queue = _Queue(services, target, due_before)
    await together(queue.work() for _ in range(services.limits.per_target))
    return Drained(queue.dead, queue.failed, tuple(queue.errors))


class _Queue:
    """What the workers of one target share."""

    def __init__(self, services: Services, target: str, due_before: datetime | None) -> None:
        self._services = services
        self._target = target
        self._due_before = due_before
        self._passed_over: set[str] = set()
        self._picks = 0
        self.dead = 0
        self.failed = 0
        self.errors: list[str] = []

    async def work(self) -> None:
        """One after the other, until there is none."""
        while True:
            try:
                lease = await self._next()
            except CallpointError as error:  # the store is away: the next pass goes on
                self.errors.append(f"{self._target}: {error.message}")
                return
            if lease is None:
                return
            try:
                proven = await revoke(self._services, lease, self._target)
            except CallpointError as error:
                # It stays due: left alone until the next drain, or it would be tried without end.
                self.errors.append(f"{lease}: {error.message}")
                continue
            self._passed_over.discard(lease)
            self.dead += proven
            self.failed += not proven

    async def _next(self) -> str | None:
        """The next lease's id, kept from the other workers; None when nothing is due."""
        self._picks += 1
        by_priority = self._picks % _OLDEST_EVERY != 0
        while True:
            # As many as may be in other hands or cannot be worked on, and one more.
            most = len(self._passed_over) + 1
            found = await self._services.store.read(
                partial(self._due, most, by_priority=by_priority)
            )
            for lease in found:
                if lease.id not in self._passed_over:
                    self._passed_over.add(lease.id)
                    return lease.id
            if len(found) < most:
                return None

    def _due(self, most: int, view: View, *, by_priority: bool) -> tuple[Lease, ...]:
        where = Where(
            states=_STATES,
            subject=self._target,
            due_before=self._due_before or view.now(),
            by_priority=by_priority,
            limit=most,
            skip_spoilt=True,
        )
        return view.select(Lease, where)
