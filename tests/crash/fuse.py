"""A fuse that kills the process, and ports that burn it down: before and after each act."""

import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.inventory import Account
from callpoint.ports.keys import LogSigner
from callpoint.ports.rotation import Rotator
from callpoint.ports.stores import RecordName, Store, Transaction, View
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

T = TypeVar("T")


class Fuse:
    """Kills this process with SIGKILL at the n-th point; 0 never."""

    def __init__(self, length: int) -> None:
        self.burnt = 0
        self._length = length

    def burn(self) -> None:
        """One point further."""
        self.burnt += 1
        if self.burnt == self._length:
            os.kill(os.getpid(), signal.SIGKILL)


class FusedSigner:
    """Implements ``LogSigner``: a point in the middle of the store's commit."""

    def __init__(self, inner: LogSigner, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    @property
    def verifier_key(self) -> str:
        return self._inner.verifier_key

    def sign(self, text: str) -> str:
        self._fuse.burn()
        note = self._inner.sign(text)
        self._fuse.burn()
        return note


class FusedStore:
    """Implements ``Store``: a point before and after each transaction."""

    def __init__(self, inner: Store, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    async def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        urgent: bool = False,
        compares: Sequence[RecordName] = (),
    ) -> T:
        self._fuse.burn()
        result = await self._inner.transact(work, urgent=urgent, compares=compares)
        self._fuse.burn()
        return result

    async def read(self, work: Callable[[View], T]) -> T:
        return await self._inner.read(work)

    def listen(self, hear: Callable[[str], None]) -> None:
        self._inner.listen(hear)

    async def log_works(self) -> bool:
        return await self._inner.log_works()

    async def merge_spool(self) -> int:
        return await self._inner.merge_spool()

    async def close(self) -> None:
        await self._inner.close()


class FusedConnector:
    """Implements ``Connector``: a point before and after each call to the target."""

    def __init__(self, inner: Connector, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    @property
    def target(self) -> str:
        return self._inner.target

    @property
    def rotator(self) -> Rotator | None:
        return self._inner.rotator

    def plan(self, request: MintRequest) -> UndoPlan:
        return self._inner.plan(request)

    def adopt(self, account: ManagedAccount) -> UndoPlan:
        return self._inner.adopt(account)

    async def issue(self, plan: UndoPlan) -> Issued:
        self._fuse.burn()
        result = await self._inner.issue(plan)
        self._fuse.burn()
        return result

    async def probe(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        self._fuse.burn()
        result = await self._inner.probe(plan, credential)
        self._fuse.burn()
        return result

    async def disable(self, plan: UndoPlan) -> None:
        self._fuse.burn()
        await self._inner.disable(plan)
        self._fuse.burn()

    async def kill_sessions(self, plan: UndoPlan) -> int:
        self._fuse.burn()
        result = await self._inner.kill_sessions(plan)
        self._fuse.burn()
        return result

    async def diff_persistence(
        self, plan: UndoPlan, baseline: dict[str, list[str]] | None
    ) -> tuple[Persistence, ...]:
        self._fuse.burn()
        result = await self._inner.diff_persistence(plan, baseline)
        self._fuse.burn()
        return result

    async def revoke(self, plan: UndoPlan) -> None:
        self._fuse.burn()
        await self._inner.revoke(plan)
        self._fuse.burn()

    async def verify_absent(self, plan: UndoPlan, credential: Credential | None) -> Absence:
        self._fuse.burn()
        result = await self._inner.verify_absent(plan, credential)
        self._fuse.burn()
        return result

    async def list_managed(self) -> tuple[ManagedAccount, ...]:
        self._fuse.burn()
        result = await self._inner.list_managed()
        self._fuse.burn()
        return result

    async def inventory(self) -> tuple[Account, ...]:
        return await self._inner.inventory()

    async def selftest(self, *, trial: bool = True) -> SelfTest:
        return await self._inner.selftest(trial=trial)

    async def residual(self) -> Residual:
        return await self._inner.residual()

    async def skew(self) -> timedelta:
        return await self._inner.skew()
