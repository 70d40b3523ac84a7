"""The gateway's own login at a target: who does not prove itself gets no credential."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from callpoint.adapters.clock.system import SystemRandom
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.errors import TargetError
from callpoint.gateways.postgres.frames import message
from callpoint.gateways.postgres.upstream import Way, log_in
from callpoint.ports.credential import Credential
from tests.postgres_gateway_site import open_gateway
from tests.servers import FreshDatabase, fresh_database

SECRET = "secret-of-the-account"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def target(postgres_15: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    with fresh_database(postgres_15) as fresh:
        yield fresh


def asks(kind: int, words: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!i", kind) + words)


@asynccontextmanager
async def impostor(talk: Talk) -> AsyncIterator[Way]:
    """Somebody at the target's address who says what a test wants."""

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            is_over.set()

    is_over = asyncio.Event()
    server = await asyncio.start_server(come, "127.0.0.1", 0)
    try:
        yield Way("127.0.0.1", server.sockets[0].getsockname()[1], "db", "disable", "")
    finally:
        server.close()
        await is_over.wait()


async def refusal(talk: Talk, sslmode: str = "disable") -> tuple[str, bytes]:
    """Why the gateway does not log in, and everything that it had said."""
    heard = bytearray()

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        class Spy(asyncio.StreamReader):
            async def read(self, n: int = 4096) -> bytes:
                data = await reader.read(n)
                heard.extend(data)
                return data

        await talk(Spy(), writer)

    async with impostor(listening) as there:
        way = Way(there.host, there.port, there.dbname, sslmode, "")
        credential = Credential("account", SECRET)
        with pytest.raises(TargetError) as refused:
            async with asyncio.timeout(5):
                await log_in(way, credential, {}, SystemRandom())
        return str(refused.value), bytes(heard)


@pytest.mark.parametrize(
    "first", [asks(0), asks(3), asks(5, b"salt"), asks(10, b"SOMETHING\0\0"), asks(12, b"v=x")]
)
async def test_who_asks_for_no_scram_gets_no_password(first: bytes):
    """Nothing, a password in the clear, MD5 or another mechanism: that is not the target."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(first)
        await reader.read()

    said, heard = await refusal(talk)
    assert "prove" in said
    assert SECRET.encode() not in heard


async def test_who_does_not_know_the_account_is_found_out():
    """A server that accepts whatever it is told has no signature to show."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(asks(10, b"SCRAM-SHA-256\0\0"))
        nonce = (await reader.read()).rpartition(b"r=")[2]
        writer.write(asks(11, b"r=" + nonce + b"xyz,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096"))
        await reader.read()
        writer.write(asks(12, b"v=" + b"A" * 43 + b"=") + asks(0))
        await reader.read()

    said, heard = await refusal(talk)
    assert "did not prove" in said
    assert SECRET.encode() not in heard


@pytest.mark.parametrize("answer", [b"N", b"E", b"SX", b"S"])
async def test_where_tls_must_be_there_is_no_login_without(answer: bytes):
    """A no, an error, bytes before TLS, and what is no TLS end it; the account is not named."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(answer)
        if answer == b"S":
            await reader.read()
            writer.write(b"no TLS at all")

    said, heard = await refusal(talk, "require")
    assert "TLS" in said
    assert b"account" not in heard


async def test_a_superuser_is_refused(target: FreshDatabase):
    """What a superuser does cannot be decided by what its statements name."""
    async with open_gateway(target) as site:
        with psycopg.connect(target.owner_url, autocommit=True) as owner:
            owner.execute(f"ALTER ROLE {site.role} SUPERUSER")
            with pytest.raises(psycopg.OperationalError, match="superuser"):
                await site.psycopg()
            owner.execute(f"ALTER ROLE {site.role} NOSUPERUSER")
        assert site.authority.open == {}


async def test_a_target_that_ends_the_session(target: FreshDatabase):
    """The client gets the target's own last words, and the deed its code."""
    async with open_gateway(target) as site:
        link = await site.psycopg()
        running = asyncio.gather(link.execute("SELECT pg_sleep(20)"), return_exceptions=True)
        await site.settled(lambda: bool(site.authority.deeds))
        await site.owner(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{site.role}'"
        )
        (error,) = await running
        assert isinstance(error, psycopg.errors.AdminShutdown)
        await site.settled(lambda: bool(site.authority.ended))
        assert len(site.authority.outcomes) == 1


async def test_an_unreachable_target(target: FreshDatabase):
    """Nobody there: the client is told, and the session is given back."""
    async with open_gateway(target) as site:
        site.authority.credential.endpoint["port"] = "1"
        with pytest.raises(psycopg.OperationalError, match="does not answer"):
            await site.psycopg()
        assert site.authority.ended == [("s1", "not_connected")]
