"""A town for each story, on the oldest PostgreSQL that is supported."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from callpoint.cli.throwaway import ThrowawayPostgres
from tests.servers import FreshDatabase, fresh_database
from tests.stories.secrecy import found
from tests.stories.town import Town


@pytest.fixture
def town(postgres_15: ThrowawayPostgres, tmp_path: Path) -> Iterator[Town]:
    """Not built yet: a story says with which rules and which store. None leaves a secret behind."""
    since = postgres_15.log_path.stat().st_size
    with fresh_database(postgres_15) as database:
        made = Town(tmp_path, database)
        try:
            yield made
        finally:
            if made.installation.exists():
                made.remove_roles()
        if made.installation.exists():
            assert found(made, postgres_15.log_path.read_bytes()[since:]) == []


@pytest.fixture
def store(postgres_15: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    """A database for Callpoint itself, apart from the target."""
    with fresh_database(postgres_15) as database:
        yield database
