"""A throwaway PostgreSQL, everything durable, and targets on it as owners prepare them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from benchmarks.report import fail
from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings, RoleSettings
from callpoint.cli.postgres_server import find_servers
from callpoint.cli.throwaway import ThrowawayPostgres

PARENT = "orders_repair"
_SETTINGS = {"max_connections": "200", "shared_buffers": "256MB"}


@contextmanager
def postgres(*, is_durable: bool = True) -> Iterator[ThrowawayPostgres]:
    """The first server that is found; with ``fsync``, unless nothing is measured."""
    found = find_servers()
    if not found:
        fail("no PostgreSQL server is on this machine (Debian: postgresql)")
    with ThrowawayPostgres(found[0], fsync=is_durable, settings=_SETTINGS) as server:
        yield server


def make_database(server: ThrowawayPostgres, name: str) -> None:
    """An empty database."""
    with psycopg.connect(server.superuser_url(), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


@dataclass(frozen=True)
class Prepared:
    """A target that its owner has prepared.

    Attributes:
        owner_url: A superuser in it: sees what is left.
        settings: As the configuration would say.
    """

    owner_url: str
    settings: PostgresqlSettings


def prepare(
    server: ThrowawayPostgres, name: str, installation: str, *, sessions: int = 5
) -> Prepared:
    """A database with its broker, a parent role and the owner's functions, run as documented.

    Args:
        server: Where.
        name: The target's.
        installation: Whose.
        sessions: How many an account may have at a time.
    """
    database, broker = f"target_{name.replace('-', '_')}", f"broker_{name.replace('-', '_')}"
    password = secrets.token_hex(16)
    make_database(server, database)
    settings = PostgresqlSettings(
        name=name,
        installation=installation,
        dsn=server.url(database, broker, password),
        roles={"repair": RoleSettings(PARENT)},
        databases=(database,),
        connection_limit=sessions,
    )
    with psycopg.connect(server.superuser_url(database), autocommit=True) as owner:
        owner.execute(
            f"CREATE ROLE {broker} LOGIN NOINHERIT PASSWORD '{password}';"
            f"DO $$ BEGIN CREATE ROLE {PARENT} NOLOGIN;"
            "EXCEPTION WHEN duplicate_object THEN END $$;"
            f"CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO {PARENT};"
        )
        owner.execute(owner_script.render_home(settings))
    return Prepared(server.superuser_url(database), settings)


def alive(owner_url: str, installation: str) -> int:
    """Accounts of the installation that still exist, and sessions of accounts that are gone."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        found = owner.execute(
            "SELECT (SELECT count(*) FROM pg_roles WHERE starts_with(rolname::text, %s)) +"
            " (SELECT count(*) FROM pg_stat_activity s WHERE s.usesysid IS NOT NULL"
            "  AND s.usesysid NOT IN (SELECT oid FROM pg_roles))",
            (f"cp_{installation}",),
        ).fetchone()
    return int(found[0]) if found else 0
