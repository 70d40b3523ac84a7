"""SQLAlchemy through the PostgreSQL gateway, as applications use it: pool, ORM, reflection."""

from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import URL, Connection, MetaData, Text, func, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.ports.authority import Reach
from tests.postgres_gateway_site import SECRET, GatewaySite, open_gateway
from tests.servers import fresh_database

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one gateway for all of them
DRIVERS = ("psycopg", "asyncpg")


class Base(DeclarativeBase):
    """Of the mapped tables."""


class Note(Base):
    """A row of which the server gives the key and the time."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(postgres_15: ThrowawayPostgres) -> AsyncIterator[GatewaySite]:
    with fresh_database(postgres_15) as target:
        async with open_gateway(target) as made:
            yield made


@pytest_asyncio.fixture(params=DRIVERS, loop_scope="module")
async def engine(site: GatewaySite, request: pytest.FixtureRequest) -> AsyncIterator[AsyncEngine]:
    """A pool of one connection, which is tried before each use; nothing else is set."""
    site.authority.allows = lambda _verb, _object: True
    url = URL.create(
        f"postgresql+{request.param}",
        username="conn1",
        password=SECRET,
        host="127.0.0.1",
        port=site.port,
        database=site.database.name,
        query={"sslmode": "disable"} if request.param == "psycopg" else {"ssl": "disable"},
    )
    made = create_async_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
    yield made
    await made.dispose()
    await site.owner("DROP TABLE IF EXISTS notes")


def sqlstate(error: DBAPIError) -> str:
    """As both drivers have it."""
    return str(getattr(error.orig, "sqlstate", ""))


async def test_mapped_objects(engine: AsyncEngine):
    """Tables are made, rows come back with what the server gave them, and changes are seen."""
    async with engine.begin() as link:
        await link.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        made = [Note(word=word) for word in ("first", "second", "third")]
        session.add_all(made)
        await session.flush()
        assert [note.id for note in made] == [1, 2, 3]  # RETURNING
        assert all(isinstance(note.made_at, datetime) for note in made)
        made[0].word = "changed"
        await session.commit()
        await session.refresh(made[0])
        longer = update(Note).where(Note.id > 1).values(word=Note.word + "!").returning(Note.word)
        assert sorted(await session.scalars(longer)) == ["second!", "third!"]
        await session.rollback()
        found = await session.scalars(select(Note.word).order_by(Note.id))
        assert list(found) == ["changed", "second", "third"]


async def test_a_pool(site: GatewaySite, engine: AsyncEngine):
    """The connection goes on from one user to the next, rolled back; one that was cut is replaced.

    Each connection is a session: a secret for the pool is asked for with as many logins.
    """
    before = len(site.authority.arrivals)
    async with engine.connect() as link:
        await link.execute(text("UPDATE items SET word = 'left behind' WHERE id = 1"))
    async with engine.connect() as link:
        seen = await link.scalar(text("SELECT word FROM items WHERE id = 1"))
        assert seen == "word 1"
    assert len(site.authority.arrivals) == before + 1
    ended = len(site.authority.ended)
    site.authority.kill(Reach.EVERYTHING, reason="killed by carol")
    await site.settled(lambda: len(site.authority.ended) > ended)
    async with engine.connect() as link:  # the ping finds out
        assert await link.scalar(text("SELECT 1")) == 1
    assert len(site.authority.arrivals) == before + 2


async def test_a_refusal(site: GatewaySite, engine: AsyncEngine):
    """It is the driver's own error, with the policy's reason; after a rollback all goes on."""
    site.authority.deny("sql:update public.people")
    async with engine.connect() as link:
        pid = await link.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(ProgrammingError, match=r"policy 'test' denies sql:update") as refused:
            await link.execute(text("UPDATE people SET pay = :pay"), {"pay": 1_000_000})
        assert sqlstate(refused.value) == "42501"
        cause = refused.value.orig
        own = (psycopg.errors.InsufficientPrivilege, asyncpg.InsufficientPrivilegeError)
        assert isinstance(cause, own) or isinstance(cause and cause.__cause__, own)
        with pytest.raises(DBAPIError) as failed:
            await link.execute(text("SELECT 1"))
        assert sqlstate(failed.value) == "25P02"
        await link.rollback()
        async with link.begin():
            savepoint = await link.begin_nested()
            with pytest.raises(ProgrammingError):
                await link.execute(text("UPDATE people SET pay = 0"))
            await savepoint.rollback()
            assert await link.scalar(text("SELECT pay FROM people")) == 1000
        assert await link.scalar(text("SELECT pg_backend_pid()")) == pid


async def test_reflection(site: GatewaySite, engine: AsyncEngine):
    """Tables, columns, keys and indexes are found; it takes reading the catalogue, and `jit`.

    asyncpg switches `jit` off while it asks for types that it does not know (`int2vector`).
    """
    asked = len(site.authority.asked)

    def look(link: Connection) -> None:
        found = inspect(link)
        assert found.get_table_names() == ["items", "people"]
        columns = {column["name"]: column for column in found.get_columns("items")}
        assert list(columns) == ["id", "word"]
        assert isinstance(columns["word"]["type"], Text)
        assert not columns["id"]["nullable"]
        assert found.get_pk_constraint("items")["constrained_columns"] == ["id"]
        assert found.get_indexes("items") == []
        whole = MetaData()
        whole.reflect(link, views=True)
        assert sorted(whole.tables) == ["items", "people"]

    async with engine.connect() as link:
        await link.run_sync(look)
    wanted = {
        operation.split(" ")[0] for deed in site.authority.asked[asked:] for operation in deed
    }
    expected = {"sql:transaction", "sql:select", "sql:inspect", "sql:show"}
    assert wanted - {"sql:set"} == expected
    settings = {o for deed in site.authority.asked[asked:] for o in deed if "sql:set " in o}
    assert settings == ({"sql:set jit"} if engine.driver == "asyncpg" else set())


async def test_a_stream(site: GatewaySite, engine: AsyncEngine):
    """A result on a cursor of the server comes in pieces, and every row of it is counted."""
    many = text("SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
    async with engine.connect() as link:
        counted = sum(outcome.used.rows for outcome in site.authority.outcomes)
        result = await link.stream(many, execution_options={"yield_per": 500})
        assert len(await result.fetchmany(500)) == 500
        assert len(await result.all()) == 2500
        await link.rollback()
    await site.settled(
        lambda: sum(outcome.used.rows for outcome in site.authority.outcomes) >= counted + 3000
    )
