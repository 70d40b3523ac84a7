"""Real servers for tests: which one, what happens when it is missing, and fresh databases on it."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import psycopg
import pytest
from psycopg import sql

from callpoint.cli.postgres_server import PostgresServer, find_servers
from callpoint.cli.sshd_server import SshServer, find_sshd
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.errors import UnavailableError

# Every statement is logged, so that a test can look for a secret in what the server wrote down.
_SETTINGS = {"log_statement": "all", "log_connections": "on", "max_connections": "150"}


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """An empty database of one test.

    Attributes:
        server: Where it is.
        name: Its name, random.
        owner_url: The superuser in it, over the socket: plays the owner of the target.
    """

    server: ThrowawayPostgres
    name: str
    owner_url: str

    def url(self, user: str, password: str) -> str:
        """Anybody over TCP with a password."""
        return self.server.url(self.name, user, password)


def missing(reason: str) -> NoReturn:
    """Skip the test with the reason; under CI=true fail it: nothing goes untested unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def need_sshd() -> SshServer:
    """The OpenSSH server of this machine, or skip or fail as `missing` says."""
    try:
        return find_sshd()
    except UnavailableError as error:
        missing(str(error))


def newest(servers: tuple[PostgresServer, ...]) -> PostgresServer | None:
    """The newest of them, if it is newer than the oldest that we support (15)."""
    newer = [server for server in servers if server.major > 15]
    return max(newer, key=lambda server: server.version, default=None)


def fifteen(servers: tuple[PostgresServer, ...]) -> PostgresServer | None:
    """The first that is PostgreSQL 15."""
    return next((server for server in servers if server.major == 15), None)


@contextmanager
def running_server(
    choose: Callable[[tuple[PostgresServer, ...]], PostgresServer | None], what: str
) -> Iterator[ThrowawayPostgres]:
    """Start the chosen server, or skip or fail as `missing` says.

    Args:
        choose: Picks from what the machine has.
        what: The server in words, for the reason.
    """
    server = choose(find_servers())
    if server is None:
        missing(f"{what} is not on this machine")
    with ThrowawayPostgres(server, settings=_SETTINGS) as postgres:
        yield postgres


@contextmanager
def fresh_database(server: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    """Create an empty database and drop it afterwards, whoever is still connected."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(server.superuser_url(), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield FreshDatabase(server, name, server.superuser_url(name))
    finally:
        with psycopg.connect(server.superuser_url(), autocommit=True) as owner:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            owner.execute(drop.format(sql.Identifier(name)))
