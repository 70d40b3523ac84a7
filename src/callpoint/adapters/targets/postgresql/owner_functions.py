"""7a: everything goes through the functions that the owner installed; the broker owns nothing."""

from callpoint.adapters.targets.postgresql.authority import Loan
from callpoint.adapters.targets.postgresql.server import Row, Server
from callpoint.domain.undo_plan import UndoPlan


class OwnerFunctions:
    """Implements ``Authority`` by calling the schema's functions.

    Args:
        primary: The broker's login at the primary.
        schema: Where the functions are; its form has been checked by the settings.
        connections: Sessions that one account may have.
    """

    def __init__(self, primary: Server, schema: str, connections: int) -> None:
        self._primary = primary
        self._schema = schema
        self._connections = connections

    async def create(self, plan: UndoPlan, verifier: str) -> None:
        await self._primary.value(
            self._call("create_account($1, $2, $3, $4, $5)"),
            plan.account,
            verifier,
            plan.details["parent"],
            plan.not_after,
            self._connections,
        )

    async def disable(self, account: str) -> None:
        await self._primary.value(self._call("disable($1)"), account)

    async def terminate(self, account: str, server: Server) -> int:
        return int(await server.value(self._call("terminate($1)"), account))

    async def sessions(self, account: str, server: Server) -> int:
        return int(await server.value(self._call("sessions($1)"), account))

    async def databases(self, account: str) -> list[str]:
        rows = await self._primary.rows(self._call("databases($1) AS name"), account)
        return [str(row["name"]) for row in rows]

    async def sweep(self, account: str, database: str) -> bool:
        return bool(await self._primary.value(self._call("sweep($1)"), account, database=database))

    async def drop(self, account: str) -> None:
        await self._primary.value(self._call("drop_account($1)"), account)

    async def lend(self, account: str, verifier: str) -> tuple[Loan, ...]:
        call = self._call("lend($1, $2)", "SELECT * FROM")
        rows = await self._primary.rows(call, account, verifier)
        return tuple(Loan(**row) for row in rows)

    async def take_back(self, account: str) -> None:
        await self._primary.value(self._call("take_back($1)"), account)

    async def cluster_snapshot(self, account: str) -> list[Row]:
        return await self._primary.rows(
            self._call("cluster_snapshot($1)", "SELECT * FROM"), account
        )

    async def database_snapshot(self, account: str, parent: str, database: str) -> list[Row]:
        call = self._call("snapshot($1, $2)", "SELECT * FROM")
        return await self._primary.rows(call, account, parent, database=database)

    def _call(self, function: str, how: str = "SELECT") -> str:
        return f"{how} {self._schema}.{function}"
