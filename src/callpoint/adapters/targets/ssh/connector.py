"""The SSH connector: a certificate per activation, and its proven end.

How each known trap of SSH certificates is met is told in ``docs/connectors/ssh.md``; the tests in
``tests/integration/test_ssh_traps.py`` name the same traps.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncssh

from callpoint.adapters.targets.ssh import inventory, keys, persistence, selftest
from callpoint.adapters.targets.ssh.door import Door
from callpoint.adapters.targets.ssh.host import Conversation, Host
from callpoint.adapters.targets.ssh.proof import Proof
from callpoint.adapters.targets.ssh.settings import SshSettings
from callpoint.domain.errors import RequestError, TargetRefusedError, TargetUnknownError
from callpoint.domain.undo_plan import UndoPlan
from callpoint.host.wire import is_own, name_of, serial_of
from callpoint.ports.clock import Clock, Random
from callpoint.ports.inventory import Account
from callpoint.ports.targets import (
    CALL_LIMIT,
    Absence,
    Attempt,
    Credential,
    Issued,
    ManagedAccount,
    MintRequest,
    Persistence,
    ProbeResult,
    Residual,
    SelfTest,
)

NAME = "ssh"

# Leaves time to answer within CALL_LIMIT.
_OWN_LIMIT = CALL_LIMIT - timedelta(seconds=1)


class SshConnector:
    """Implements ``ports.targets.Connector`` for one target."""

    def __init__(self, settings: SshSettings, clock: Clock, random: Random) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._ca = asyncssh.import_private_key(settings.ca_key)
        self._host = Host(settings)
        self._proof = Proof(settings, self._ca, clock, random)

    def __repr__(self) -> str:
        return f"SshConnector({self.target})"

    @property
    def target(self) -> str:
        return self._settings.name

    @property
    def rotator(self) -> None:
        """It mints only."""
        return

    # ------------------------------------------------------------------ 1: plan and issue

    def plan(self, request: MintRequest) -> UndoPlan:
        role = self._settings.roles.get(request.role)
        if role is None:
            raise RequestError(
                f"target {self.target} has no role {request.role!r}",
                way_out=f"ask for one of: {', '.join(sorted(self._settings.roles))}",
            )
        if not is_own(request.handle, self._settings.installation):
            raise RequestError(
                "a handle is the installation's id and at most 18 characters after it"
            )
        details = {
            "account": role.account,
            "command": role.command,
            "permit": ",".join(role.permit),
            "sources": ",".join(request.sources),
        }
        return UndoPlan(
            connector=NAME,
            target=self.target,
            role=request.role,
            handle=request.handle,
            account=name_of(request.handle),
            not_after=request.not_after,
            details={key: value for key, value in details.items() if value},
        )

    def adopt(self, account: ManagedAccount) -> UndoPlan:
        return UndoPlan(
            connector=NAME,
            target=self.target,
            role="",
            handle=account.handle,
            account=account.account,
            # An account without a readable end gets none in the future from us.
            not_after=account.not_after or self._clock.now(),
        )

    async def issue(self, plan: UndoPlan) -> Issued:
        self._own(plan)
        async with self._limit():
            answer = await self._host.ask(
                "enrol",
                handle=plan.handle,
                account=plan.details["account"],
                serial=serial_of(plan.handle),
                not_after=keys.end_of(plan),
            )
            private = keys.new_private(self._random.token(keys.SEED_SIZE))
            pair = keys.actors(self._ca, plan, private, self._clock.now(), self._settings.program)
            return Issued(
                credential=self._credential(plan, pair),
                baseline=persistence.read(answer.get("baseline")),
            )

    async def probe(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        self._own(plan)
        try:
            async with self._limit(), self._host.conversation() as conversation:
                return await self._proof.attempt(conversation, plan, credential)
        except TargetUnknownError as error:
            return ProbeResult(Attempt.UNKNOWN, error.code)

    # ------------------------------------------------------------------ 2: ending

    async def disable(self, plan: UndoPlan) -> None:
        self._own(plan)
        async with self._limit():
            await self._host.ask("withdraw", handle=plan.handle)

    async def kill_sessions(self, plan: UndoPlan) -> int:
        self._own(plan)
        async with self._limit(), self._host.conversation() as conversation:
            return await self._end(conversation, plan)

    async def diff_persistence(
        self, plan: UndoPlan, baseline: dict[str, list[str]] | None
    ) -> tuple[Persistence, ...]:
        self._own(plan)
        account = plan.details.get("account", "")
        if baseline is None or not account:
            return ()
        async with self._limit():
            answer = await self._host.ask("snapshot", account=account)
            return persistence.difference(persistence.read(answer.get("snapshot")), baseline)

    async def revoke(self, plan: UndoPlan) -> None:
        self._own(plan)
        async with self._limit(), self._host.conversation() as conversation:
            await conversation.ask("withdraw", handle=plan.handle)
            if await self._end(conversation, plan):
                raise TargetRefusedError(
                    f"sessions of {plan.account} do not end", target=self.target, code="sessions"
                )
            await conversation.ask("remove", handle=plan.handle)

    async def verify_absent(self, plan: UndoPlan, credential: Credential | None) -> Absence:
        self._own(plan)
        async with self._limit(), self._host.conversation() as conversation:
            return await self._proof.absence(conversation, plan, credential)

    # ------------------------------------------------------------------ 3: looking

    async def list_managed(self) -> tuple[ManagedAccount, ...]:
        async with self._limit():
            answer = await self._host.ask("list")
        return tuple(
            ManagedAccount(
                handle=row["handle"],
                account=name_of(row["handle"]),
                enabled=row["enabled"],
                not_after=datetime.fromtimestamp(row["not_after"], tz=UTC),
            )
            for row in answer["entries"]
            if is_own(row["handle"], self._settings.installation)
        )

    async def inventory(self) -> tuple[Account, ...]:
        async with self._limit():
            answer = await self._host.ask("accounts")
            return inventory.accounts_of(answer["accounts"], answer["entries"])

    async def selftest(self, *, trial: bool = True) -> SelfTest:
        return await selftest.run(
            self._settings,
            connector=self,
            host=self._host,
            clock=self._clock,
            random=self._random,
            trial=trial,
        )

    async def residual(self) -> Residual:
        async with self._limit():
            return selftest.residual(await self._host.ask("status"))

    async def skew(self) -> timedelta:
        async with self._limit(), self._host.conversation() as conversation:
            before = self._clock.now()
            answer = await conversation.ask("hello")
            after = self._clock.now()
            theirs = datetime.fromtimestamp(float(answer["clock"]), tz=UTC)
            # Half of the way bounds the error by half of the call.
            return theirs - (before + (after - before) / 2)

    # ------------------------------------------------------------------ inside

    @asynccontextmanager
    async def _limit(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_OWN_LIMIT.total_seconds()):
                yield
        except TimeoutError as error:
            raise TargetUnknownError(
                f"{self.target} did not finish within {_OWN_LIMIT.seconds} s", target=self.target
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise TargetUnknownError(
                f"the host side of {self.target} answers in another form", target=self.target
            ) from error

    async def _end(self, conversation: Conversation, plan: UndoPlan) -> int:
        return int((await conversation.ask("end", handle=plan.handle))["left"])

    def _own(self, plan: UndoPlan) -> None:
        own = is_own(plan.handle, self._settings.installation)
        if not own or plan.account != name_of(plan.handle):
            raise TargetRefusedError(
                f"{plan.account} is no account of this installation",
                target=self.target,
                way_out="look at the installation that made it; this one will not touch it",
            )

    def _credential(self, plan: UndoPlan, pair: keys.Pair) -> Credential:
        account = plan.details["account"]
        host, port = self._settings.advertised
        door = Door(host, port, self._settings.host_keys)
        return Credential(
            username=account,
            secret=pair.private,
            endpoint={
                "protocol": "ssh",
                "host": door.host,
                "port": str(door.port),
                "certificate": pair.certificate,
                "host_key": "\n".join(door.host_keys),
            },
            hint='ssh -i "$CALLPOINT_KEY_FILE" -o CertificateFile="$CALLPOINT_CERTIFICATE_FILE" '
            f"-o IdentitiesOnly=yes -p {door.port} {account}@{door.host}",
        )
