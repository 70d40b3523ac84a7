"""What the actor does on the database: through the gateway, with psql or with a driver."""

from collections.abc import Sequence
from typing import Any

import psycopg

from callpoint.api.connection_messages import ConnectionView, ConnectionWish
from callpoint.cli.client import Client
from callpoint.cli.demo.errors import UnexpectedError
from callpoint.cli.demo.stage import Stage
from callpoint.cli.keyring import load_principal_key
from callpoint.cli.machine import ThisMachine

_WAIT_SECONDS = 5


class Actor:
    """Alice at the database, under one activation."""

    def __init__(self, made: Stage, who: str, activation: str) -> None:
        self._stage = made
        self._who = who
        self._activation = activation

    def works(self, statement: str) -> None:
        """Run a statement that is in scope."""
        if self._stage.has_psql:
            self._psql([statement], code=0)
            return
        with self.session() as session:
            self._stage.narrator.line(f"(no psql here, so a driver) {statement}")
            session.execute(statement.encode())

    def is_refused(self, statements: Sequence[tuple[str, str]]) -> None:
        """Run some that are not, in one session, which each refusal leaves open.

        Args:
            statements: Each with words of its refusal.
        """
        texts = [text for text, _ in statements]
        said = self._psql(texts, code=1) if self._stage.has_psql else self._driver(texts)
        for text, words in statements:
            if words not in said:
                raise UnexpectedError(f"no refusal of `{text}` ({words}):\n{said}")

    def secret(self, logins: int = 1) -> ConnectionView:
        """What a client logs in with at the gateway, within a minute and so often."""
        key = load_principal_key(self._stage.shell.key_file(self._who))
        client = Client(self._stage.server, key, ThisMachine())
        return client.connection(self._activation, ConnectionWish(logins=logins))

    def session(self, secret: ConnectionView | None = None) -> "psycopg.Connection[Any]":
        """A live session with a driver; the caller closes it, or it is cut."""
        given = secret or self.secret()
        return psycopg.connect(
            host=given.host,
            port=given.port,
            dbname=given.dbname,
            sslmode=given.sslmode,
            user=given.connection,
            password=given.secret,
            connect_timeout=_WAIT_SECONDS,
            autocommit=True,
        )

    def _psql(self, statements: Sequence[str], *, code: int) -> str:
        # -X: nobody's .psqlrc; -e: shows each statement above what it is answered.
        given = [word for text in statements for word in ("-c", text)]
        more = ["-e"] if len(statements) > 1 else []
        return self._stage.shell.run(
            self._who, "connect", self._activation, "--keep", "--", "-X", *more, *given, code=code
        )

    def _driver(self, statements: Sequence[str]) -> str:
        """What was refused, as psql would show it."""
        said = []
        with self.session() as session:
            for text in statements:
                self._stage.narrator.line(f"(no psql here, so a driver) {text}")
                try:
                    session.execute(text.encode())
                except psycopg.errors.InsufficientPrivilege as error:
                    said.append(str(error))
                    self._stage.narrator.seen(said[-1])
        return "\n".join(said)
