"""7a: everything goes through the functions that the owner installed; the broker owns nothing."""

from callpoint.adapters.targets.postgresql.authority import Holdings, Loan, Seen
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

    async def seen(self, account: str, server: Server) -> Seen:
        rows = await server.rows(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1) AS in_catalogue, "  # noqa: S608 - a checked identifier
            f"{self._schema}.sessions($1) AS sessions",
            account,
        )
        return Seen(**rows[0])

    async def holdings(self, account: str) -> Holdings:
        rows = await self._primary.rows(
            f"SELECT ARRAY(SELECT {self._schema}.databases($1))::text[] AS databases, "  # noqa: S608 - a checked identifier
            "EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts) AS is_any_prepared",
            account,
        )
        return Holdings(tuple(rows[0]["databases"]), rows[0]["is_any_prepared"])

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

    async def home_snapshot(self, account: str, parent: str) -> tuple[list[Row], list[Row]]:
        rows = await self._primary.rows(
            f"SELECT true AS shared, * FROM {self._schema}.cluster_snapshot($1) "  # noqa: S608 - a checked identifier
            f"UNION ALL SELECT false, * FROM {self._schema}.snapshot($1, $2)",
            account,
            parent,
        )
        return [row for row in rows if row["shared"]], [row for row in rows if not row["shared"]]

    async def cluster_snapshot(self, account: str) -> list[Row]:
        return await self._primary.rows(
            self._call("cluster_snapshot($1)", "SELECT * FROM"), account
        )

    async def database_snapshot(self, account: str, parent: str, database: str) -> list[Row]:
        call = self._call("snapshot($1, $2)", "SELECT * FROM")
        return await self._primary.rows(call, account, parent, database=database)

    def _call(self, function: str, how: str = "SELECT") -> str:
        return f"{how} {self._schema}.{function}"
