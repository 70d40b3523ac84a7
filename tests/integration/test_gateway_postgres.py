"""The PostgreSQL gateway before a real server, with the clients that people use."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from decimal import Decimal

import asyncpg
import psycopg
import pytest

from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.allowance import Portion
from callpoint.domain.gateway import Recording
from callpoint.ports.authority import Reach
from tests.postgres_gateway_site import GatewaySite, open_gateway
from tests.servers import FreshDatabase, fresh_database


@pytest.fixture
def target(postgres_15: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    """A database on PostgreSQL 15; the protocol is the same on all that we support."""
    with fresh_database(postgres_15) as fresh:
        yield fresh


@pytest.fixture
async def site(target: FreshDatabase) -> AsyncIterator[GatewaySite]:
    async with open_gateway(target) as made:
        yield made


async def test_asyncpg(site: GatewaySite):
    """asyncpg prepares, binds, uses cursors and transactions, and copies, as without a gateway."""
    link = await site.connect()
    assert await link.fetchval("SELECT word FROM items WHERE id = $1", 7) == "word 7"
    async with link.transaction():
        seen = [
            row["id"] async for row in link.cursor("SELECT id FROM items ORDER BY id", prefetch=7)
        ]
    assert seen == list(range(1, 101))
    await link.execute("CREATE TABLE made (n numeric)")
    await link.copy_records_to_table("made", records=[(Decimal(n),) for n in range(50)])
    assert await link.fetchval("SELECT sum(n) FROM made") == 1225
    with pytest.raises(asyncpg.UniqueViolationError):
        await link.execute("INSERT INTO items VALUES (1, 'again')")
    async with link.transaction():
        await link.executemany(
            "INSERT INTO items VALUES ($1, $2)", [(n, "x") for n in range(200, 250)]
        )
    assert await link.fetchval("SELECT count(*) FROM items") == 150
    await link.close()
    await site.settled(lambda: bool(site.authority.ended))
    assert len(site.authority.outcomes) == len([v for v in site.authority.verdicts if v.allowed])


async def test_psycopg(site: GatewaySite):
    """psycopg works in transactions, with server-side cursors, pipelines and COPY both ways."""
    async with await site.psycopg(autocommit=False) as link:
        async with link.cursor("named") as cursor:
            await cursor.execute("SELECT id FROM items ORDER BY id")
            assert [row[0] for row in await cursor.fetchmany(3)] == [1, 2, 3]
        async with link.pipeline():
            cursors = [await link.execute("SELECT %s::int", [n]) for n in range(20)]
        assert [(await cursor.fetchone())[0] for cursor in cursors] == list(range(20))
        async with link.cursor() as cursor:
            async with cursor.copy("COPY items FROM STDIN") as copy:
                for n in range(1000, 1500):
                    await copy.write_row((n, "copied"))
            async with cursor.copy("COPY items TO STDOUT") as copy:
                lines = [row async for row in copy.rows()]
        assert len(lines) == 600
        await link.commit()
    copied = [o for o in site.authority.outcomes if o.used.rows == 500]
    assert len(copied) == 1
    assert [o.used.rows for o in site.authority.outcomes if o.used.rows > 500] == [600]


async def test_psql(site: GatewaySite):
    """psql runs scripts, describes tables, copies both ways and shows a denial with its hint."""
    site.authority.deny("sql:select public.people")
    code, out, err = await site.run(
        "psql", "-At", "-c", "SELECT 1; SELECT 2", "-c", r"\d items",
        "-c", r"\copy items TO STDOUT WITH (FORMAT csv)", "-c", "SELECT * FROM people",
        "-c", "SELECT 'and on'",
    )  # fmt: skip
    assert all(shown in out for shown in ("1\n2\n", "100,word 100", "and on")), err
    assert "ERROR:  policy 'test' denies sql:select public.people" in err
    assert "HINT:  ask for another role" in err
    assert code == 0
    code, out, err = await site.run("psql", "-c", "COPY items FROM STDIN", stdin="500\ta\n501\tb\n")
    assert (code, out) == (0, "COPY 2\n"), err
    code, out, err = await site.run("psql", "-c", "COPY items FROM STDIN", stdin="x\ta\n501\tb\n")
    assert code == 1
    assert "invalid input syntax" in err


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
async def test_pgbench(site: GatewaySite, mode: str, tmp_path):
    """pgbench runs in all three modes, and each of its statements was decided."""
    script = tmp_path / "read.sql"
    script.write_text("\\set n random(1, 100)\nSELECT word FROM items WHERE id = :n;\n")
    code, out, err = await site.run(
        "pgbench", "-n", "-M", mode, "-c", "4", "-t", "25", "-f", str(script)
    )
    assert code == 0, err
    assert "number of transactions actually processed: 100/100" in out
    assert site.authority.asked.count(("sql:select public.items",)) == 100


async def test_a_denial_is_as_if_the_server_had_refused(site: GatewaySite):
    """The transaction fails, the pipeline is skipped up to its Sync, and the session goes on."""
    site.authority.deny("sql:select public.people")
    async with await site.psycopg() as link:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as denied:
            await link.execute("SELECT * FROM people")
        assert denied.value.diag.message_hint == "ask for another role"
        await link.execute("BEGIN")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await link.execute("SELECT pay FROM people WHERE id = %s", [1])
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            await link.execute("SELECT 1")
        await link.execute("ROLLBACK")
        async with link.pipeline() as pipeline:
            await link.execute("SELECT 1")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):  # noqa: PT012 -- a pipeline
                await link.execute("SELECT pay FROM people")
                await link.execute("INSERT INTO items VALUES (900, 'skipped')")
                await pipeline.sync()
        cursor = await link.execute("SELECT count(*) FROM items")
        assert (await cursor.fetchone())[0] == 100
    asked = [operation for deed in site.authority.asked for operation in deed]
    assert "sql:insert public.items" not in asked


async def test_ddl_is_seen_by_the_next_statement(site: GatewaySite):
    """What a statement made, renamed or rolled back is known when the next one is read."""
    async with await site.psycopg(autocommit=False) as link:
        await link.execute("CREATE TABLE fresh (id int)")
        await link.execute("INSERT INTO fresh VALUES (1)")
        await link.execute("ALTER TABLE fresh RENAME TO renamed")
        await link.execute("SELECT * FROM renamed")
        await link.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no table renamed"):
            await link.execute("SELECT * FROM renamed")
        await link.rollback()
        async with link.pipeline():
            await link.execute("CREATE TABLE piped (id int)")
            await link.execute("INSERT INTO piped VALUES (1)")
            cursor = await link.execute("SELECT * FROM piped")
        assert await cursor.fetchone() == (1,)
        await link.rollback()
    assert ("sql:insert public.piped",) in site.authority.asked


async def test_rows_are_drawn_and_the_last_one_stops(site: GatewaySite):
    """A result goes on as long as there is a portion; then it ends, and nothing more is allowed."""
    site.authority.portion = Portion(rows=10, bytes=1_000_000)
    site.authority.further = deque([Portion(rows=20, bytes=1_000_000)])
    async with await site.psycopg() as link:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="allowance"):
            await link.execute("SELECT * FROM items")
        assert [used.rows for used in site.authority.draws] == [10, 30]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="paused"):
            await link.execute("SELECT 1")
        site.authority.is_paused = False
        cursor = await link.execute("SELECT word FROM items WHERE id = %s", [5])
        assert await cursor.fetchone() == ("word 5",)
        await link.execute("BEGIN")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            await link.execute("SELECT * FROM items, items AS more, items AS most", binary=True)
        site.authority.is_paused = False
        await link.execute("ROLLBACK")
    await site.settled(lambda: bool(site.authority.ended))
    assert max(outcome.used.rows for outcome in site.authority.outcomes) == 30


async def test_rows_of_copy_in_are_drawn_too(site: GatewaySite):
    """COPY … FROM STDIN fails at the server when the allowance ends: nothing of it stays."""
    site.authority.portion = Portion(rows=50, bytes=None)
    async with await site.psycopg() as link, link.cursor() as cursor:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):  # noqa: PT012 -- on the way
            async with cursor.copy("COPY items FROM STDIN") as copy:
                for n in range(1000, 9000):
                    await copy.write_row((n, "copied" * 20))
        site.authority.is_paused = False
        found = await link.execute("SELECT count(*) FROM items")
        assert await found.fetchone() == (100,)


async def test_a_cancel_reaches_the_own_statement(site: GatewaySite):
    """A client's cancel request ends what it runs, by the gateway's own key."""
    link = await site.connect()
    with pytest.raises(asyncio.TimeoutError):
        await link.fetchval("SELECT pg_sleep(30)", timeout=0.3)
    assert await link.fetchval("SELECT 1") == 1
    await link.close()
    await site.settled(lambda: any(o.code == "57014" for o in site.authority.outcomes))


async def test_a_kill_cuts_at_once(site: GatewaySite):
    """Both sides end within a moment, the client learns why, and the statement ends as well."""
    first, second = await site.connect(), await site.connect()
    running = asyncio.gather(first.fetchval("SELECT pg_sleep(30)"), return_exceptions=True)
    await site.settled(lambda: len(site.authority.deeds) > 0)
    began = time.monotonic()
    site.authority.kill(Reach.SESSION, "s1", "killed by carol")
    (error,) = await running
    took = time.monotonic() - began
    assert isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | ConnectionError)
    assert took < 0.5
    assert await second.fetchval("SELECT 1") == 1
    await second.close()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
    async with asyncio.timeout(5):
        while await site.owner(asleep):  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.02)
    assert ("s1", "killed by carol") in site.authority.ended


async def test_a_session_expires_by_the_gateways_own_clock(target: FreshDatabase):
    """When its time is over a session ends, whether the authority says so or not."""
    async with open_gateway(target, lifetime=timedelta(seconds=0.6)) as site:
        link = await site.psycopg()
        with pytest.raises(psycopg.OperationalError, match="expired"):
            await link.execute("SELECT pg_sleep(10)")


async def test_nothing_passes_without_an_answer(site: GatewaySite):
    """When the authority is silent a statement fails with 08006, and works again after that."""
    async with await site.psycopg() as link:
        await link.execute("SELECT 1")
        site.authority.is_silent = True
        with pytest.raises(psycopg.OperationalError, match="does not answer"):
            await link.execute("INSERT INTO items VALUES (800, 'x')")
        site.authority.is_silent = False
        cursor = await link.execute("SELECT count(*) FROM items")
        assert await cursor.fetchone() == (100,)


@pytest.mark.parametrize(
    "recording, text, parameters",
    [
        (Recording.FULL, "SELECT word FROM items WHERE id = $1 AND word = 'secret'", ("7",)),
        (Recording.REDACTED, "SELECT word FROM items WHERE id = $1 AND word = ?", ()),
        (Recording.HASHED, "", ()),
    ],
)
async def test_recording(site: GatewaySite, recording, text, parameters):
    """Text and parameters go on record as the target's policy says; the hash always does."""
    site.authority.recording = recording
    async with await site.psycopg() as link:
        await link.execute("SELECT word FROM items WHERE id = %s AND word = 'secret'", ["7"])
    deed = site.authority.deeds[-1]
    assert (deed.text, deed.parameters) == (text, parameters)
    assert len(deed.text_sha256) == 64


async def test_startup_settings_are_decided(site: GatewaySite):
    """What a client sets with its first message is a SET like any other."""
    async with await site.psycopg(options="-c statement_timeout=12345 -c jit=off") as link:
        cursor = await link.execute("SHOW statement_timeout")
        assert await cursor.fetchone() == ("12345ms",)
    assert ("sql:set statement_timeout",) in site.authority.asked
    for options in (
        "-c role=postgres",
        "-c search_path=other",
        "-c session_replication_role=replica",
    ):
        with pytest.raises(psycopg.OperationalError, match="never allowed"):
            await site.psycopg(options=options)
    site.authority.deny("sql:set jit")
    with pytest.raises(psycopg.OperationalError, match="denies sql:set jit"):
        await site.psycopg(options="-c jit=off")
    assert not site.authority.open


async def test_a_large_result_streams(site: GatewaySite):
    """A result far larger than any buffer passes whole, and is counted."""
    async with await site.psycopg() as link, link.cursor() as cursor:
        total = 0
        async for row in cursor.stream(
            "SELECT repeat('x', 100000) FROM generate_series(1, 300)", size=1
        ):
            total += len(row[0])
            if total == 100000:
                await asyncio.sleep(0.2)
    assert total == 30_000_000
    await site.settled(lambda: bool(site.authority.ended))
    assert any(o.used.bytes > 30_000_000 for o in site.authority.outcomes)
