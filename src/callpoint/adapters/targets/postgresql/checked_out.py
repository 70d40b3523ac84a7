"""Login roles of the owner's that are handed out with a fresh secret, by the owner's functions.

Such a role has one password, and PostgreSQL looks at it before it looks whether the role may log
in: so also a locked account tells whether a secret is the right one (28000), or not (28P01).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from callpoint.adapters.targets.postgresql import scram
from callpoint.adapters.targets.postgresql.authority import Loan
from callpoint.adapters.targets.postgresql.doors import try_everywhere
from callpoint.adapters.targets.postgresql.prepared import roll_back_prepared
from callpoint.adapters.targets.postgresql.server import Server
from callpoint.adapters.targets.postgresql.settings import (
    Between,
    PostgresqlSettings,
    RoleSettings,
)
from callpoint.domain.errors import TargetError, TargetRefusedError, TargetUnknownError
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.clock import Random
from callpoint.ports.credential import Attempt, Credential, ProbeResult
from callpoint.ports.rotation import Presence, Rotation
from callpoint.ports.targets import CALL_LIMIT, MintRequest

_LOCKED_OUT = "28000"
_HELD = "55P03"
# Leaves time to answer within CALL_LIMIT.
_OWN_LIMIT = CALL_LIMIT - timedelta(seconds=1)
_ORDER = (Attempt.ACCEPTED, Attempt.LOCKED, Attempt.UNKNOWN, Attempt.REFUSED)

Snapshot = Callable[[UndoPlan], Awaitable[dict[str, list[str]]]]


class CheckedOutRoles:
    """Implements ``ports.rotation.Rotator``.

    Args:
        settings: The target's; ``checked_out`` lists the accounts.
        primary: The broker's login there.
        standbys: Likewise.
        random: For the verifiers' salt.
        end_sessions: The connector's own, on every endpoint.
        baseline: The connector's own.
    """

    def __init__(
        self,
        settings: PostgresqlSettings,
        primary: Server,
        standbys: tuple[Server, ...],
        random: Random,
        *,
        end_sessions: Callable[[UndoPlan], Awaitable[int]],
        baseline: Snapshot,
    ) -> None:
        self._settings = settings
        self._primary = primary
        self._standbys = standbys
        self._random = random
        self._end_sessions = end_sessions
        self._baseline = baseline

    def first_secret(self, plan: UndoPlan) -> str:
        """None is needed: the functions set a secret without the old one."""
        self.must_be_listed(plan)
        return ""

    def credential(self, plan: UndoPlan, secret: str) -> Credential:
        door = self._settings.advertised
        endpoint = {"host": door.host, "port": str(door.port), "dbname": door.dbname}
        if self._settings.sslmode:
            endpoint["sslmode"] = self._settings.sslmode
        where = " ".join(f"{key}={value}" for key, value in endpoint.items())
        return Credential(
            username=plan.account,
            secret=secret,
            endpoint=endpoint,
            hint=f'PGPASSWORD="$CALLPOINT_SECRET" psql "{where} user={plan.account}"',
        )

    async def rotate(self, plan: UndoPlan, rotation: Rotation) -> None:
        self.must_be_listed(plan)
        verifier = scram.verifier(rotation.new, self._random.token(scram.SALT_SIZE))
        opens = (
            rotation.open_until is not None
            or plan.details.get("between", Between.LOCKED) == Between.ROTATED
        )
        await self._unheld(
            plan,
            "rotate($1, $2, $3, $4, $5)",
            plan.account,
            verifier,
            rotation.generation,
            opens,
            rotation.open_until,
        )

    async def attempt(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        self.must_be_listed(plan)
        answers = [_read(one) for one in await try_everywhere(self._settings, credential)]
        return min(answers, key=lambda answer: _ORDER.index(answer.attempt))

    async def baseline(self, plan: UndoPlan) -> dict[str, list[str]]:
        self.must_be_listed(plan)
        return await self._baseline(plan)

    async def end_sessions(self, plan: UndoPlan) -> None:
        await self._end_sessions(plan)

    async def presence(self, plan: UndoPlan) -> Presence:
        self.must_be_listed(plan)
        count = f"SELECT {self._settings.schema}.sessions($1)"
        sessions = int(await self._primary.value(count, plan.account))
        unreachable = []
        for standby in self._standbys:
            try:
                sessions += int(await standby.value(count, plan.account))
            except TargetError:
                # Reported by name, and so "not dead": nothing is swallowed.
                unreachable.append(standby.endpoint)
        return Presence(sessions=sessions, unreachable=tuple(unreachable))

    async def lock(self, plan: UndoPlan) -> None:
        """Nobody gets in any more, without a new secret: for a kill when none can be stored."""
        self.must_be_listed(plan)
        await self._unheld(plan, "lock_account($1)", plan.account)

    async def lend(self, account: str, verifier: str) -> tuple[Loan, ...]:
        """A login of its own, a member of the account; ``prepared`` uses it."""
        call = f"SELECT * FROM {self._settings.schema}.lend_listed($1, $2)"  # noqa: S608 - a checked identifier
        return tuple(Loan(**row) for row in await self._primary.rows(call, account, verifier))

    async def take_back(self, account: str) -> None:
        """It ends."""
        await self._primary.value(f"SELECT {self._settings.schema}.take_back_listed($1)", account)

    async def _unheld(self, plan: UndoPlan, function: str, *arguments: object) -> None:
        """Call it; when a prepared transaction holds the role's row, roll that back and repeat."""
        call = f"SELECT {self._settings.schema}.{function}"
        try:
            async with asyncio.timeout(_OWN_LIMIT.total_seconds()):
                try:
                    await self._primary.value(call, *arguments)
                except TargetRefusedError as error:
                    if error.code != _HELD:
                        raise
                    # No session holds its row any more, so what does is a prepared transaction.
                    await roll_back_prepared(self._primary, self, plan.account, self._random)
                    await self._primary.value(call, *arguments)
        except TimeoutError as error:
            raise TargetUnknownError(
                f"{plan.target} did not finish within {_OWN_LIMIT.seconds} s", target=plan.target
            ) from error

    def must_be_listed(self, plan: UndoPlan) -> None:
        """Refuse a plan of any other account.

        Raises:
            TargetRefusedError: It is none of the target's checked-out accounts.
        """
        if not is_listed(self._settings, plan):
            raise TargetRefusedError(
                f"{plan.account} is no account that is checked out on {self._settings.name}",
                target=self._settings.name,
                code="42501",
            )


def is_listed(settings: PostgresqlSettings, plan: UndoPlan) -> bool:
    """Whether a plan is of an account that this target lets us check out."""
    return plan.kind is LeaseKind.CHECKED_OUT and plan.account in settings.checked_out


def plan_of(request: MintRequest, role: RoleSettings, connector: str) -> UndoPlan:
    """How a checked-out account is given back. Pure; the handle has been looked at."""
    return UndoPlan(
        connector=connector,
        target=request.target,
        role=request.role,
        handle=request.handle,
        account=role.account,
        not_after=request.not_after,
        details={"between": role.between, "sources": ",".join(request.sources)},
        kind=LeaseKind.CHECKED_OUT,
    )


def _read(answer: ProbeResult) -> ProbeResult:
    """With password authentication 28000 comes after the secret was found right."""
    if answer.attempt is Attempt.REFUSED and answer.code == _LOCKED_OUT:
        return ProbeResult(Attempt.LOCKED, answer.code)
    return answer
