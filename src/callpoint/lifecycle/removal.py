"""Take one account off one target and look whether it is dead: the steps without the bookkeeping.

Used for leases (``revoke``) and for accounts that no lease explains (``reconcile``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import msgspec

from callpoint.domain.errors import CallpointError, TargetError, TargetUnknownError
from callpoint.domain.lease import Rung
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.targets import CALL_LIMIT, Absence, Connector, Credential, Persistence

# A connector answers within its own limit. One that hangs all the same must not keep its lane for
# ever: some of those, and nothing on the target would be revoked any more (I6).
STEP_LIMIT = 2 * CALL_LIMIT

NOT_TRIED = "not tried"
REFUSED = "absent, refused"
ABSENT_NOT_TRIED = "absent, not tried"
ROTATED = "rotated, old refused"
ROTATED_NOT_TRIED = "rotated, old not tried"
NOT_SEEN = ", sessions not seen"

T = TypeVar("T")


class Removal:
    """What happened while an account was removed.

    Attributes:
        residue: What the use left behind.
        absence: What verification saw; None when it could not look.
        rung: The first rung of the ladder that failed.
        error: Why it failed there.
        generation: Of the secret that replaced a checked-out account's; 0 for a minted one.
    """

    def __init__(self) -> None:
        self.residue: tuple[Persistence, ...] = ()
        self.absence: Absence | None = None
        self.rung = Rung.REVOKE
        self.error: CallpointError = TargetUnknownError("not tried yet")
        self.generation = 0

    @property
    def dead(self) -> bool:
        """Proven, as I5 says."""
        return self.absence is not None and self.absence.dead

    @property
    def code(self) -> str:
        """The code of the refusal."""
        attempt = self.absence.attempt if self.absence else None
        return attempt.code if attempt else ""

    @property
    def evidence(self) -> str:
        """In words, for the log."""
        seen = self.absence
        if seen is None or seen.rotated is None:
            return REFUSED if seen and seen.attempt else ABSENT_NOT_TRIED
        words = ROTATED if seen.attempt else ROTATED_NOT_TRIED
        return words if seen.sessions_seen else words + NOT_SEEN


async def remove(
    port: Connector,
    plan: UndoPlan,
    baseline: dict[str, list[str]] | None,
    credential: Credential | None,
    *,
    within: timedelta = STEP_LIMIT,
) -> Removal:
    """Steps 3 to 7 of ``revoke``. A step that fails does not stop the next one (the ladder)."""
    done = Removal()
    ladder = Ladder(plan, within)
    await ladder.step(Rung.DISABLE, lambda: port.disable(plan))
    await ladder.step(Rung.KILL, lambda: port.kill_sessions(plan))
    residue = await ladder.step(Rung.REVOKE, lambda: port.diff_persistence(plan, baseline))
    done.residue = residue or ()
    await ladder.step(Rung.REVOKE, lambda: port.revoke(plan))
    done.absence = await ladder.step(Rung.VERIFY, lambda: port.verify_absent(plan, credential))
    return ladder.judged(done)


class Ladder:
    """Steps at one target, each tried even when an earlier one failed (I6).

    Args:
        plan: Whose account.
        within: What a step may take.
    """

    def __init__(self, plan: UndoPlan, within: timedelta) -> None:
        self._plan = plan
        self._within = within
        self._failures: list[tuple[Rung, TargetError]] = []

    async def step(self, rung: Rung, act: Callable[[], Awaitable[T]]) -> T | None:
        """Do it; None when it failed, which is remembered."""
        try:
            async with asyncio.timeout(self._within.total_seconds()):
                return await act()
        except TargetError as error:
            self._failures.append((rung, error))
        except Exception as error:  # noqa: BLE001 -- a defect of one step must not stop the next
            words = f"{rung} failed: {type(error).__name__}"
            self._failures.append((rung, TargetUnknownError(words, target=self._plan.target)))
        return None

    def judged(self, done: Removal) -> Removal:
        """The same, with the first failure if it is not proven dead."""
        if not done.dead:
            failed = self._failures
            done.rung, done.error = failed[0] if failed else _not_dead(self._plan, done.absence)
        return done


def _not_dead(plan: UndoPlan, absence: Absence | None) -> tuple[Rung, TargetError]:
    """Every step answered, and still it is not proven dead: say what was seen."""
    if absence is not None and absence.sessions:
        words = f"{absence.sessions} sessions do not end"
        return Rung.KILL, TargetError(words, target=plan.target)
    if absence is None:
        return Rung.VERIFY, TargetUnknownError("not verified", target=plan.target)
    seen = msgspec.json.encode(absence).decode()
    return Rung.VERIFY, TargetError(
        f"{plan.account} is not proven dead: {seen}", target=plan.target
    )
