"""``callpoint gateway postgres``: a process with one key of its own, in front of a real server."""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from callpoint.lifecycle.live_sessions import LiveSessions
from callpoint.ports.authority import Cut, Reach
from callpoint.ports.credential import Credential
from tests.fakes.authority import FakeAuthority
from tests.fakes.authority_site import GATEWAY, PRINCIPAL, authority_site
from tests.servers import FreshDatabase, fresh_database

SOURCE = Path(__file__).parents[2] / "src"
SECRET = "secret-of-conn1"
WITHIN = 20.0


class Told(FakeAuthority):
    """Gives orders as the server does, with signs of life."""

    live = LiveSessions()

    def cuts(self) -> AsyncIterator[Cut | None]:
        return self.live.cuts()

    def kill(self, reach: Reach = Reach.EVERYTHING, about: str = "", reason: str = "killed"):
        self.open.clear()
        self.live.cut(Cut(reach, about, reason))


@dataclass
class Alone:
    """A gateway's process.

    Attributes:
        log: Its file.
    """

    process: asyncio.subprocess.Process
    log: Path
    port: int = 0

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it logged of that kind."""
        written = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in written if line["event"] == event]

    async def logged(self, event: str) -> dict[str, Any]:
        """The first line of that kind, once it is there."""
        async with asyncio.timeout(WITHIN):
            while not (found := self.lines(event)):  # noqa: ASYNC110 -- a file says nothing
                await asyncio.sleep(0.02)
        return found[0]

    async def end(self) -> int:
        """Asked to, it ends."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), WITHIN)


def settings(
    folder: Path,
    server: str,
    who: str = PRINCIPAL,
    listen: str = "127.0.0.1:0",
    more: str = "",
) -> Path:
    """The gateway's two files; ``more`` is about the authority."""
    seed = base64.b64encode(hashlib.sha256(who.encode()).digest()).decode()
    key = folder / f"{who}.json"
    key.write_text(json.dumps({"principal": who, "key": seed}))
    key.chmod(0o600)
    file = folder / "gateway.toml"
    file.write_text(
        f'[authority]\nservers = ["{server}"]\nkey = "{key}"\n{more}'
        f'[postgresql]\nname = "{GATEWAY}"\nlisten = "{listen}"\n'
        f'journal = "{folder / "journal"}"\n'
    )
    return file


def command(file: Path) -> list[str]:
    return [sys.executable, "-m", "callpoint", "gateway", "postgres", "--settings", str(file)]


@asynccontextmanager
async def alone(
    folder: Path, server: str, who: str = PRINCIPAL, more: str = ""
) -> AsyncIterator[Alone]:
    """The process, listening; killed at the end."""
    log = folder / "gateway.log"
    with log.open("w") as written:
        process = await asyncio.create_subprocess_exec(
            *command(settings(folder, server, who, more=more)),
            stdout=asyncio.subprocess.PIPE,
            stderr=written,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
    try:
        assert process.stdout is not None
        said = (await asyncio.wait_for(process.stdout.readline(), WITHIN)).decode()
        assert said.startswith(f"gateway {GATEWAY} listens on 127.0.0.1:"), log.read_text()
        yield Alone(process, log, int(said.rpartition(":")[2]))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def target(postgres_15) -> AsyncIterator[tuple[FreshDatabase, Told]]:
    """A database, an account in it, and an authority that hands the account out."""
    with fresh_database(postgres_15) as database:
        role, password = f"actor_{secrets.token_hex(4)}", secrets.token_hex(8)
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{password}';"
            "CREATE TABLE items (id int); INSERT INTO items VALUES (7), (8);"
            f"GRANT SELECT, DELETE ON items TO {role}"
        )
        place = {"host": "127.0.0.1", "port": str(database.server.port), "dbname": database.name}
        try:
            yield database, Told(Credential(role, password, {**place, "sslmode": "prefer"}))
        finally:
            await owner.execute(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                f" WHERE usename = '{role}'"
            )
            await owner.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
            await owner.close()


async def connected(gateway: Alone, database: FreshDatabase) -> Any:
    """A client of the usual kind."""
    return await asyncpg.connect(
        host="127.0.0.1",
        port=gateway.port,
        user="conn1",
        password=SECRET,
        database=database.name,
        ssl=False,
        timeout=WITHIN,
    )


async def test_a_session_from_its_opening_to_its_end(target, tmp_path: Path):
    """Statements are decided elsewhere, an order ends the session, SIGTERM the process."""
    database, authority = target
    async with (
        authority_site(decides=authority) as site,
        alone(tmp_path, site.address) as gateway,
    ):
        await gateway.logged("authority_heard")
        client = await connected(gateway, database)
        assert await client.fetchval("SELECT sum(id) FROM items") == 15
        authority.deny("sql:delete")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="policy 'test' denies"):
            await client.execute("DELETE FROM items")
        assert [arrival.gateway for arrival in authority.arrivals] == [GATEWAY]
        closed = asyncio.Event()
        client.add_termination_listener(lambda _: closed.set())
        authority.kill()
        await asyncio.wait_for(closed.wait(), 1.0)
        assert (await gateway.logged("session_cut"))["reason"] == "killed"
        last = await connected(gateway, database)
        assert await gateway.end() == 0
        last.terminate()
        assert gateway.lines("stopped")
        written = gateway.log.read_text()
        for secret in (SECRET, authority.credential.secret, "DELETE", "items"):
            assert secret not in written


async def test_a_gateway_that_the_authority_does_not_know(target, tmp_path: Path):
    """With another principal's key nobody is let in, and the gateway's log says why."""
    database, authority = target
    async with (
        authority_site(decides=authority) as site,
        alone(tmp_path, site.address, "bob") as gateway,
    ):
        lost = await gateway.logged("authority_line_lost")
        assert "bob is not the principal of a gateway called front" in lost["error"]
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await connected(gateway, database)
        assert authority.arrivals == []


def test_what_cannot_be_served_is_told(tmp_path: Path):
    """A taken port, a missing key and a wrong file end it at once, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        file = settings(tmp_path, "http://127.0.0.1:9", listen=place)
        done = subprocess.run(command(file), capture_output=True, text=True, check=False)
    assert (done.returncode, f"cannot listen on {place}" in done.stderr) == (2, True)
    (tmp_path / f"{PRINCIPAL}.json").unlink()
    done = subprocess.run(command(file), capture_output=True, text=True, check=False)
    assert (done.returncode, "there is no key file" in done.stderr) == (2, True)
    file.write_text('[store]\ndsn = "x"')
    done = subprocess.run(command(file), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "store: unknown key" in done.stderr


def test_the_process_holds_no_code_of_a_server():
    """It cannot open a store, reach a target as its broker, decide, or sign for the log."""
    program = (
        "import sys, callpoint.cli.gateway, callpoint.bootstrap.gateway, callpoint.cli.keyring,"
        " callpoint.cli.signing, callpoint.config.listeners\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    loaded = done.stdout.split()
    assert "callpoint.gateways.postgres.gateway" in loaded
    server = ("api", "lifecycle", "policy", "audit", "evidence", "workers")
    kept = ("stores", "targets", "keys", "identity", "signals", "witnesses")
    forbidden = (
        *(f"callpoint.{part}" for part in server),
        *(f"callpoint.adapters.{part}" for part in kept),
        *("sqlite3", "psycopg", "cedarpy", "asyncssh", "litestar", "uvicorn"),
    )
    assert [name for name in loaded if name.startswith(forbidden)] == []
