"""An actor's session on a real server as the gateway will hold it, with facts read in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from callpoint.gateways.postgres.sql.catalogue_query import CATALOGUE_QUERY, catalogue_of
from callpoint.gateways.postgres.sql.classify import Classifier
from callpoint.gateways.postgres.sql.facts import Catalogue, Pins
from tests.servers import FreshDatabase

Connection = psycopg.Connection[Any]


def read_catalogue(session: Connection) -> Catalogue:
    """The facts as this session sees them."""
    return catalogue_of(session.execute(CATALOGUE_QUERY).fetchall())


def classifier_of(session: Connection, *path: str) -> Classifier:
    """Over what this session sees now."""
    return Classifier(read_catalogue(session), Pins(path or ("public",)))


@contextmanager
def pinned(database: FreshDatabase, *path: str, user: str = "") -> Iterator[Connection]:
    """A session with the pinned path, in autocommit; as the superuser unless a user is named."""
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        if user:
            session.execute(f'SET SESSION AUTHORIZATION "{user}"')
        session.execute(f"SET search_path = {Pins(path or ('public',)).setting}")
        yield session
