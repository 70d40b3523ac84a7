"""What Callpoint asks of a target: mint, disable, kill, revoke, and prove that it is gone.

A connector is the adapter for one kind of target. Its contract
(``tests/contract/test_targets_contract.py`` runs against each of them and the simulated target):

* Every method may be called again with the same plan, at any time, by another process, after any
  crash: ``issue`` excepted, all are idempotent.
* A connector raises only ``TargetRefusedError`` (it answered no: not done) and
  ``TargetUnknownError`` (no answer: perhaps done). The caller retries; a connector never does
  for longer than its own time limit, and each call returns within ``CALL_LIMIT``.
* It never logs or raises a secret (I14), and acts only on handles of its own installation (I8).
"""

from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.credential import Attempt, Credential, ProbeResult
from callpoint.ports.inventory import Account
from callpoint.ports.rotation import Rotator

__all__ = [
    "CALL_LIMIT",
    "Absence",
    "Attempt",
    "Check",
    "Connector",
    "Credential",
    "Issued",
    "ManagedAccount",
    "MintRequest",
    "Persistence",
    "ProbeResult",
    "Residual",
    "SelfTest",
]

CALL_LIMIT = timedelta(seconds=15)


class MintRequest(msgspec.Struct, frozen=True):
    """What a connector needs to plan one credential.

    Attributes:
        handle: ``[a-z0-9]{1,24}``; the connector adds its prefix.
        target: The target's configured name.
        role: The target role, a key of the target's ``roles``.
        not_after: When the target itself must refuse (UTC).
        sources: Networks in CIDR form that the actor connects from; empty for any.
    """

    handle: str
    target: str
    role: str
    not_after: datetime
    sources: tuple[str, ...] = ()


class Issued(msgspec.Struct, frozen=True):
    """What ``issue`` did: the credential, and the target's state just before (for the diff)."""

    credential: Credential
    baseline: dict[str, list[str]]


class Absence(msgspec.Struct, frozen=True):
    """What verification saw (I5). ``dead`` is true only if every part of it was seen.

    Attributes:
        in_catalogue: The account still exists on the target.
        sessions: Live sessions of the account over all declared endpoints.
        unreachable: Endpoints that did not answer: unknown, so not dead.
        attempt: The old credential, tried again; None when none was kept ("absent, not tried").
        rotated: Of a checked-out account, which stays: what the *new* secret was told. Right also
            proves that whatever secret the actor set itself is gone.
        sessions_seen: False: the target cannot say who is on it (of a checked-out account only).
    """

    in_catalogue: bool
    sessions: int
    unreachable: tuple[str, ...] = ()
    attempt: ProbeResult | None = None
    rotated: ProbeResult | None = None
    sessions_seen: bool = True

    @property
    def dead(self) -> bool:
        """Gone or rotated, no session anywhere, and not accepted or unknown when tried."""
        refused = self.attempt is None or self.attempt.attempt is Attempt.REFUSED
        right = (Attempt.ACCEPTED, Attempt.LOCKED)
        gone = not self.in_catalogue or (self.rotated and self.rotated.attempt in right)
        return bool(gone) and self.sessions == 0 and not self.unreachable and refused


class Persistence(msgspec.Struct, frozen=True):
    """Something that a use left behind: a role, grant, function, trigger, changed password."""

    kind: str
    name: str
    detail: str = ""


class ManagedAccount(msgspec.Struct, frozen=True):
    """An account on the target that carries this installation's handle."""

    handle: str
    account: str
    enabled: bool
    not_after: datetime | None


class Residual(msgspec.Struct, frozen=True):
    """Worst-case access that outlives expiry when Callpoint is dead (I3).

    Attributes:
        bound: None means unbounded: nothing on the target ends a live session.
        because: One sentence that an approver understands.
        way_out: What would bound it; empty: what `callpoint target prepare` prints.
    """

    bound: timedelta | None
    because: str
    way_out: str = ""


class Check(msgspec.Struct, frozen=True):
    """One line of a selftest: can the broker really do this, and no more?

    Attributes:
        excess: A failure means that the broker can do more than its task, not less.
    """

    name: str
    ok: bool
    detail: str = ""
    way_out: str = ""
    excess: bool = False


class SelfTest(msgspec.Struct, frozen=True):
    """Onboarding report of a target."""

    checks: tuple[Check, ...]
    residual: Residual
    skew: timedelta

    @property
    def ok(self) -> bool:
        """Every check passed."""
        return all(check.ok for check in self.checks)


class Connector(Protocol):
    """The adapter for one configured target."""

    @property
    def target(self) -> str:
        """The configured name of the target."""
        ...

    @property
    def rotator(self) -> Rotator | None:
        """What handles accounts that are checked out; None when it mints only.

        Plans of such accounts have ``kind = checked_out``. Of the methods below, ``issue`` and
        ``revoke`` refuse them; ``disable`` locks the account where that is possible.
        """
        ...

    def plan(self, request: MintRequest) -> UndoPlan:
        """Freeze how this credential will be undone. Pure: no call to the target.

        Raises:
            RequestError: The target has no such role.
        """
        ...

    def adopt(self, account: ManagedAccount) -> UndoPlan:
        """An undo plan for an account that no lease explains, to remove it. Pure."""
        ...

    async def issue(self, plan: UndoPlan) -> Issued:
        """Create exactly the planned account, expiring at ``plan.not_after`` on the target itself.

        On ``TargetUnknownError`` the account may exist: the caller must revoke by the plan and
        never call ``issue`` again with it.
        """
        ...

    async def probe(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        """Log in as the account and leave at once. Never raises for a refusal."""
        ...

    async def disable(self, plan: UndoPlan) -> None:
        """No new session can begin after return. No error if the account does not exist."""
        ...

    async def kill_sessions(self, plan: UndoPlan) -> int:
        """End live sessions on every declared endpoint; returns how many are still there."""
        ...

    async def diff_persistence(
        self, plan: UndoPlan, baseline: dict[str, list[str]] | None
    ) -> tuple[Persistence, ...]:
        """What exists now that did not before and that this use may have left."""
        ...

    async def revoke(self, plan: UndoPlan) -> None:
        """Remove the account and what it owns. No error if it is already gone."""
        ...

    async def verify_absent(self, plan: UndoPlan, credential: Credential | None) -> Absence:
        """Look, and try the old credential. Reports; never repairs."""
        ...

    async def list_managed(self) -> tuple[ManagedAccount, ...]:
        """Every account on the target that carries this installation's handle, and no other."""
        ...

    async def inventory(self) -> tuple[Account, ...]:
        """Every account that can begin a session or holds a power over the target, also others'.

        It only looks; what the target does not keep, or the broker may not see, is told as
        unknown, never guessed.
        """
        ...

    async def selftest(self, *, trial: bool = True) -> SelfTest:
        """Can the broker do all of the above, and what could it do beyond?

        Args:
            trial: Also make an account, use and end it. Without, nothing on the target changes.
        """
        ...

    async def residual(self) -> Residual:
        """Worst-case access that outlives expiry when Callpoint is dead; as in ``selftest``."""
        ...

    async def skew(self) -> timedelta:
        """The target's clock minus ours."""
        ...
