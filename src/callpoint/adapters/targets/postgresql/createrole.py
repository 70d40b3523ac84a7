"""7b: a broker with CREATEROLE, for owners who cannot or will not install functions.

Nothing on the target checks what we ask, so the form of the account, the parent, the verifier and
the lifetime are checked here. The login acts as the role that the owner's script made, by a setting
of the login itself. What this way cannot do is told in ``docs/connectors/postgresql.md``.
"""

import re
from datetime import UTC, datetime, timedelta

from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.authority import Holdings, Loan, Seen
from callpoint.adapters.targets.postgresql.server import Row, Server
from callpoint.adapters.targets.postgresql.settings import CUSTODIAN, PostgresqlSettings
from callpoint.domain.errors import TargetRefusedError
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.clock import Clock

_VERIFIER = re.compile(r"SCRAM-SHA-256\$[0-9]{4,6}:[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=:]{89}")
_LEND = timedelta(seconds=30)
# Everybody may change the own password, so an account can hold its own row in the catalogue.
# Lock not available, deadlock, "tuple concurrently updated", no room in the table of locks.
_HELD = frozenset({"55P03", "40P01", "XX000", "53200"})
_DISABLE_TRIES = 8
_DISABLE_WAIT = "300ms"

# A role that was dropped leaves sessions without a name. Nobody can say whose they were, so all of
# them count: better "not dead yet" than a session that nobody sees.
_SESSIONS = """
FROM pg_catalog.pg_stat_activity s
WHERE s.usesysid IS NOT NULL
  AND (s.usesysid = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = $1)
       OR s.usesysid NOT IN (SELECT r.oid FROM pg_catalog.pg_roles r))
"""


class CreateRole:
    """Implements ``Authority`` with the broker's own CREATEROLE."""

    def __init__(self, settings: PostgresqlSettings, primary: Server, clock: Clock) -> None:
        self._settings = settings
        self._primary = primary
        self._clock = clock
        self._account = re.compile(rf"{settings.account_prefix}[a-z0-9]{{1,18}}")

    async def create(self, plan: UndoPlan, verifier: str) -> None:
        account = self._checked(plan.account)
        parent, now = plan.details["parent"], self._clock.now()
        if parent not in self._settings.parents or not _VERIFIER.fullmatch(verifier):
            raise self._refused("parent or verifier is not one of ours")
        if not now < plan.not_after <= now + owner_script.LONGEST:
            raise self._refused("the end lies in the past or too far ahead")
        end = plan.not_after.astimezone(UTC)
        mark = f"callpoint 1 {self._settings.installation} {_seconds_up(end)} {parent}"
        # One message is one transaction: no account without its mark.
        await self._primary.execute(
            f'CREATE ROLE "{account}" LOGIN NOINHERIT NOCREATEDB NOCREATEROLE '
            f"CONNECTION LIMIT {self._settings.connection_limit} PASSWORD '{verifier}' "
            f"VALID UNTIL '{end.isoformat()}' IN ROLE \"{parent}\"; "
            f"COMMENT ON ROLE \"{account}\" IS '{mark}'"
        )

    async def disable(self, account: str) -> None:
        """Disable it; a session that holds the role's own row is ended, not waited for."""
        if not await self._exists(account):
            return
        for _ in range(_DISABLE_TRIES - 1):
            try:
                await self._disable_once(account)
            except TargetRefusedError as error:
                if error.code not in _HELD:
                    raise
                await self.terminate(account, self._primary)
            else:
                return
        await self._disable_once(account)

    async def _disable_once(self, account: str) -> None:
        await self._primary.execute(
            f"SET LOCAL lock_timeout = '{_DISABLE_WAIT}'; "
            f'ALTER ROLE "{account}" NOLOGIN CONNECTION LIMIT 0 PASSWORD NULL '
            "VALID UNTIL '-infinity'"
        )

    async def terminate(self, account: str, server: Server) -> int:
        self._checked(account)
        if server is self._primary:
            await self._join(account)
        # Only its own: ending foreign nameless sessions is the owner's decision.
        await server.rows(
            "SELECT pg_catalog.pg_terminate_backend(s.pid) FROM pg_catalog.pg_stat_activity s "
            "WHERE s.usesysid = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = $1)",
            account,
        )
        return (await self.seen(account, server)).sessions

    async def seen(self, account: str, server: Server) -> Seen:
        rows = await server.rows(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = $1) "  # noqa: S608 - constant words
            f"AS in_catalogue, (SELECT count(*) {_SESSIONS}) AS sessions",
            account,
        )
        return Seen(**rows[0])

    async def holdings(self, account: str) -> Holdings:
        rows = await self._primary.rows(
            "SELECT ARRAY(SELECT DISTINCT b.datname::text FROM pg_catalog.pg_shdepend d "
            "JOIN pg_catalog.pg_database b ON b.oid = d.dbid "
            "JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid "
            "WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND r.rolname = $1) "
            "AS databases, EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts) AS is_any_prepared",
            self._checked(account),
        )
        return Holdings(tuple(rows[0]["databases"]), rows[0]["is_any_prepared"])

    async def sweep(self, account: str, database: str) -> bool:
        if await self._exists(account):
            await self._join(account)
            await self._primary.execute(
                f'REASSIGN OWNED BY "{account}" TO {CUSTODIAN}; DROP OWNED BY "{account}"',
                database=database,
            )
        return True

    async def drop(self, account: str) -> None:
        if not await self._exists(account):
            return
        if (await self.seen(account, self._primary)).sessions:
            raise self._refused(f"{account} has live sessions")
        await self._primary.execute(f'DROP ROLE "{account}"')

    async def lend(self, account: str, verifier: str) -> tuple[Loan, ...]:
        """The account itself; what it prepared under its parent's name is not found this way."""
        rows = await self._primary.rows(
            "SELECT x.database::text AS database, x.gid FROM pg_catalog.pg_prepared_xacts x "
            "WHERE x.owner = $1",
            account,
        )
        if rows and await self._exists(account) and _VERIFIER.fullmatch(verifier):
            end = (self._clock.now() + _LEND).isoformat()
            await self._primary.execute(
                f'ALTER ROLE "{account}" LOGIN CONNECTION LIMIT 1 '
                f"PASSWORD '{verifier}' VALID UNTIL '{end}'"
            )
        return tuple(Loan(account, row["database"], row["gid"], account) for row in rows)

    async def take_back(self, account: str) -> None:
        await self.disable(account)

    async def home_snapshot(self, account: str, parent: str) -> tuple[list[Row], list[Row]]:
        shared = await self.cluster_snapshot(account)
        return shared, await self.database_snapshot(account, parent, self._settings.database)

    async def cluster_snapshot(self, account: str) -> list[Row]:
        query = owner_script.cluster_snapshot(self._settings)
        return await self._primary.rows(query, account, list(self._settings.parents))

    async def database_snapshot(self, account: str, parent: str, database: str) -> list[Row]:
        query = owner_script.database_snapshot(self._settings)
        return await self._primary.rows(query, account, parent, database=database)

    async def _join(self, account: str) -> None:
        """15: be a member of the account, so that we may reassign; 16 does so at creation."""
        joined = await self._primary.value(
            "SELECT pg_catalog.pg_has_role(current_user, r.oid, 'USAGE') "
            "FROM pg_catalog.pg_roles r WHERE r.rolname = $1",
            self._checked(account),
        )
        if joined is False:
            await self._primary.execute(f'GRANT "{account}" TO "{self._settings.powers}"')

    async def _exists(self, account: str) -> bool:
        """Whether it exists, and is ours by its mark.

        Raises:
            TargetRefusedError: A role of that name that we did not make.
        """
        mark = await self._primary.rows(
            "SELECT pg_catalog.shobj_description(r.oid, 'pg_authid') AS mark "
            "FROM pg_catalog.pg_roles r WHERE r.rolname = $1",
            self._checked(account),
        )
        own = f"callpoint 1 {self._settings.installation} "
        if mark and not (mark[0]["mark"] or "").startswith(own):
            raise self._refused(f"role {account} was not made by this installation")
        return bool(mark)

    def _checked(self, account: str) -> str:
        if not self._account.fullmatch(account):
            raise self._refused("not an account of this installation")
        return account

    def _refused(self, message: str) -> TargetRefusedError:
        return TargetRefusedError(message, target=self._settings.name, code="42501")


def _seconds_up(end: datetime) -> int:
    return -int(-end.timestamp() // 1)
