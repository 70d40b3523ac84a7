"""An actor who wants more than the gateway lets through, on a real PostgreSQL.

The policy allows reading ``public.items`` and what steers the session; nothing else. Whatever is
tried, other tables stay unread, nothing is changed, and the session stays what it was.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.gateways.postgres import scram
from callpoint.gateways.postgres.frames import message
from callpoint.gateways.postgres.settings import GatewaySettings, Limits
from callpoint.gateways.postgres.startup import cancel_request, startup_body, tls_request
from tests.fakes import wire
from tests.fakes.certificates import write_certificate
from tests.fakes.wire import SYNC, Wire
from tests.postgres_gateway_site import SECRET, GatewaySite, open_gateway
from tests.servers import FreshDatabase, fresh_database

READS = ("sql:select public.items", "sql:transaction", "sql:set", "sql:show", "sql:session")

ESCAPES = (
    "SET ROLE postgres", "SET SESSION AUTHORIZATION postgres", "RESET ROLE",
    "SELECT set_config('role', 'postgres', false)", "ALTER ROLE current_user SUPERUSER",
    "ALTER ROLE current_user PASSWORD 'mine'", "ALTER ROLE current_user SET search_path = other",
    "GRANT SELECT ON people TO public",
    "DO $$ BEGIN PERFORM pay FROM people; END $$",
    "COPY items TO PROGRAM 'id'", "COPY items FROM '/etc/passwd'",
    "COPY (SELECT * FROM people) TO STDOUT", "COPY people TO STDOUT", "COPY items FROM STDIN",
    "SELECT pg_read_file('PG_VERSION')", "SELECT lo_import('/etc/passwd')",
    "SELECT 1; SELECT * FROM people", "SELECT 1;;/* ; */ DELETE FROM items",
    "SELECT * FROM people -- ; SELECT 1", "SELECT/**/*/**/FROM/**/people",
    "SELECT * FROM /* /* nested */ items */ people", 'SELECT * FROM "people"',
    r'SELECT * FROM U&"\0070eople"', r"SELECT * FROM U&'\0070eople'",
    "TABLE people", "WITH a AS (SELECT * FROM people) SELECT * FROM a",
    "WITH a AS (DELETE FROM items RETURNING *) SELECT * FROM a",
    "EXPLAIN ANALYZE DELETE FROM items", "PREPARE p AS SELECT * FROM people",
    "DECLARE c CURSOR FOR SELECT * FROM people", "SELECT * FROM items FOR UPDATE",
    "SET search_path = other", "SELECT * FROM other.items", "CREATE TEMP TABLE items (id int)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "LOAD 'auto_explain'",
    "SELECT query_to_xml('SELECT * FROM people', true, false, '')",
    "LOCK TABLE items", "SELECT pg_terminate_backend(1)", "SET standard_conforming_strings = off",
    "SET client_encoding = 'SJIS'", "DISCARD ALL", "VACUUM", "PREPARE TRANSACTION 'x'",
)  # fmt: skip


@pytest.fixture
def target(postgres_15: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    with fresh_database(postgres_15) as fresh:
        yield fresh


def reads_only(site: GatewaySite) -> GatewaySite:
    site.authority.allows = lambda verb, name: verb in READS or f"{verb} {name}" in READS
    return site


@pytest.fixture
async def site(target: FreshDatabase) -> AsyncIterator[GatewaySite]:
    async with open_gateway(target) as made:
        yield reads_only(made)


async def untouched(site: GatewaySite) -> None:
    """Nothing was changed, and nobody's rows were seen."""
    assert await site.owner("SELECT count(*) FROM items") == 100
    assert await site.owner("SELECT count(*) FROM people") == 1
    assert await site.owner(f"SELECT rolsuper FROM pg_roles WHERE rolname = '{site.role}'") is False


async def ends(link: Wire) -> bytes:
    """What was said last before the gateway closed the connection."""
    try:
        return await link.rest()
    except ConnectionResetError:
        return b""
    finally:
        link.close()


async def test_escapes_in_a_query(site: GatewaySite):
    """None of them is done, each answers with a refusal, and the session goes on."""
    link = await Wire.session(site.port, SECRET)
    for text in ESCAPES:
        link.send(wire.query(text))
        frames = await link.until()
        assert wire.kinds(frames) == "EZ", text
        assert wire.code(frames[-2]) in ("42501", "42601"), text
    link.send(wire.query("SELECT count(*) FROM items"))
    assert wire.rows(await link.until()) == [("100",)]
    link.close()
    await untouched(site)


async def test_escapes_in_the_extended_protocol(site: GatewaySite):
    """Likewise by Parse, Bind and Execute, in one piece."""
    link = await Wire.session(site.port, SECRET)
    for text in ESCAPES:
        link.send(wire.parse(text), wire.bind(), wire.execute(), SYNC)
        frames = await link.until()
        assert wire.kinds(frames) in ("EZ", "1EZ"), text
    link.close()
    await untouched(site)


async def test_what_is_refused_unasked_is_told_to_the_authority(site: GatewaySite):
    """SET ROLE, in both protocols, is put on record with its reason, and without its values."""
    link = await Wire.session(site.port, SECRET)
    link.send(wire.query("SET ROLE postgres"))
    await link.until()
    link.send(wire.parse("ALTER ROLE current_user PASSWORD 'mine'"), SYNC)
    await link.until()
    link.close()
    told = [deed for deed in site.authority.deeds if deed.refused]
    assert [bool(deed.operations) for deed in told] == [False, False]
    assert "SET ROLE" in told[0].text
    assert "ALTER ROLE" in told[1].text
    assert "mine" not in told[1].text
    assert all(len(deed.text_sha256) == 64 for deed in told)


async def test_prepare_and_then_switch(site: GatewaySite):
    """A name runs nothing but what was decided, however Parse, skipping and Sync are mixed."""
    link = await Wire.session(site.port, SECRET)
    people, items = "SELECT pay FROM people", "SELECT id FROM items WHERE id = 1"
    # The unnamed statement keeps its old text when the Parse of a new one is skipped.
    link.send(wire.parse(people), SYNC, wire.bind("nothing"), wire.parse(items), SYNC,
              wire.bind(), wire.execute(), SYNC)  # fmt: skip
    frames = [frame for _ in range(3) for frame in await link.until()]
    assert wire.rows(frames) == []
    # A name is not given again, whatever was sent under it.
    link.send(wire.parse(people, "a"), SYNC, wire.parse(items, "a"), SYNC,
              wire.bind("a"), wire.execute(), SYNC)  # fmt: skip
    frames = [frame for _ in range(3) for frame in await link.until()]
    assert wire.rows(frames) == []
    # Nor by SQL under the protocol's feet.
    link.send(wire.parse(items, "b"), wire.query("DEALLOCATE b"), SYNC,
              wire.query(f"PREPARE b AS {people}"), wire.bind("b"), wire.execute(),
              SYNC)  # fmt: skip
    frames = [frame for _ in range(4) for frame in await link.until()]
    assert (None,) not in wire.rows(frames)
    assert ("1000",) not in wire.rows(frames)
    # The server cuts long names, so that two would be one: they are refused.
    long = "n" * 63
    link.send(wire.parse(people, long + "a"), SYNC, wire.parse(items, long + "b"), SYNC)
    for _ in range(2):
        assert wire.kinds(await link.until()) == "EZ"
    link.close()


async def test_a_portal_of_another_name_space(site: GatewaySite):
    """A cursor of SQL cannot be executed as a portal without being decided."""
    link = await Wire.session(site.port, SECRET)
    link.send(wire.query("BEGIN"), wire.query("DECLARE c CURSOR FOR SELECT id FROM items"))
    for _ in range(2):
        await link.until()
    before = len(site.authority.deeds)
    link.send(wire.execute("c", 2), SYNC)
    assert wire.rows(await link.until()) == [("1",), ("2",)]
    assert len(site.authority.deeds) == before + 1
    site.authority.deny("sql:select public.items")
    link.send(wire.execute("c", 2), SYNC)
    assert wire.kinds(await link.until()) == "EZ"
    link.close()


async def test_a_search_path_game(site: GatewaySite):
    """Names mean what they mean on the pinned path, from the first message on."""
    with pytest.raises(psycopg.OperationalError):
        await site.psycopg(options="-c search_path=other,public")
    link = await Wire.dial(site.port)
    link.send(startup_body({"user": "conn1", "search_path": "other"}))
    with pytest.raises((AssertionError, asyncio.IncompleteReadError)):
        await link.prove(await link.frame(), SECRET)
    link.close()
    async with await site.psycopg() as session:
        cursor = await session.execute("SHOW search_path")
        assert await cursor.fetchone() == ('"public", pg_temp',)


async def test_encodings(site: GatewaySite):
    """Text that is no UTF-8, or has a NUL in it, does not reach the server."""
    link = await Wire.session(site.port, SECRET)
    for raw in (
        b"SELECT '\xff'\0",
        b"SELECT 1\0; DELETE FROM items\0",
        b"SELECT 1",
        b"SELECT '\xc0\x80'\0",
    ):
        link.send(message(b"Q", raw))
        assert wire.kinds(await link.until()) == "EZ"
    link.send(message(b"P", b"\0SELECT 1\0\0\1\0\0"), SYNC)
    assert wire.kinds(await link.until()) == "EZ"
    link.send(wire.parse("SELECT 1"), message(b"B", b"\0\0\0\0\0\1\0\0\0\xff\0\0"), SYNC)
    assert wire.kinds(await link.until()) == "1EZ"
    link.close()
    with pytest.raises(psycopg.OperationalError, match="UTF8"):
        await site.psycopg(client_encoding="LATIN1")


async def test_cancel_of_anothers_query(site: GatewaySite):
    """A cancel request with anything but the session's own pair ends nothing."""
    mine, other = await Wire.session(site.port, SECRET), await Wire.session(site.port, SECRET)
    site.authority.allows = lambda _verb, _name: True
    mine.send(wire.query("SELECT pg_sleep(0.8)"))
    await site.settled(lambda: len(site.authority.deeds) == 1)
    backend = await site.owner("SELECT pid FROM pg_stat_activity WHERE query ~ 'sleep.0' LIMIT 1")
    tries = (
        (mine.pid, other.key), (other.pid, mine.key), (other.pid, other.key), (mine.pid, bytes(4)),
        (mine.pid, mine.key + b"\0"), (int(backend), mine.key), (mine.pid ^ 1, mine.key),
    )  # fmt: skip
    for pid, key in tries:
        asking = await Wire.dial(site.port)
        asking.send(cancel_request(pid, key))
        assert await ends(asking) == b""
    assert wire.kinds(await mine.until()) == "TDCZ"
    mine.send(wire.query("SELECT pg_sleep(20)"))
    await site.settled(lambda: len(site.authority.deeds) == 2)
    asking = await Wire.dial(site.port)
    asking.send(cancel_request(mine.pid, mine.key))
    await ends(asking)
    assert wire.code((await mine.until())[-2]) == "57014"
    mine.close()
    other.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"Q\x7f\xff\xff\xff", b"P\x00\x10\x00\x00", b"B\xff\xff\xff\xff", b"Q\x00\x00\x00\x03",
        b"D\x00\x00\x10\x00", b"W\x00\x00\x00\x04", b"p\x00\x00\x00\x08abcd", b"\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01",
    ],
)  # fmt: skip
async def test_oversized_and_unknown_frames(site: GatewaySite, sent: bytes):
    """Such a message ends the connection with 08P01, before its body is waited for."""
    link = await Wire.session(site.port, SECRET)
    link.send(sent)
    assert b"C08P01\0" in await ends(link)
    await site.settled(lambda: len(site.authority.ended) == 1)


async def test_truncated_frames(site: GatewaySite):
    """A client that leaves in the middle of a message has done nothing."""
    whole = wire.query("SELECT id FROM items")
    for cut in (1, 4, 5, 9, len(whole) - 1):
        link = await Wire.session(site.port, SECRET)
        link.send(whole[:cut])
        link.writer.write_eof()
        await ends(link)
    await site.settled(lambda: len(site.authority.ended) == 5)
    assert site.authority.deeds == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03",
        struct.pack("!II", 8, 80877105), struct.pack("!II", 7, 80877103), b"\xff" * 8,
        startup_body({"user": "conn1", "replication": "database"}),
        startup_body({"user": "conn1", "user ": "x"})[:-1] + b"x",
        startup_body({"user": "conn1", "database": "postgres"}),
        struct.pack("!IHH", 9, 2, 0) + b"\0", tls_request() + tls_request() + tls_request(),
    ],
)  # fmt: skip
async def test_other_protocols_at_the_door(site: GatewaySite, sent: bytes):
    """What is no beginning of a session ends with an error and opens nothing."""
    link = await Wire.dial(site.port)
    link.send(sent)
    link.writer.write_eof()
    said = await ends(link)
    assert not said.replace(b"N", b"") or b"C08P01\0" in said or b"R\0\0\0" in said
    assert site.authority.open == {}


async def test_wrong_and_unknown_secrets(site: GatewaySite):
    """Both fail alike, after the same exchange, and no session is opened."""
    said = []
    for user, secret in (("conn1", "wrong-secret"), ("nobody", SECRET)):
        with pytest.raises(psycopg.OperationalError) as refused:
            await site.psycopg(user=user, password=secret)
        said.append(str(refused.value).partition("FATAL")[2])
    assert said[0] == said[1] != ""
    assert site.authority.arrivals == []


async def test_slow_clients(target: FreshDatabase):
    """Who does not log in, or does not read, is let go; who is too many is sent away."""
    limits = Limits(connections=2, login=timedelta(seconds=0.4), stall=timedelta(seconds=0.4))
    settings = GatewaySettings("db-gateway", port=0, limits=limits)
    async with open_gateway(target, settings=settings) as site:
        slow = [await Wire.dial(site.port) for _ in range(2)]
        slow[0].send(startup_body({"user": "conn1"})[:6])
        third = await Wire.dial(site.port)
        assert b"C53300\0" in await ends(third)
        for link in slow:
            assert b"took too long" in await ends(link)
        deaf = await Wire.session(site.port, SECRET)
        deaf.reader.set_exception(OSError("reads no more"))
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket
        deaf.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 60)"))
        await site.settled(lambda: len(site.authority.ended) == 1)
        deaf.close()


@pytest.fixture
async def tls_site(target: FreshDatabase, tmp_path: Path) -> AsyncIterator[GatewaySite]:
    """A gateway that strangers could reach: TLS only."""
    certificate, key = write_certificate(tmp_path, "gateway.test")
    settings = GatewaySettings(
        "db-gateway", "0.0.0.0", port=0, certificate=certificate, key=key  # noqa: S104 -- on purpose
    )  # fmt: skip
    async with open_gateway(target, settings=settings) as made:
        yield reads_only(made)


async def test_tls_is_required_and_binds_the_login(tls_site: GatewaySite):
    """No login in the clear; in TLS libpq binds the login to the certificate."""
    with pytest.raises(psycopg.OperationalError, match="TLS only"):
        await tls_site.psycopg(sslmode="disable")
    async with await tls_site.psycopg(sslmode="require", channel_binding="require") as link:
        cursor = await link.execute("SELECT count(*) FROM items")
        assert await cursor.fetchone() == (100,)
    link = await tls_site.connect(ssl="require")
    assert await link.fetchval("SELECT id FROM items WHERE id = $1", 3) == 3
    await link.close()


async def test_bytes_before_tls_are_refused(tls_site: GatewaySite):
    """What is slipped in behind the question for TLS passes for nobody's (CVE-2021-23222)."""
    link = await Wire.dial(tls_site.port)
    link.send(tls_request() + startup_body({"user": "conn1"}))
    said = await ends(link)
    assert said[:1] != b"S"
    assert b"in the clear before TLS" in said
    assert tls_site.authority.arrivals == []


async def test_a_binding_taken_away_is_noticed(tls_site: GatewaySite):
    """A client that could bind and was offered nothing, says somebody, is refused (RFC 5802, 6)."""
    for flag in ("y", "p"):
        link = await Wire.dial(tls_site.port)
        link.send(tls_request())
        assert await link.reader.readexactly(1) == b"S"
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        await link.writer.start_tls(context)
        link.send(startup_body({"user": "conn1"}))
        asked = await link.frame()
        assert b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0" in asked
        side = scram.ClientSide(SECRET, "bm9uY2U", flag, b"another certificate's hash")
        first, name = side.first(), b"SCRAM-SHA-256-PLUS\0" if flag == "p" else b"SCRAM-SHA-256\0"
        link.send(message(b"p", name + struct.pack("!i", len(first)) + first))
        answer = await link.frame()
        if flag == "p":
            link.send(message(b"p", side.final(answer[9:])))
            answer = await link.frame()
        assert wire.code(answer) == "28P01"
        link.close()
    assert tls_site.authority.arrivals == []
