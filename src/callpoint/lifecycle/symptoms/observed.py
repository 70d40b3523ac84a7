"""What a diagnosis looks at: facts of one moment, gathered once, judged by pure functions.

A new check takes its facts from here; what nobody gathered yet becomes a further member, with a
default, and one more line in ``lifecycle.diagnose``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from callpoint.domain.activation import Activation
from callpoint.domain.configuration import Configuration, Target
from callpoint.domain.epoch import Epoch
from callpoint.domain.errors import CallpointError
from callpoint.domain.governance import Installation
from callpoint.domain.incident import Incident
from callpoint.domain.lease import Lease
from callpoint.domain.offline_record import OfflineDebt
from callpoint.domain.outbox import Outbox
from callpoint.domain.session import Session
from callpoint.domain.witnessing import Watch
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.seen_by import Sighting
from callpoint.lifecycle.services import Limits
from callpoint.ports.stores import TimeStamp
from callpoint.ports.targets import Residual, SelfTest


@dataclass(frozen=True)
class TargetSeen:
    """What one target said, or why it said nothing.

    Attributes:
        name: Its configured name.
        report: The selftest without its trial account; None when there is none.
        silence: Why there is none: the target did not answer.
        refusal: Why there is none: the target, or our own side, answered no.
    """

    name: str
    report: SelfTest | None = None
    silence: str = ""
    refusal: str = ""

    @property
    def residual(self) -> Residual | None:
        """Worst case after expiry; None when it is unknown."""
        return self.report.residual if self.report else None


@dataclass(frozen=True)
class LogSeen:
    """The event log.

    Attributes:
        works: It can be extended and signed.
        waiting: Events of revocations that have no number yet.
        error: Why the newest checkpoint cannot be believed; None when it can.
        size: Entries under the newest checkpoint.
        stamp: The newest time stamp, None without any.
        sightings: What each configured witness has seen.
        watches: Witness's name to what it said last; one that was never asked is not in it.
    """

    works: bool
    waiting: int
    error: CallpointError | None = None
    size: int = 0
    stamp: TimeStamp | None = None
    sightings: tuple[Sighting, ...] = ()
    watches: Mapping[str, Watch] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeSeen:
    """What this node remembers for the time without the store.

    Attributes:
        waiting: Ids of tombstones that are not merged yet.
        refused: Ids of those that nobody signed.
        errors: What could not be looked at, or not be written down.
    """

    waiting: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    errors: tuple[CallpointError, ...] = ()


@dataclass(frozen=True)
class Observed:
    """Everything that was seen.

    Attributes:
        now: The store's clock.
        behind: How far the store's clock is behind what it said before.
        node: The node's clock minus the store's.
        configuration: The rules in force, or the last that were proven here; None without any.
        rules: The rules in force; None when they cannot be used now.
        rules_error: Why not.
        published: Number of the configuration that the database names; 0 without one.
        followed: Number of the one that this process works by; 0 without one.
        activations: All that are not over: requested, approved, active, or not reviewed.
        leases: All that are not proven dead.
        incidents: All that are not resolved.
        heard: Source to how many incidents it reported first within its ``stale_after``.
        spoilt: Kinds of rows of which at least one does not parse.
        targets: What each connector said.
        unusable: Configured targets without a connector here, and why.
        epoch: The one that goes on; None while it is the first.
        sessions: All through gateways that are not over.
        debts: Sessions that could go on without the authority, and whose gateway has not told all.
        outboxes: Where each signal stream stands that was looked at.
        node_memory: What this node remembers for the time without the store.
    """

    installation: Installation
    limits: Limits
    now: datetime
    behind: timedelta
    node: timedelta
    configuration: Configuration | None
    rules: Rules | None
    rules_error: CallpointError | None
    published: int
    followed: int
    activations: tuple[Activation, ...]
    leases: tuple[Lease, ...]
    incidents: tuple[Incident, ...]
    log: LogSeen
    heard: Mapping[str, int] = field(default_factory=dict)
    spoilt: tuple[str, ...] = ()
    targets: tuple[TargetSeen, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    node_memory: NodeSeen = field(default_factory=NodeSeen)
    epoch: Epoch | None = None
    outboxes: Mapping[str, Outbox] = field(default_factory=dict)
    sessions: tuple[Session, ...] = ()
    debts: tuple[OfflineDebt, ...] = ()

    @cached_property
    def _activations(self) -> Mapping[str, Activation]:
        return {found.id: found for found in self.activations}

    @cached_property
    def _incidents(self) -> Mapping[str, Incident]:
        return {found.id: found for found in self.incidents}

    def activation(self, name: str) -> Activation | None:
        """The activation of that id, None when it is over or not known."""
        return self._activations.get(name)

    def incident(self, name: str) -> Incident | None:
        """The incident of that id, None when it is over or not known."""
        return self._incidents.get(name)

    def open_on(self, target: str) -> tuple[Lease, ...]:
        """Credentials on a target that are not proven dead."""
        return tuple(lease for lease in self.leases if lease.plan.target == target)

    def configured(self, target: str) -> Target | None:
        """The target as the rules name it; None for one that left them."""
        return self.configuration.targets.get(target) if self.configuration else None


def ago(at: datetime, now: datetime) -> str:
    """``41 min``, ``3 h``, ``2 d``: one unit, for a sentence."""
    seconds = max(0, int((now - at).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clock(at: datetime) -> str:
    """``2026-11-24 03:12 UTC``."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def offset(span: timedelta) -> str:
    """``7.5 s ahead of``, ``7.5 s behind``."""
    seconds = span.total_seconds()
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'}"
