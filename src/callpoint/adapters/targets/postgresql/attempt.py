"""Trying a credential, and reading the answer by its code.

PostgreSQL's order at login decides what a code proves: first ``pg_hba`` (``ClientAuthentication``),
then the secret (``auth_failed``), then "may this role log in, has it connections left"
(``InitializeSessionUserId``). The routine's name comes with the error and is not translated.
"""

import asyncpg
import msgspec

from callpoint.adapters.targets.postgresql.idle import closed
from callpoint.domain.errors import TargetRefusedError
from callpoint.ports.targets import Attempt, ProbeResult

_LOGIN_LIMIT = 5.0


class Door(msgspec.Struct, frozen=True):
    """Where to try: ``host`` is a name or the directory of a socket."""

    host: str
    port: int
    dbname: str
    sslmode: str = ""


async def attempt(door: Door, username: str, secret: str) -> ProbeResult:
    """Log in and leave at once. Never raises for what the server says."""
    try:
        connection = await asyncpg.connect(
            host=door.host,
            port=door.port,
            database=door.dbname,
            user=username,
            password=secret,
            ssl=door.sslmode or None,
            timeout=_LOGIN_LIMIT,
            statement_cache_size=0,
            server_settings={"application_name": "callpoint probe"},
        )
    except asyncpg.PostgresError as error:
        return read(error.sqlstate or "", getattr(error, "server_source_function", None) or "")
    except (TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return ProbeResult(Attempt.UNKNOWN)
    await closed(connection)
    return ProbeResult(Attempt.ACCEPTED, "00000")


def read(sqlstate: str, routine: str) -> ProbeResult:
    """What a failed login proves.

    Args:
        sqlstate: The server's code.
        routine: The server function that raised it.
    """
    match sqlstate, routine:
        case "28000", "ClientAuthentication":
            # pg_hba turned *us* away before the secret was looked at: it says nothing about it.
            return ProbeResult(Attempt.UNKNOWN, "28000 pg_hba")
        case (("28000" | "28P01"), _):
            return ProbeResult(Attempt.REFUSED, sqlstate)
        case "53300", "InitializeSessionUserId" | "InitPostgres":
            # The role has no connection left, or only reserved ones are: both after the secret.
            return ProbeResult(Attempt.ACCEPTED, sqlstate)
        case "55000" | "42501" | "3D000", _:
            # Database closed to it, no CONNECT right, no such database: all after the secret.
            return ProbeResult(Attempt.ACCEPTED, sqlstate)
        case _:
            return ProbeResult(Attempt.UNKNOWN, sqlstate)


def door_of(endpoint: dict[str, str], target: str) -> Door:
    """The door that a credential's ``endpoint`` names."""
    try:
        return Door(
            host=endpoint["host"],
            port=int(endpoint["port"]),
            dbname=endpoint["dbname"],
            sslmode=endpoint.get("sslmode", ""),
        )
    except (KeyError, ValueError) as error:
        raise TargetRefusedError(
            "the credential does not say where to connect", target=target
        ) from error
