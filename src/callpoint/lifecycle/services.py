"""What every step needs, handed over once by the composition root."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from callpoint.domain.errors import ClockError, StoreUnavailableError
from callpoint.domain.event_form import Private
from callpoint.domain.governance import Installation
from callpoint.lifecycle.live_sessions import LiveSessions
from callpoint.lifecycle.node import Node
from callpoint.lifecycle.pep import Pep
from callpoint.lifecycle.removal import STEP_LIMIT
from callpoint.lifecycle.rules import RuleBook
from callpoint.lifecycle.verified_log import VerifiedLog
from callpoint.ports.clock import Clock, Random
from callpoint.ports.keys import Sealer, Vault, Verifier
from callpoint.ports.notifiers import Notifier
from callpoint.ports.stores import Store, View
from callpoint.ports.targets import Connector

SALT_SIZE = 16

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Numbers of the life cycle; the composition root may change them, nothing else does.

    Attributes:
        claim_for: A worker holds a lease so long; a dead worker's lease is taken over after it.
        issue_within: A planned lease that is not live by then is revoked.
        probe_within: How long the control attempt may hold up disabling.
        step_within: A call of a target that has not returned by then counts as unanswered.
        backoff_base: First wait after a failed revocation; doubles, with jitter.
        backoff_cap: Longest wait between two attempts (I6).
        per_target: Concurrent revocations on one target, so that a dead one starves nobody.
        probe_kept_for: A secret for the control attempt is erased so long after ``not_after`` (I5).
        skew: A target or store clock off by more than this gets no issue (I4).
        shortest: Time is never shortened below it (I16).
        stamp_every: How often a checkpoint is time-stamped; None where no authority is named.
        store_within: A kill does not wait longer for the store: then it goes on without (I13).
        begin_within: Whoever waits for revocations is answered without those not begun by then.
        strike_within: A target may hold up the answer to a kill without the store so long.
    """

    claim_for: timedelta = timedelta(seconds=60)
    issue_within: timedelta = timedelta(seconds=60)
    probe_within: timedelta = timedelta(seconds=3)
    step_within: timedelta = STEP_LIMIT
    backoff_base: timedelta = timedelta(seconds=1)
    backoff_cap: timedelta = timedelta(seconds=60)
    per_target: int = 8
    probe_kept_for: timedelta = timedelta(hours=24)
    skew: timedelta = timedelta(seconds=5)
    shortest: timedelta = timedelta(minutes=5)
    stamp_every: timedelta | None = None
    store_within: timedelta = timedelta(seconds=5)
    strike_within: timedelta = timedelta(seconds=60)
    begin_within: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class Services:
    """The ports and rules that the steps work with.

    Attributes:
        lanes: See ``lane``.
        log: What this process has verified of the log.
        live: Where gateways hear which sessions are cut; it listens on the store.
        compared: Targets that this process has compared with the leases since it began (I8).
    """

    installation: Installation
    store: Store
    rules: RuleBook
    pep: Pep
    clock: Clock
    random: Random
    notifier: Notifier
    sealer: Sealer
    vault: Vault
    verifier: Verifier
    targets: Mapping[str, Connector]
    limits: Limits = field(default_factory=Limits)
    lanes: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    log: VerifiedLog = field(default_factory=VerifiedLog)
    node: Node = field(default_factory=Node)
    live: LiveSessions = field(default_factory=LiveSessions)
    compared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store.listen(self.live.hear)

    def private(self, value: str) -> Private:
        """A personal value with a fresh salt."""
        return Private(salt=self.random.token(SALT_SIZE), value=value)

    def lane(self, target: str) -> asyncio.Semaphore:
        """The cap on concurrent revocations of one target (I6)."""
        return self.lanes.setdefault(target, asyncio.Semaphore(self.limits.per_target))

    async def answered(self, work: Awaitable[T]) -> T:
        """What the store answers to a kill, or the error that it does not, in time.

        Raises:
            StoreUnavailableError: It took longer than ``store_within``; it may still be done.
        """
        limit = self.limits.store_within.total_seconds()
        try:
            async with asyncio.timeout(limit):
                return await work
        except TimeoutError as error:
            raise StoreUnavailableError(f"the store did not answer within {limit:.0f} s") from error


def must_keep_time(view: View, services: Services) -> None:
    """Nothing is given while the store's clock is behind what it said before (I4).

    Raises:
        ClockError: It jumped back.
    """
    behind = view.skew()
    if behind > services.limits.skew:
        raise ClockError(
            f"the store's clock jumped back by {behind.total_seconds():.1f} s",
            way_out="repair the clock; if it had been ahead and is right now, stop the server and"
            " run `callpoint clock accept`; revocation goes on meanwhile",
        )


async def must_share_time(services: Services) -> None:
    """Expiry is fixed by the store's clock and kept by the target's; this node's is between them.

    With ``skew`` allowed on both sides an account ends at its target at most twice that away from
    ``not_after`` (I4).

    Raises:
        ClockError: The store's clock and this node's differ by more.
    """
    before = services.clock.now()
    there = await services.store.read(lambda view: view.now() - view.skew())
    after = services.clock.now()
    off = max(there - after, timedelta(0)) or min(there - before, timedelta(0))
    if abs(off) > services.limits.skew:
        raise ClockError(
            f"the store's clock and this server's differ by {off.total_seconds():+.1f} s",
            way_out="set both clocks (NTP); nothing is issued while nobody knows which is right,"
            " and revocation goes on",
        )
