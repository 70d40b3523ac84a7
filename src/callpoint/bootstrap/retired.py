"""A connector that may only take away: its target left the configuration, or cannot be used now.

Leases that are open on such a target must still die, but nothing new is opened there.
"""

from datetime import timedelta

from callpoint.domain.errors import UnavailableError
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.inventory import Account
from callpoint.ports.rotation import Rotator
from callpoint.ports.targets import (
    Absence,
    Connector,
    Credential,
    Issued,
    ManagedAccount,
    MintRequest,
    Persistence,
    ProbeResult,
    Residual,
    SelfTest,
)


class RetiredConnector:
    """Implements ``ports.targets.Connector`` around one that was in use.

    Args:
        inner: The connector.
        why: What a request for the target is told.
    """

    def __init__(self, inner: Connector, why: str) -> None:
        self._inner = inner
        self._why = why

    @property
    def target(self) -> str:
        return self._inner.target

    @property
    def rotator(self) -> Rotator | None:
        return self._inner.rotator

    def plan(self, request: MintRequest) -> UndoPlan:
        """Refused: a plan is the beginning of an access."""
        raise self._refusal(request.target)

    def adopt(self, account: ManagedAccount) -> UndoPlan:
        return self._inner.adopt(account)

    async def issue(self, plan: UndoPlan) -> Issued:
        """Refused."""
        raise self._refusal(plan.target)

    async def probe(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        return await self._inner.probe(plan, credential)

    async def disable(self, plan: UndoPlan) -> None:
        await self._inner.disable(plan)

    async def kill_sessions(self, plan: UndoPlan) -> int:
        return await self._inner.kill_sessions(plan)

    async def diff_persistence(
        self, plan: UndoPlan, baseline: dict[str, list[str]] | None
    ) -> tuple[Persistence, ...]:
        return await self._inner.diff_persistence(plan, baseline)

    async def revoke(self, plan: UndoPlan) -> None:
        await self._inner.revoke(plan)

    async def verify_absent(self, plan: UndoPlan, credential: Credential | None) -> Absence:
        return await self._inner.verify_absent(plan, credential)

    async def list_managed(self) -> tuple[ManagedAccount, ...]:
        return await self._inner.list_managed()

    async def inventory(self) -> tuple[Account, ...]:
        return await self._inner.inventory()

    async def selftest(self, *, trial: bool = True) -> SelfTest:
        return await self._inner.selftest(trial=trial)

    async def residual(self) -> Residual:
        return await self._inner.residual()

    async def skew(self) -> timedelta:
        return await self._inner.skew()

    def _refusal(self, target: str) -> UnavailableError:
        return UnavailableError(f"nothing is opened on {target}: {self._why}")
