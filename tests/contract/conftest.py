"""Stores for the store suites."""

import pytest

from tests.contract.store_benches import MemoryBench, PostgresBench, SqliteBench
from tests.servers import fresh_database


@pytest.fixture(scope="session")
def store_database_15(postgres_15):
    """A database on the oldest PostgreSQL; each bench has its own schema in it."""
    with fresh_database(postgres_15) as database:
        yield database


@pytest.fixture(scope="session")
def store_database_newest(postgres_newest):
    """The same on the newest."""
    with fresh_database(postgres_newest) as database:
        yield database


@pytest.fixture(params=["memory", "sqlite", "store_database_15", "store_database_newest"])
def bench(request, tmp_path):
    """Each kind of store in turn."""
    match request.param:
        case "memory":
            return MemoryBench()
        case "sqlite":
            return SqliteBench(tmp_path)
        case database:
            return PostgresBench(tmp_path, request.getfixturevalue(database))


@pytest.fixture
async def store(bench):
    """The bench's store, open."""
    opened = await bench.open()
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", "store_database_15"])
def disk_bench(request, tmp_path):
    """Each kind of store that lies on a disk."""
    if request.param == "sqlite":
        return SqliteBench(tmp_path)
    return PostgresBench(tmp_path, request.getfixturevalue(request.param))


@pytest.fixture
def postgres_bench(tmp_path, store_database_15):
    """Several processes on one PostgreSQL."""
    return PostgresBench(tmp_path, store_database_15)
