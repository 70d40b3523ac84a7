"""A lease: one credential on one target until one moment, and how it dies.

``planned → live → ending → ended``. There is no "gave up" state: a lease whose revocation keeps
failing stays ``ending``, is loud, and is retried for ever (I6).
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from callpoint.domain.errors import ConflictError
from callpoint.domain.record import Index
from callpoint.domain.undo_plan import UndoPlan


class LeaseState(StrEnum):
    """Where a lease is in its life."""

    PLANNED = "planned"
    LIVE = "live"
    ENDING = "ending"
    ENDED = "ended"


TRANSITIONS: dict[LeaseState, frozenset[LeaseState]] = {
    LeaseState.PLANNED: frozenset({LeaseState.LIVE, LeaseState.ENDING}),
    LeaseState.LIVE: frozenset({LeaseState.ENDING}),
    LeaseState.ENDING: frozenset({LeaseState.ENDED}),
    LeaseState.ENDED: frozenset(),
}


class Rung(StrEnum):
    """Where on the ladder a revocation got stuck (I6)."""

    DISABLE = "disable"
    KILL = "kill"
    REVOKE = "revoke"
    VERIFY = "verify"


class Lease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored row of one credential; ``moved`` is the only way to change its state.

    Attributes:
        id: The handle.
        activation: The activation that it belongs to.
        plan: The frozen undo plan.
        box: What the requester may fetch: the credential sealed to its one-time key (an age
            file, base64), empty until live and after the end.
        probe: The secret kept for the control attempt, sealed to the installation (base64);
            erased after it, at the latest 24 h after ``plan.not_after`` (I5).
        baseline: What the target held before issue, for the persistence diff.
        attempts: Revocation attempts so far; never limited.
        due_at: When the next work on this lease is due.
        claimed_until: A worker holds it until then.
        probed: What the control attempt before disabling said (``Attempt``), or empty.
        is_silent: The newest attempt got no answer at all.
        attested_by: Persons who say that the target no longer exists.
    """

    id: str
    activation: str
    principal: str
    plan: UndoPlan
    state: LeaseState = LeaseState.PLANNED
    due_at: datetime | None = None
    claimed_until: datetime | None = None
    attempts: int = 0
    rung: Rung = Rung.REVOKE
    box: str = ""
    probe: str = ""
    probed: str = ""
    baseline: dict[str, list[str]] | None = None
    last_error: str = ""
    is_silent: bool = False
    attested_by: tuple[str, ...] = ()
    ended_at: datetime | None = None
    evidence: str = ""
    version: int = 0

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index(
            state=self.state,
            parent=self.activation,
            subject=self.plan.target,
            due_at=self.due_at,
            priority=self.plan.privilege.priority,
        )

    def stored(self, version: int) -> "Lease":
        return msgspec.structs.replace(self, version=version)

    def moved(self, to: LeaseState) -> "Lease":
        """Move along the transition table.

        Raises:
            ConflictError: The table has no such step.
        """
        if to not in TRANSITIONS[self.state]:
            raise ConflictError(f"lease {self.id} is {self.state} and cannot become {to}")
        return msgspec.structs.replace(self, state=to)

    def due(self, at: datetime | None) -> "Lease":
        """The same lease with its next work due at ``at`` and no claim on it."""
        return msgspec.structs.replace(self, due_at=at, claimed_until=None)

    def buried(self, at: datetime, evidence: str) -> "Lease":
        """Ended; what was kept for the attempt, and the baseline, are erased.

        Raises:
            ConflictError: It is not ending.
        """
        return msgspec.structs.replace(
            self.moved(LeaseState.ENDED).due(None),
            probe="",
            box="",
            baseline=None,
            ended_at=at,
            evidence=evidence,
            last_error="",
        )

    def without_box(self) -> "Lease":
        """The credential can no longer be fetched."""
        return msgspec.structs.replace(self, box="")
