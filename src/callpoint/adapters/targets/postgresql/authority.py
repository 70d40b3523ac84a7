"""What the broker may do on a target, in either of two ways (7a, 7b), as the connector needs it."""

from typing import Protocol

import msgspec

from callpoint.adapters.targets.postgresql.server import Row, Server
from callpoint.domain.undo_plan import UndoPlan


class Loan(msgspec.Struct, frozen=True):
    """One prepared transaction, and the login that may roll it back.

    Attributes:
        login: The role to log in as, with the secret that was handed over.
        gid: The transaction's name, chosen by whoever prepared it.
        owner: The role that prepared it: who rolls it back must be this one.
    """

    login: str
    database: str
    gid: str
    owner: str


class Seen(msgspec.Struct, frozen=True):
    """What one endpoint shows of an account.

    Attributes:
        sessions: Also those of a role that has been dropped.
    """

    in_catalogue: bool
    sessions: int


class Holdings(msgspec.Struct, frozen=True):
    """What may stand in the way of dropping an account.

    Attributes:
        databases: Those that hold something of it.
        is_any_prepared: Somebody, perhaps not the account, has a prepared transaction.
    """

    databases: tuple[str, ...]
    is_any_prepared: bool


class Authority(Protocol):
    """Acts on one account at a time. Errors are those of ``Server.rows``; all is idempotent."""

    async def create(self, plan: UndoPlan, verifier: str) -> None:
        """Make the login role, expiring at ``plan.not_after``, as a member of the parent."""
        ...

    async def disable(self, account: str) -> None:
        """No login, no password, no connection; nothing if the role is gone."""
        ...

    async def terminate(self, account: str, server: Server) -> int:
        """Ask every session there to end; how many there were before."""
        ...

    async def seen(self, account: str, server: Server) -> Seen:
        """Whether anything of it is there."""
        ...

    async def holdings(self, account: str) -> Holdings:
        """What has to be given away or rolled back before it can be dropped."""
        ...

    async def sweep(self, account: str, database: str) -> bool:
        """Give what it owns there to the custodian, take back what it was granted there.

        False: some of it is done, and there is more.
        """
        ...

    async def drop(self, account: str) -> None:
        """Drop the disabled role; refused while it has sessions or owns something."""
        ...

    async def lend(self, account: str, verifier: str) -> tuple[Loan, ...]:
        """Let us log in to roll back what the account left prepared; nothing when it did not."""
        ...

    async def take_back(self, account: str) -> None:
        """The login that was lent ends."""
        ...

    async def home_snapshot(self, account: str, parent: str) -> tuple[list[Row], list[Row]]:
        """Both of these, for the database that the broker logs in to."""
        ...

    async def cluster_snapshot(self, account: str) -> list[Row]:
        """``kind``, ``name``, ``concerns`` of what all databases share."""
        ...

    async def database_snapshot(self, account: str, parent: str, database: str) -> list[Row]:
        """The same for one database."""
        ...
