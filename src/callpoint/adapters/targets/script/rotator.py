"""Rotation by the owner's program."""

from callpoint.adapters.targets.script.program import Program
from callpoint.adapters.targets.script.protocol import Question, Result, Verb
from callpoint.adapters.targets.script.settings import ScriptRole, ScriptSettings
from callpoint.domain.errors import TargetError, TargetRefusedError, TargetUnknownError
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.credential import Attempt, Credential, ProbeResult
from callpoint.ports.rotation import Presence, Rotation

_TOLD = {
    Result.ACCEPTED: Attempt.ACCEPTED,
    Result.LOCKED: Attempt.LOCKED,
    Result.REFUSED: Attempt.REFUSED,
}


class ScriptRotator:
    """Implements ``ports.rotation.Rotator``."""

    def __init__(self, settings: ScriptSettings, program: Program) -> None:
        self._settings = settings
        self._program = program

    def first_secret(self, plan: UndoPlan) -> str:
        return self.listed(plan).initial

    def credential(self, plan: UndoPlan, secret: str) -> Credential:
        endpoint = {"host": self._settings.host}
        if self._settings.port:
            endpoint["port"] = str(self._settings.port)
        where = ":".join(endpoint.values())
        return Credential(
            username=plan.account,
            secret=secret,
            endpoint=endpoint,
            hint=f"log in to {where} as {plan.account}, with your own client",
        )

    async def rotate(self, plan: UndoPlan, rotation: Rotation) -> None:
        role = self.listed(plan)
        answer = await self._program.ask(
            Question(
                verb=Verb.SET,
                target=self._settings.name,
                account=role.account,
                new=rotation.new,
                former=rotation.former,
                generation=rotation.generation,
                open_until=rotation.open_until,
                between=plan.details.get("between", role.between),
            )
        )
        if answer.result is not Result.DONE:
            raise TargetUnknownError(
                f"{self._settings.name}: set was answered with {answer.result.value}",
                target=self._settings.name,
            )

    async def attempt(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        role = self.listed(plan)
        question = Question(
            verb=Verb.TRY,
            target=self._settings.name,
            account=role.account,
            secret=credential.secret,
        )
        try:
            answer = await self._program.ask(question)
        except TargetError:
            return ProbeResult(Attempt.UNKNOWN)
        return ProbeResult(_TOLD.get(answer.result, Attempt.UNKNOWN), answer.result.value)

    async def baseline(self, plan: UndoPlan) -> dict[str, list[str]]:
        """Nothing is compared on such a target."""
        self.listed(plan)
        return {}

    async def end_sessions(self, plan: UndoPlan) -> None:
        await self._program.ask(self._question(Verb.END_SESSIONS, plan))

    async def presence(self, plan: UndoPlan) -> Presence:
        answer = await self._program.ask(self._question(Verb.SESSIONS, plan))
        if answer.result is Result.DONE and answer.sessions is not None and answer.sessions >= 0:
            return Presence(sessions=answer.sessions)
        return Presence(sessions=None)

    def listed(self, plan: UndoPlan) -> ScriptRole:
        """The settings of a plan's account.

        Raises:
            TargetRefusedError: It is none that is checked out here.
        """
        role = self._settings.of_account(plan.account)
        if role is None or plan.kind is not LeaseKind.CHECKED_OUT:
            raise TargetRefusedError(
                f"{plan.account} is no account that is checked out on {self._settings.name}",
                target=self._settings.name,
                code="42501",
            )
        return role

    def _question(self, verb: Verb, plan: UndoPlan) -> Question:
        account = self.listed(plan).account
        return Question(verb=verb, target=self._settings.name, account=account)
