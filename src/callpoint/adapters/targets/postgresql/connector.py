"""The PostgreSQL connector: a login role per activation, and its proven end.

How each known trap of PostgreSQL is met is told in ``docs/connectors/postgresql.md``; the tests
in ``tests/integration/test_postgresql_traps.py`` carry the same numbers.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from callpoint.adapters.targets.postgresql import inventory, persistence, scram, selftest
from callpoint.adapters.targets.postgresql.attempt import attempt, door_of
from callpoint.adapters.targets.postgresql.authority import Authority
from callpoint.adapters.targets.postgresql.checked_out import CheckedOutRoles, is_listed, plan_of
from callpoint.adapters.targets.postgresql.createrole import CreateRole
from callpoint.adapters.targets.postgresql.doors import try_everywhere
from callpoint.adapters.targets.postgresql.mark import marked_end
from callpoint.adapters.targets.postgresql.owner_functions import OwnerFunctions
from callpoint.adapters.targets.postgresql.prepared import roll_back_prepared
from callpoint.adapters.targets.postgresql.server import Server
from callpoint.adapters.targets.postgresql.settings import (
    EndpointKind,
    Mode,
    PostgresqlSettings,
)
from callpoint.adapters.targets.postgresql.snapshots import snapshot
from callpoint.domain.errors import (
    RequestError,
    TargetError,
    TargetRefusedError,
    TargetUnknownError,
)
from callpoint.domain.ids import HANDLE_LIMIT
from callpoint.domain.undo_plan import UndoPlan
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

NAME = "postgresql"

_SECRET_BYTES = 24
_LOCKED = "55P03"
# Leaves time to answer within CALL_LIMIT.
_OWN_LIMIT = CALL_LIMIT - timedelta(seconds=1)
_KILL_LIMIT = timedelta(seconds=8)
_KILL_PAUSE = timedelta(milliseconds=50)


class PostgresqlConnector:
    """Implements ``ports.targets.Connector`` for one target."""

    def __init__(self, settings: PostgresqlSettings, clock: Clock, random: Random) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._primary = Server(settings.name, "primary", settings.dsn, settings.sslmode)
        self._standbys = tuple(
            Server(settings.name, endpoint.name, endpoint.dsn, settings.sslmode)
            for endpoint in settings.endpoints
            if endpoint.kind is EndpointKind.STANDBY
        )
        self._authority = self._authority_of(settings.mode)
        self._checked_out = CheckedOutRoles(
            settings,
            self._primary,
            self._standbys,
            random,
            end_sessions=self.kill_sessions,
            baseline=self._baseline,
        )

    def __repr__(self) -> str:
        return f"PostgresqlConnector({self.target})"

    @property
    def target(self) -> str:
        return self._settings.name

    @property
    def rotator(self) -> CheckedOutRoles | None:
        return self._checked_out if self._settings.checked_out else None

    # ------------------------------------------------------------------ 1: plan and issue

    def plan(self, request: MintRequest) -> UndoPlan:
        role = self._settings.roles.get(request.role)
        if role is None:
            raise RequestError(
                f"target {self.target} has no role {request.role!r}",
                way_out=f"ask for one of: {', '.join(sorted(self._settings.roles))}",
            )
        handle = request.handle
        if not (handle.isascii() and handle.isalnum() and handle == handle.lower()):
            raise RequestError("a handle consists of a-z and 0-9")
        if not handle.startswith(self._settings.installation) or not (
            len(self._settings.installation) < len(handle) <= HANDLE_LIMIT
        ):
            raise RequestError(
                "a handle is the installation's id and at most 18 characters after it"
            )
        if role.account:
            return plan_of(request, role, NAME)
        return UndoPlan(
            connector=NAME,
            target=self.target,
            role=request.role,
            handle=handle,
            account=f"cp_{handle}",
            not_after=request.not_after,
            details={"parent": role.parent, "sources": ",".join(request.sources)},
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
        self._minted(plan)
        async with self._limit():
            now, _, _ = await self._snapshot(plan)
            secret = base64.urlsafe_b64encode(self._random.token(_SECRET_BYTES)).decode("ascii")
            await self._authority.create(plan, self._verifier(secret))
            return Issued(credential=self._credential(plan, secret), baseline=now)

    async def probe(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        self._own(plan)
        return await attempt(
            door_of(credential.endpoint, self.target), credential.username, credential.secret
        )

    # ------------------------------------------------------------------ 2: ending

    async def disable(self, plan: UndoPlan) -> None:
        self._own(plan)
        async with self._limit():
            if is_listed(self._settings, plan):
                await self._checked_out.lock(plan)
            else:
                await self._disable(plan.account)

    async def kill_sessions(self, plan: UndoPlan) -> int:
        self._own(plan)
        async with self._limit():
            alive = await self._kill(plan.account, self._primary)
            silent: list[TargetError] = []
            for standby in self._standbys:
                try:
                    # Looked at before killing: afterwards, a login in between would go unseen.
                    behind = await self._is_behind(plan.account, standby)
                    alive += await self._kill(plan.account, standby)
                    if behind:
                        raise TargetUnknownError(
                            f"{standby.endpoint} has not replayed yet that {plan.account} is "
                            "disabled",
                            target=self.target,
                        )
                except TargetError as error:
                    # The other endpoints' sessions end now, whatever this one does.
                    silent.append(error)
            if silent:
                raise silent[0]
            return alive

    async def diff_persistence(
        self, plan: UndoPlan, baseline: dict[str, list[str]] | None
    ) -> tuple[Persistence, ...]:
        self._own(plan)
        async with self._limit():
            if baseline is None and is_listed(self._settings, plan):
                return ()  # nobody was told its secret, and all that it ever owned is the owner's
            now, own, unexamined = await self._snapshot(plan)
            return persistence.difference(now, own, baseline, unexamined)

    async def revoke(self, plan: UndoPlan) -> None:
        self._minted(plan)
        async with self._limit():
            account = plan.account
            await self._disable(account)
            if await self._kill(account, self._primary):
                raise TargetRefusedError(
                    f"sessions of {account} do not end", target=self.target, code="55006"
                )
            held = await self._authority.holdings(account)
            if held.is_any_prepared:
                await roll_back_prepared(self._primary, self._authority, account, self._random)
                held = await self._authority.holdings(account)
            # The home database always: what all databases share hangs on none of them.
            for database in sorted({self._settings.database, *held.databases}):
                while not await self._authority.sweep(account, database):
                    # Each round has committed: a retry after our time limit goes on from here.
                    pass
            await self._authority.drop(account)
            # A login that was under way while we disabled it would be a session without a role.
            await self._kill(account, self._primary)

    async def verify_absent(self, plan: UndoPlan, credential: Credential | None) -> Absence:
        self._own(plan)
        async with self._limit():
            seen = await self._authority.seen(plan.account, self._primary)
            in_catalogue, sessions = seen.in_catalogue, seen.sessions
            unreachable = []
            for standby in self._standbys:
                try:
                    seen = await self._authority.seen(plan.account, standby)
                    in_catalogue |= seen.in_catalogue
                    sessions += seen.sessions
                except TargetError:
                    # Reported by name, and so "not dead": nothing is swallowed.
                    unreachable.append(standby.endpoint)
            return Absence(
                in_catalogue=in_catalogue,
                sessions=sessions,
                unreachable=tuple(unreachable),
                attempt=None if credential is None else await self._attempts(credential),
            )

    # ------------------------------------------------------------------ 3: looking

    async def list_managed(self) -> tuple[ManagedAccount, ...]:
        async with self._limit():
            rows = await self._primary.rows(
                "SELECT rolname::text AS account, rolcanlogin AS enabled, "
                "shobj_description(oid, 'pg_authid') AS mark FROM pg_catalog.pg_roles "
                "WHERE starts_with(rolname::text, $1) ORDER BY rolname",
                self._settings.account_prefix,
            )
        return tuple(
            ManagedAccount(
                handle=row["account"].removeprefix("cp_"),
                account=row["account"],
                enabled=row["enabled"],
                not_after=marked_end(row["mark"]),
            )
            for row in rows
        )

    async def inventory(self) -> tuple[Account, ...]:
        async with self._limit():
            return await inventory.inventory(self._primary, self._settings.account_prefix)

    async def selftest(self, *, trial: bool = True) -> SelfTest:
        return await selftest.run(
            self._settings,
            connector=self,
            authority=self._authority,
            primary=self._primary,
            standbys=self._standbys,
            clock=self._clock,
            random=self._random,
            trial=trial,
        )

    async def residual(self) -> Residual:
        async with self._limit():
            return await selftest.residual(self._settings, self._primary)

    async def skew(self) -> timedelta:
        async with self._limit():
            before = self._clock.now()
            theirs: datetime = await self._primary.value("SELECT pg_catalog.clock_timestamp()")
            after = self._clock.now()
            # Connecting takes most of the time, so their answer is nearer to the end than to the
            # middle; half of the way still bounds the error by half of the call.
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

    def _authority_of(self, mode: Mode) -> Authority:
        match mode:
            case Mode.FUNCTIONS:
                schema, connections = self._settings.schema, self._settings.connection_limit
                return OwnerFunctions(self._primary, schema, connections)
            case Mode.CREATEROLE:
                return CreateRole(self._settings, self._primary, self._clock)

    def _own(self, plan: UndoPlan) -> None:
        if not is_listed(self._settings, plan):
            self._minted(plan)

    def _minted(self, plan: UndoPlan) -> None:
        prefix = self._settings.account_prefix
        if not plan.account.startswith(prefix) or plan.account != f"cp_{plan.handle}":
            raise TargetRefusedError(
                f"{plan.account} is no account of this installation",
                target=self.target,
                way_out="look at the installation that made it; this one will not touch it",
            )

    def _verifier(self, secret: str) -> str:
        return scram.verifier(secret, self._random.token(scram.SALT_SIZE))

    def _credential(self, plan: UndoPlan, secret: str) -> Credential:
        settings = self._settings
        options = f"-c role={plan.details['parent']}"
        door = settings.advertised
        endpoint = {
            "host": door.host,
            "port": str(door.port),
            "dbname": door.dbname,
            "options": options,
        }
        if settings.sslmode:
            endpoint["sslmode"] = settings.sslmode
        where = " ".join(f"{key}={value}" for key, value in endpoint.items() if key != "options")
        return Credential(
            username=plan.account,
            secret=secret,
            endpoint=endpoint,
            hint=f'PGPASSWORD="$CALLPOINT_SECRET" PGOPTIONS="{options}" '
            f'psql "{where} user={plan.account}"',
        )

    async def _disable(self, account: str) -> None:
        try:
            await self._authority.disable(account)
        except TargetRefusedError as error:
            if error.code != _LOCKED:
                raise
            # No session holds its row any more, so what does is a prepared transaction.
            await roll_back_prepared(self._primary, self._authority, account, self._random)
            await self._authority.disable(account)

    async def _kill(self, account: str, server: Server) -> int:
        deadline = self._clock.monotonic() + _KILL_LIMIT.total_seconds()
        while alive := await self._authority.terminate(account, server):
            if self._clock.monotonic() >= deadline:
                return alive
            await self._clock.sleep(_KILL_PAUSE)
        return 0

    async def _is_behind(self, account: str, standby: Server) -> bool:
        query = "SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = $1"
        on_primary = await self._primary.value(query, account)
        return bool(await standby.value(query, account)) and not on_primary

    async def _attempts(self, credential: Credential) -> ProbeResult:
        """The old credential at every door; the worst answer counts."""
        answers = await try_everywhere(self._settings, credential)
        for worst in (Attempt.ACCEPTED, Attempt.UNKNOWN):
            for answer in answers:
                if answer.attempt is worst:
                    return answer
        return answers[0]

    async def _baseline(self, plan: UndoPlan) -> persistence.Snapshot:
        async with self._limit():
            everything, _, _ = await self._snapshot(plan)
            return everything

    async def _snapshot(
        self, plan: UndoPlan
    ) -> tuple[persistence.Snapshot, persistence.Snapshot, list[str]]:
        # A checked-out account acts as itself, and as whatever it may become.
        acting = plan.details.get("parent", "")
        if is_listed(self._settings, plan):
            acting = plan.account
        return await snapshot(self._settings, self._primary, self._authority, plan.account, acting)
