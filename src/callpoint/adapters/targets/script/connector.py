"""The script connector: it mints nothing; static accounts are checked out through a program.

What it cannot do it says: it does not compare what a use left behind, and where the program
answers ``unsupported`` nobody looks at sessions, which approvers and the evidence read.
"""

from datetime import timedelta

from callpoint.adapters.targets.script.program import Program
from callpoint.adapters.targets.script.protocol import PROTOCOL, Answer, Question, Result, Verb
from callpoint.adapters.targets.script.rotator import ScriptRotator
from callpoint.adapters.targets.script.settings import ScriptSettings
from callpoint.domain.errors import RequestError, TargetError, TargetRefusedError
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.clock import Clock, Random
from callpoint.ports.inventory import Account
from callpoint.ports.targets import (
    Absence,
    Attempt,
    Check,
    Credential,
    Issued,
    ManagedAccount,
    MintRequest,
    Persistence,
    ProbeResult,
    Residual,
    SelfTest,
)

NAME = "script"


class ScriptConnector:
    """Implements ``ports.targets.Connector`` for one target."""

    def __init__(self, settings: ScriptSettings, clock: Clock, random: Random) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._program = Program(settings)
        self._rotator = ScriptRotator(settings, self._program)

    def __repr__(self) -> str:
        return f"ScriptConnector({self.target})"

    @property
    def target(self) -> str:
        return self._settings.name

    @property
    def rotator(self) -> ScriptRotator:
        return self._rotator

    def plan(self, request: MintRequest) -> UndoPlan:
        role = self._settings.roles.get(request.role)
        if role is None:
            raise RequestError(
                f"target {self.target} has no role {request.role!r}",
                way_out=f"ask for one of: {', '.join(sorted(self._settings.roles))}",
            )
        if not request.handle.startswith(self._settings.installation):
            raise RequestError("the handle belongs to another installation")
        return UndoPlan(
            connector=NAME,
            target=self.target,
            role=request.role,
            handle=request.handle,
            account=role.account,
            not_after=request.not_after,
            details={"between": role.between, "sources": ",".join(request.sources)},
            kind=LeaseKind.CHECKED_OUT,
        )

    def adopt(self, account: ManagedAccount) -> UndoPlan:
        """Refused: there is no account here that we made."""
        raise self._refused(f"{account.account} was not made here")

    async def issue(self, plan: UndoPlan) -> Issued:
        """Refused."""
        raise self._refused(f"nothing is minted on {plan.target}")

    async def probe(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        return await self._rotator.attempt(plan, credential)

    async def disable(self, plan: UndoPlan) -> None:
        """Refused: only a new secret keeps anybody out, and that has to be stored first."""
        raise self._refused(f"{plan.account} cannot be disabled without a new secret")

    async def kill_sessions(self, plan: UndoPlan) -> int:
        await self._rotator.end_sessions(plan)
        return (await self._rotator.presence(plan)).sessions or 0

    async def diff_persistence(
        self,
        plan: UndoPlan,
        baseline: dict[str, list[str]] | None,  # noqa: ARG002 -- nothing was looked at before
    ) -> tuple[Persistence, ...]:
        """Nothing is compared."""
        self._rotator.listed(plan)
        return ()

    async def revoke(self, plan: UndoPlan) -> None:
        """Refused: it was there before and stays."""
        raise self._refused(f"{plan.account} is the owner's and is never removed")

    async def verify_absent(self, plan: UndoPlan, credential: Credential | None) -> Absence:
        presence = await self._rotator.presence(plan)
        tried = None if credential is None else await self._rotator.attempt(plan, credential)
        return Absence(
            in_catalogue=True,
            sessions=presence.sessions or 0,
            attempt=tried,
            sessions_seen=presence.sessions is not None,
        )

    async def list_managed(self) -> tuple[ManagedAccount, ...]:
        """None: nothing here carries a handle. It asks, so that silence is told from "none"."""
        await self._describe()
        return ()

    async def inventory(self) -> tuple[Account, ...]:
        """The accounts that are configured: a program tells of no others."""
        found = []
        for name in self._settings.accounts:
            asked = Question(verb=Verb.SESSIONS, target=self.target, account=name)
            answer = await self._program.ask(asked)
            sessions = answer.sessions if answer.result is Result.DONE else None
            found.append(Account(name=name, sessions=sessions))
        return tuple(found)

    async def selftest(self, *, trial: bool = True) -> SelfTest:
        told = await self._describe()
        checks = [
            Check(
                name="protocol",
                ok=told.protocol == PROTOCOL,
                detail=f"speaks {told.protocol}, wanted {PROTOCOL}",
                way_out="answer describe as docs/connectors/script.md says",
            )
        ]
        if trial:
            checks += [await self._refuses_nonsense(name) for name in self._settings.accounts]
        return SelfTest(tuple(checks), _residual(told), self._skew(told))

    async def residual(self) -> Residual:
        return _residual(await self._describe())

    async def skew(self) -> timedelta:
        """Zero for a target without a clock: it enforces no end that could be wrong."""
        return self._skew(await self._describe())

    # ------------------------------------------------------------------ inside

    async def _describe(self) -> Answer:
        return await self._program.ask(Question(verb=Verb.DESCRIBE, target=self.target))

    async def _refuses_nonsense(self, account: str) -> Check:
        """A program that accepts any secret could never prove an old one dead."""
        wrong = self._random.token(24).hex()
        asked = Question(verb=Verb.TRY, target=self.target, account=account, secret=wrong)
        try:
            told = (await self._program.ask(asked)).result.value
        except TargetError as error:
            told = error.message
        return Check(
            name=f"a wrong secret of {account}",
            ok=told == Attempt.REFUSED,
            detail=told,
            way_out="try must answer refused for a wrong secret, and only for that",
        )

    def _skew(self, told: Answer) -> timedelta:
        if told.clock is None or told.clock.tzinfo is None:
            return timedelta(0)
        return told.clock - self._clock.now()

    def _refused(self, words: str) -> TargetRefusedError:
        return TargetRefusedError(words, target=self.target, code="42501")


def _residual(told: Answer) -> Residual:
    within = told.ends_sessions_within
    if within is None or within < 0:
        return Residual(
            bound=None,
            because="the account is static: its secret and its sessions work until Callpoint"
            " rotates and ends them, and nothing on the target does so by itself",
            way_out="if the system itself can end access, let the owner's program do so and answer"
            " `describe` with ends_sessions_within",
        )
    return Residual(
        bound=timedelta(seconds=within),
        because=f"the owner's program says that the target ends access within {within} s by itself",
    )
