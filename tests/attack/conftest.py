"""A holder of tokens, before anything is attacked; an empty database to put behind a gateway."""

from collections.abc import AsyncIterator, Iterator

import pytest

from callpoint.cli.throwaway import ThrowawayPostgres
from tests.fakes.face import Face
from tests.fakes.token_client import TokenClient
from tests.fakes.world import make_world
from tests.servers import FreshDatabase, fresh_database


@pytest.fixture
async def alice() -> AsyncIterator[TokenClient]:
    world = await make_world()
    async with Face(world) as face:
        await world.incident()
        yield TokenClient(face)


@pytest.fixture
def target(postgres_15: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    with fresh_database(postgres_15) as fresh:
        yield fresh
