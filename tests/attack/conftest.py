"""A holder of tokens, before anything is attacked."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.face import Face
from tests.fakes.token_client import TokenClient
from tests.fakes.world import make_world


@pytest.fixture
async def alice() -> AsyncIterator[TokenClient]:
    world = await make_world()
    async with Face(world) as face:
        await world.incident()
        yield TokenClient(face)
