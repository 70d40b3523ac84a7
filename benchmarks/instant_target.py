"""A target that answers at once, for what is measured on our own side only.

Not a connector: it keeps accounts in a set and proves nothing about any real target.
"""

from datetime import timedelta
from typing import cast

from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.targets import (
    Absence,
    Attempt,
    Connector,
    Credential,
    Issued,
    MintRequest,
    Persistence,
    ProbeResult,
    Residual,
)


def instant(target: str) -> dict[str, Connector]:
    """As the services take their connectors."""
    return {target: cast("Connector", InstantTarget(target))}


class InstantTarget:
    """Implements of ``ports.targets.Connector`` what an activation needs."""

    rotator = None

    def __init__(self, target: str) -> None:
        self.target = target
        self._accounts: set[str] = set()

    def plan(self, request: MintRequest) -> UndoPlan:
        return UndoPlan(
            connector="instant",
            target=self.target,
            role=request.role,
            handle=request.handle,
            account=f"cp_{request.handle}",
            not_after=request.not_after,
            details={},
        )

    async def issue(self, plan: UndoPlan) -> Issued:
        self._accounts.add(plan.account)
        credential = Credential(username=plan.account, secret="x" * 32, endpoint={}, hint="")
        return Issued(credential=credential, baseline={})

    async def probe(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        is_there = plan.account in self._accounts
        return ProbeResult(Attempt.ACCEPTED if is_there else Attempt.REFUSED, credential.hint)

    async def disable(self, plan: UndoPlan) -> None:
        self._accounts.discard(plan.account)

    async def kill_sessions(self, plan: UndoPlan) -> int:  # noqa: ARG002 -- it has none
        return 0

    async def diff_persistence(
        self,
        plan: UndoPlan,  # noqa: ARG002 -- nothing is ever left on it
        baseline: dict[str, list[str]] | None,  # noqa: ARG002 -- likewise
    ) -> tuple[Persistence, ...]:
        return ()

    async def revoke(self, plan: UndoPlan) -> None:
        self._accounts.discard(plan.account)

    async def verify_absent(self, plan: UndoPlan, credential: Credential | None) -> Absence:
        attempt = None if credential is None else await self.probe(plan, credential)
        return Absence(in_catalogue=plan.account in self._accounts, sessions=0, attempt=attempt)

    async def residual(self) -> Residual:
        return Residual(bound=timedelta(seconds=1), because="it has no sessions")

    async def skew(self) -> timedelta:
        return timedelta(0)
