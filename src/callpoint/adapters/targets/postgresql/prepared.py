"""Rolling back what an account left prepared (PREPARE TRANSACTION).

Only the role that prepared it or a superuser can, in the same database, and no function can. A
prepared transaction survives its session and holds its locks: it can make DROP ROLE, and even
disabling, wait for ever. So the authority lends us a login for half a minute, with a secret that
only we know.
"""

from typing import Protocol

from callpoint.adapters.targets.postgresql import scram
from callpoint.adapters.targets.postgresql.authority import Loan
from callpoint.adapters.targets.postgresql.server import Server
from callpoint.ports.clock import Random


class Lender(Protocol):
    """Whoever can lend us a login; an ``Authority`` is one."""

    async def lend(self, account: str, verifier: str) -> tuple[Loan, ...]:
        """Let us log in to roll back what the account left prepared; nothing when it did not."""
        ...

    async def take_back(self, account: str) -> None:
        """The login that was lent ends."""
        ...


async def roll_back_prepared(
    primary: Server, authority: Lender, account: str, random: Random
) -> None:
    """Roll back every prepared transaction of the account, and end the login that was lent.

    Raises:
        TargetRefusedError: The server answered no.
        TargetUnknownError: No answer. The login ends with the next call, or by itself.
    """
    # Anybody may see whether there are any; mostly there are none, and a verifier takes its time.
    if not await primary.value("SELECT EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts)"):
        return
    secret = random.token(24).hex()
    salt = random.token(scram.SALT_SIZE)
    loans = await authority.lend(account, scram.verifier(secret, salt))
    if not loans:
        return
    try:
        for loan in loans:
            await _roll_back(primary, loan, secret)
    finally:
        await authority.take_back(account)


async def _roll_back(primary: Server, loan: Loan, secret: str) -> None:
    async with primary.connection(loan.database, user=loan.login, password=secret) as session:
        # Utility statements take no parameters; the server quotes its own words.
        owner, gid = await session.fetchrow(
            "SELECT pg_catalog.quote_ident($1::text), pg_catalog.quote_literal($2::text)",
            loan.owner,
            loan.gid,
        )
        await session.execute(f"SET ROLE {owner}")
        await session.execute(f"ROLLBACK PREPARED {gid}")
