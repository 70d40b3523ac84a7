"""What the actor does on the database with the credential: with psql, or with a driver."""

import json
from pathlib import Path
from typing import Any

import psycopg

from callpoint.cli.demo.errors import UnexpectedError
from callpoint.cli.demo.stage import Stage

INSUFFICIENT_PRIVILEGE = "42501"


class Actor:
    """Alice at the database, under one activation."""

    def __init__(self, made: Stage, who: str, activation: str) -> None:
        self._stage = made
        self._who = who
        self._activation = activation
        self._file = made.folder / who / f"{activation}.json"

    def works(self, statement: str) -> None:
        """Run a statement that is in scope."""
        if self._stage.has_psql:
            self._psql(statement, code=0)
            return
        with self.session() as session:
            self._stage.narrator.line(f"(no psql here, so a driver) {statement}")
            session.execute(statement.encode())

    def is_refused(self, statement: str) -> None:
        """Run one that is not: the database itself says no."""
        if self._stage.has_psql:
            out = self._psql(statement, code=1)
            if "permission denied" not in out:
                raise UnexpectedError(f"the database did not refuse: {out}")
            return
        with self.session() as session:
            self._stage.narrator.line(f"(no psql here, so a driver) {statement}")
            try:
                session.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege as error:
                self._stage.narrator.seen(str(error))
                return
        raise UnexpectedError(f"the database allowed: {statement}")

    def session(self) -> "psycopg.Connection[Any]":
        """A live session with a driver; the caller closes it, or it is cut."""
        if not self._file.exists():
            self._stage.shell.run(
                self._who, "credentials", self._activation, "--file", str(self._file), show=False
            )
        return psycopg.connect(**_parameters(self._file), connect_timeout=5, autocommit=True)

    def _psql(self, statement: str, *, code: int) -> str:
        # -X: nobody's .psqlrc; -v: psql ends with 3 in a script, with 1 after -c.
        return self._stage.shell.run(
            self._who, "connect", self._activation, "--keep", "--", "-X", "-c", statement, code=code
        )


def _parameters(file: Path) -> dict[str, Any]:
    """Connection parameters out of the file that ``callpoint credentials --file`` wrote."""
    (sealed,) = json.loads(file.read_text())
    found = sealed["credential"]
    endpoint: dict[str, str] = found["endpoint"]
    wanted = ("host", "port", "dbname", "options")
    kept: dict[str, Any] = {k: endpoint[k] for k in wanted if k in endpoint}
    return {**kept, "user": found["username"], "password": found["secret"]}
