"""Static accounts of a simulated target: they were there before, and are checked out."""

from datetime import timedelta
from typing import TYPE_CHECKING

from callpoint.domain.errors import TargetRefusedError
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.rotation import Presence, Rotation
from callpoint.ports.targets import Attempt, Credential, ProbeResult

if TYPE_CHECKING:
    from tests.fakes.simulated_target import SimulatedTarget

FOREVER = timedelta(days=36500)
OWNERS_SECRET = "set-by-the-owner-long-ago"


class SimulatedStatic:
    """Implements ``ports.rotation.Rotator`` in memory; fails on demand like the target itself.

    Attributes:
        roles: Role to account.
        asks_old: The target wants a secret that is in force together with the new one.
        fences: It refuses an older generation.
        locks: An account that nobody has out lets nobody in.
        sees_sessions: It can say who is on an account.
        log: ``(account, secret, generation)`` of every change that took effect, in order.
    """

    def __init__(self, target: "SimulatedTarget", roles: dict[str, str]) -> None:
        self._target = target
        self.roles = roles
        self.asks_old = False
        self.fences = True
        self.locks = True
        self.sees_sessions = True
        self.log: list[tuple[str, str, int]] = []
        self._last: dict[str, int] = {}

    def owns(self, account: str) -> bool:
        """Whether the account is on the owner's list."""
        return account in self.roles.values()

    def first_secret(self, plan: UndoPlan) -> str:
        return OWNERS_SECRET if self.asks_old else ""

    def credential(self, plan: UndoPlan, secret: str) -> Credential:
        return Credential(plan.account, secret, {"host": plan.target, "port": "0"}, "simulated")

    async def rotate(self, plan: UndoPlan, rotation: Rotation) -> None:
        with await self._target.call("rotate", plan.account):
            self.take_effect(plan, rotation)

    def take_effect(self, plan: UndoPlan, rotation: Rotation) -> None:
        """What the target does; a test calls it to let a call arrive late."""
        if not self.owns(plan.account):
            raise self._refusal(f"{plan.account} is not on the owner's list")
        account = self._target.accounts[plan.account]
        if self.fences and rotation.generation < self._last.get(plan.account, 0):
            raise self._refusal("an older generation")
        if self.asks_old and account.secret not in {*rotation.former, rotation.new}:
            raise self._refusal("the old secret is wrong")
        account.secret = rotation.new
        account.enabled = rotation.open_until is not None or not self.locks
        account.not_after = rotation.open_until or self._target.time() + FOREVER
        self._last[plan.account] = rotation.generation
        self.log.append((plan.account, rotation.new, rotation.generation))

    async def attempt(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        told = await self._target.probe(plan, credential)
        if told.code == "28000":
            return ProbeResult(Attempt.LOCKED, told.code)
        return told

    async def baseline(self, plan: UndoPlan) -> dict[str, list[str]]:
        with await self._target.call("baseline", plan.account):
            return self._target.snapshot()

    async def end_sessions(self, plan: UndoPlan) -> None:
        if self.sees_sessions:
            await self._target.kill_sessions(plan)

    async def presence(self, plan: UndoPlan) -> Presence:
        with await self._target.call("presence", plan.account):
            if not self.sees_sessions:
                return Presence(sessions=None)
            seen = [
                s
                for s in self._target.live_sessions(plan.account)
                if s.endpoint not in self._target.unreachable
            ]
            return Presence(len(seen), tuple(sorted(self._target.unreachable)))

    def change_own(self, account: str, secret: str) -> None:
        """What an actor can do: change the secret of the account that it is on."""
        self._target.accounts[account].secret = secret

    def _refusal(self, words: str) -> TargetRefusedError:
        return TargetRefusedError(words, target=self._target.target, code="42501")
