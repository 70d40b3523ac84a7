"""One way in to a PostgreSQL server as the broker: few connections, time limits, our errors.

Every error of the driver becomes ``TargetRefusedError`` (the server answered with an SQLSTATE:
its transaction was rolled back, nothing was done) or ``TargetUnknownError`` (it may be done).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import asyncpg

from callpoint.adapters.targets.postgresql.idle import IdleConnections, closed
from callpoint.adapters.targets.postgresql.login import Login
from callpoint.adapters.targets.postgresql.settings import address_of
from callpoint.domain.errors import TargetRefusedError, TargetUnknownError
from callpoint.domain.untrusted import printable

_CONNECT_LIMIT = timedelta(seconds=5)
_QUERY_LIMIT = timedelta(seconds=10)
_LOCK_LIMIT = "5s"
_AT_ONCE = 4

Row = dict[str, Any]


def unanswered(sqlstate: str) -> bool:
    """Whether this code leaves open if the statement took effect.

    Class 08 is a lost connection, 40003 "completion unknown", 57P01-57P05 a server going down.
    """
    return sqlstate.startswith(("08", "57P")) or sqlstate == "40003"


@contextmanager
def translated(target: str, endpoint: str) -> Iterator[None]:
    """Turn what the driver raises into the two errors that a connector may raise."""
    where = target if endpoint == "primary" else f"{target} ({endpoint})"
    try:
        yield
    except asyncpg.PostgresError as error:
        code = error.sqlstate or ""
        said = printable(error.message or type(error).__name__)
        if not code or unanswered(code):
            raise TargetUnknownError(
                f"{where} did not finish: {said}", target=target, code=code
            ) from error
        raise TargetRefusedError(
            f"{where} refused: {said}", target=target, code=code, way_out=_way_out(code, target)
        ) from error
    except (TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # The driver's text may quote the connection string, so only its class is told (I14).
        raise TargetUnknownError(
            f"{where} does not answer ({type(error).__name__})",
            target=target,
            way_out="is it up, does its DSN name the right place, and may this server reach it?",
        ) from error


def _way_out(code: str, target: str) -> str:
    match code:
        case "28P01" | "28000":
            return "check the broker's DSN, its password and pg_hba.conf"
        case "42883" | "3F000":
            return f"run what `callpoint target prepare {target}` prints, in this database"
        case "25006":
            return "the DSN leads to a standby: point it at the primary"
        case _:
            return ""


class Server:
    """The broker's connections to one endpoint of a target.

    Args:
        target: The target's configured name, for errors.
        endpoint: ``primary`` or the endpoint's configured name.
        dsn: The broker's login there.
        sslmode: libpq's word, or empty for what the DSN says.
    """

    def __init__(self, target: str, endpoint: str, dsn: str, sslmode: str) -> None:
        self.endpoint = endpoint
        self._target = target
        self._dsn = dsn
        self._sslmode = sslmode
        self._home = address_of(dsn).dbname
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._busy = 0
        self._idle = IdleConnections()

    def __repr__(self) -> str:
        return f"Server({self._target}/{self.endpoint})"

    @asynccontextmanager
    async def connection(
        self, database: str = "", *, user: str = "", password: str = ""
    ) -> AsyncIterator[Any]:
        """A connection in no transaction, one of a few; what is given overrides the DSN's.

        Who uses it leaves no setting and no transaction behind. Afterwards it waits a moment for
        the next caller, unless it is another login's or something went wrong.
        """
        async with self._login(database, user, password) as login:
            yield login.connection

    @asynccontextmanager
    async def _login(
        self, database: str = "", user: str = "", password: str = ""
    ) -> AsyncIterator[Login]:
        database = database or self._home
        async with self._turn():
            with translated(self._target, self.endpoint):
                found = None if user else await self._idle.take(database)
                login = found or Login(await self._connected(database, user, password))
            connection = login.connection
            is_in_order = False
            try:
                with translated(self._target, self.endpoint):
                    yield login
                is_in_order = not (connection.is_closed() or connection.is_in_transaction())
            finally:
                if is_in_order and not user:
                    await self._idle.keep(database, login)
                else:
                    await closed(connection)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with self._at_once:
            self._busy += 1
            try:
                yield
            finally:
                self._busy -= 1

    async def _connected(self, database: str, user: str, password: str) -> Any:  # noqa: ANN401 - the driver ships without types
        # Of those that wait none may be one too many: an owner may have limited the broker.
        while len(self._idle) > _AT_ONCE - self._busy:
            await self._idle.drop_oldest()
        given = {"database": database, "user": user, "password": password}
        options: dict[str, Any] = {key: value for key, value in given.items() if value}
        if self._sslmode:
            options["ssl"] = self._sslmode
        return await asyncpg.connect(
            self._dsn,
            timeout=_CONNECT_LIMIT.total_seconds(),
            command_timeout=_QUERY_LIMIT.total_seconds(),
            # The driver's own names mean another statement in another process: behind a pooler, one
            # would be run for another. ``Login`` has names of its own.
            statement_cache_size=0,
            # Ours, whatever an account's or a database's own settings say.
            server_settings={
                "application_name": "callpoint",
                "lock_timeout": _LOCK_LIMIT,
                "search_path": "pg_catalog",
            },
            **options,
        )

    async def rows(self, query: str, *arguments: object, database: str = "") -> list[Row]:
        """Run one statement in a transaction of its own.

        Raises:
            TargetRefusedError: The server answered with an SQLSTATE.
            TargetUnknownError: No answer.
        """
        async with self._login(database) as login:
            return [dict(row) for row in await login.rows(query, *arguments)]

    async def execute(self, statements: str, *, database: str = "") -> None:
        """Run statements that take no parameters, as one transaction. Errors as ``rows``."""
        async with self.connection(database) as connection:
            await connection.execute(statements)

    async def value(self, query: str, *arguments: object, database: str = "") -> Any:  # noqa: ANN401 - whatever the column holds
        """The first column of the first row, or None."""
        found = await self.rows(query, *arguments, database=database)
        return next(iter(found[0].values())) if found else None
