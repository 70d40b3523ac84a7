"""The broker's login at a server: a connection, and the statements that were prepared on it.

A revocation asks the same dozen questions as the one before. A statement that is prepared is parsed
and planned once for a connection, and answers in one turn instead of two.
"""

import hashlib
from typing import Any

import asyncpg


class Login:
    """One of them.

    Args:
        connection: The driver's.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - the driver ships without types
        self.connection = connection
        self._prepared: dict[str, Any] = {}

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """The rows of one statement in a transaction of its own; errors are the driver's.

        A pooler may lead the next message to another session of the server's, which has no such
        statement, or has it already. Its name says what it is, so it is never another one, and the
        server refuses before anything is done: then it is asked again without a name.
        """
        try:
            prepared = self._prepared.get(query)
            if prepared is None:
                prepared = await self.connection.prepare(query, name=_name(query))
                self._prepared[query] = prepared
            found: list[Any] = await prepared.fetch(*arguments)
        except (
            asyncpg.InvalidSQLStatementNameError,
            asyncpg.DuplicatePreparedStatementError,
            asyncpg.InvalidCachedStatementError,  # the owner changed what a function returns
        ):
            self._prepared.pop(query, None)
            found = await self.connection.fetch(query, *arguments)
        return found


def _name(query: str) -> str:
    return f"callpoint_{hashlib.sha256(query.encode()).hexdigest()[:24]}"
