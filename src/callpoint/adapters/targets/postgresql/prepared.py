"""Rolling back what an account left prepared (PREPARE TRANSACTION).

Only the account itself or a superuser can, in the same database, and no function can. A prepared
transaction survives its session, holds its locks, and can make DROP ROLE wait for ever. So the
authority lends us the disabled account for half a minute, with a secret that only we know.
"""

from typing import Any

from callpoint.adapters.targets.postgresql import scram
from callpoint.adapters.targets.postgresql.authority import Authority
from callpoint.adapters.targets.postgresql.server import Server
from callpoint.ports.clock import Random


async def roll_back_prepared(
    primary: Server, authority: Authority, account: str, random: Random
) -> None:
    """Roll back every prepared transaction of the account, and disable it again.

    Raises:
        TargetRefusedError: The server answered no.
        TargetUnknownError: No answer. The account is disabled by the next call at the latest.
    """
    secret = random.token(24).hex()
    salt = random.token(scram.SALT_SIZE)
    databases = await authority.lend(account, scram.verifier(secret, salt))
    if not databases:
        return
    try:
        for database in databases:
            async with primary.connection(database, user=account, password=secret) as actor:
                await _roll_back(actor)
    finally:
        await authority.disable(account)


async def _roll_back(actor: Any) -> None:  # noqa: ANN401 - the driver ships without types
    rows = await actor.fetch(
        "SELECT gid FROM pg_catalog.pg_prepared_xacts "
        "WHERE owner = session_user AND database = pg_catalog.current_database()"
    )
    for row in rows:
        # A utility statement takes no parameters; the server quotes its own words.
        quoted = await actor.fetchval("SELECT pg_catalog.quote_literal($1::text)", row["gid"])
        await actor.execute(f"ROLLBACK PREPARED {quoted}")
