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

T = TypeVar("T")


class Removal:
    """What happened while an account was removed.

    Attributes:
        residue: What the use left behind.
        absence: What verification saw; None when it could not look.
        rung: The first rung of the ladder that failed.
        error: Why it failed there.
    """

    def __init__(self) -> None:
        self.residue: tuple[Persistence, ...] = ()
        self.absence: Absence | None = None
        self.rung = Rung.REVOKE
        self.error: CallpointError = TargetUnknownError("not tried yet")

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
        attempt = self.absence.attempt if self.absence else None
        return REFUSED if attempt else ABSENT_NOT_TRIED


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
    failures: list[tuple[Rung, TargetError]] = []

    async def step(rung: Rung, act: Callable[[], Awaitable[T]]) -> T | None:
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await act()
        except TargetError as error:
            failures.append((rung, error))
        except Exception as error:  # noqa: BLE001 -- a defect of one step must not stop the next
            words = f"{rung} failed: {type(error).__name__}"
            failures.append((rung, TargetUnknownError(words, target=plan.target)))
        return None

    await step(Rung.DISABLE, lambda: port.disable(plan))
    left = await step(Rung.KILL, lambda: port.kill_sessions(plan))
    done.residue = await step(Rung.REVOKE, lambda: port.diff_persistence(plan, baseline)) or ()
    await step(Rung.REVOKE, lambda: port.revoke(plan))
    done.absence = await step(Rung.VERIFY, lambda: port.verify_absent(plan, credential))
    if done.dead:
        return done
    done.rung, done.error = failures[0] if failures else _not_dead(plan, left, done.absence)
    return done


def _not_dead(
    plan: UndoPlan, left: int | None, absence: Absence | None
) -> tuple[Rung, TargetError]:
    """Every step answered, and still it is not proven dead: say what was seen."""
    if left:
        return Rung.KILL, TargetError(f"{left} sessions do not end", target=plan.target)
    if absence is None:
        return Rung.VERIFY, TargetUnknownError("not verified", target=plan.target)
    seen = msgspec.json.encode(absence).decode()
    return Rung.VERIFY, TargetError(
        f"{plan.account} is not proven dead: {seen}", target=plan.target
    )
