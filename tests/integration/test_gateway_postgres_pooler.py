"""A pooler in front of the gateway: many clients share few sessions, transaction by transaction."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from callpoint.cli.loopback import free_port
from callpoint.cli.throwaway import ThrowawayPostgres
from tests.postgres_gateway_site import SECRET, GatewaySite, open_gateway
from tests.servers import FreshDatabase, fresh_database, missing

_TRIES = 3
"""A free port can be somebody's a moment later."""

_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={gateway} user=conn1 password={secret}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
pidfile = {folder}/pid
"""


@pytest.fixture
def target(postgres_15: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    with fresh_database(postgres_15) as fresh:
        yield fresh


@asynccontextmanager
async def pooler(site: GatewaySite) -> AsyncIterator[int]:
    """pgbouncer before the gateway; its port."""
    with TemporaryDirectory() as name:  # pytest's own folders are for one user alone
        async with running_pooler(site, Path(name)) as port:
            yield port


@asynccontextmanager
async def running_pooler(site: GatewaySite, folder: Path) -> AsyncIterator[int]:
    """With its files there."""
    program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        missing("pgbouncer (the Debian package) is not on this machine")
    user = None
    if os.geteuid() == 0:  # it refuses to be root
        user = "nobody"
        os.chmod(folder, 0o777)  # noqa: PTH101, S103 -- of this test; pathlib is said to block
    settings = folder / "pgbouncer.ini"
    for _ in range(_TRIES):
        port = free_port()
        settings.write_text(
            _SETTINGS.format(gateway=site.port, secret=SECRET, port=port, folder=folder)
        )
        process = await asyncio.create_subprocess_exec(
            program, "-q", str(settings), user=user, stderr=asyncio.subprocess.DEVNULL
        )
        if await is_up(process, port):
            break
    else:
        pytest.fail(f"pgbouncer ends at once: {(folder / 'log').read_text()}")
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()


async def is_up(process: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until it accepts connections; False when it ended instead."""
    async with asyncio.timeout(10):
        while True:
            if process.returncode is not None:
                return False
            if await is_listening(port):
                return True
            await asyncio.sleep(0.02)


async def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_pooler_in_front(target: FreshDatabase):
    """Eight clients work through two sessions, and each of their statements is decided."""
    async with open_gateway(target) as site, pooler(site) as port:
        site.authority.deny("sql:select public.people")

        async def work(number: int) -> int:
            async with await psycopg.AsyncConnection.connect(
                f"host=127.0.0.1 port={port} user=anybody dbname={target.name}",
                prepare_threshold=None,
            ) as link:
                await link.execute("INSERT INTO items VALUES (%s, 'pooled')", [1000 + number])
                await link.commit()
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denies"):
                    await link.execute("SELECT * FROM people")
                await link.rollback()
                cursor = await link.execute("SELECT word FROM items WHERE id = %s", [number + 1])
                row = await cursor.fetchone()
                assert row == (f"word {number + 1}",)
                return number

        assert sum(await asyncio.gather(*[work(n) for n in range(8)])) == 28
        assert 1 <= len(site.authority.arrivals) <= 2
        assert site.authority.asked.count(("sql:insert public.items",)) == 8
