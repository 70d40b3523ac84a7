"""The protocol through the gateway, message by message."""

from collections.abc import AsyncIterator, Iterator

import pytest

from callpoint.cli.throwaway import ThrowawayPostgres
from tests.fakes import wire
from tests.fakes.wire import SYNC, Wire
from tests.postgres_gateway_site import SECRET, GatewaySite, open_gateway
from tests.servers import FreshDatabase, fresh_database


@pytest.fixture
def target(postgres_15: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    with fresh_database(postgres_15) as fresh:
        yield fresh


@pytest.fixture
async def site(target: FreshDatabase) -> AsyncIterator[GatewaySite]:
    async with open_gateway(target) as made:
        yield made


async def test_a_portal_is_one_deed_however_often_it_is_executed(site: GatewaySite):
    """Row limits suspend a portal; all its rows count to the deed of its Bind."""
    link = await Wire.session(site.port, SECRET)
    link.send(
        wire.query("BEGIN"),
        wire.parse("SELECT id FROM items ORDER BY id", "s"), wire.bind("s", "p"),
        wire.describe("P", "p"), wire.execute("p", 3), wire.execute("p", 2), SYNC,
        wire.execute("p", 4), wire.close("P", "p"), wire.close("S", "s"), SYNC,
    )  # fmt: skip
    assert wire.kinds(await link.until()) == "CZ"
    first = await link.until()
    assert wire.kinds(first) == "12TDDDsDDsZ"
    assert wire.kinds(await link.until()) == "DDDDs33Z"
    link.close()
    await site.settled(lambda: len(site.authority.outcomes) == 2)
    assert [outcome.used.rows for outcome in site.authority.outcomes] == [0, 9]


async def test_a_refused_message_is_answered_in_its_place(site: GatewaySite):
    """Answers stay in order, what follows up to the Sync is skipped, and then all goes on."""
    site.authority.deny("sql:select public.people")
    link = await Wire.session(site.port, SECRET)
    link.send(
        wire.parse("SELECT 1"), wire.bind(), wire.execute(),
        wire.parse("SELECT * FROM people"), wire.bind(), wire.execute(),
        wire.parse("INSERT INTO items VALUES (700, '')"), wire.bind(), wire.execute(), SYNC,
        wire.query("SELECT * FROM people"), wire.query("SELECT 2"),
        wire.parse("no sql at all"), wire.bind(), SYNC,
        wire.parse("SELECT 3"), wire.bind(), wire.execute(), SYNC,
    )  # fmt: skip
    first = await link.until()
    assert wire.kinds(first) == "12DC1EZ"
    assert wire.code(first[-2]) == "42501"
    second = await link.until()
    assert (wire.kinds(second), wire.code(second[0])) == ("EZ", "42501")
    assert wire.rows(await link.until()) == [("2",)]
    third = await link.until()
    assert (wire.kinds(third), wire.code(third[0])) == ("EZ", "42601")
    assert wire.rows(await link.until()) == [("3",)]
    link.close()
    assert await site.owner("SELECT count(*) FROM items") == 100


async def test_what_is_not_there_is_said_as_the_server_says_it(site: GatewaySite):
    """Unknown statements and portals have the server's own SQLSTATEs."""
    link = await Wire.session(site.port, SECRET)
    link.send(wire.bind("nothing"), SYNC)
    assert wire.code((await link.until())[0]) == "26000"
    link.send(wire.execute("nothing"), SYNC)
    assert wire.code((await link.until())[0]) == "34000"
    link.send(wire.describe("S", "nothing"), SYNC)
    assert wire.code((await link.until())[0]) == "26000"
    link.send(wire.close("S", "nothing"), SYNC)
    assert wire.kinds(await link.until()) == "3Z"
    link.send(wire.query(""), wire.parse(""), wire.bind(), wire.execute(), SYNC)
    assert wire.kinds(await link.until()) == "IZ"
    assert wire.kinds(await link.until()) == "12IZ"
    link.close()


async def test_function_call_is_refused_and_the_session_goes_on(site: GatewaySite):
    """FunctionCall names functions by number; it is refused as a query is."""
    link = await Wire.session(site.port, SECRET)
    link.send(wire.message(b"F", b"\0\0\0\1\0\0\0\0\0\0"), wire.query("SELECT 1"))
    refused = await link.until()
    assert (wire.kinds(refused), wire.code(refused[0])) == ("EZ", "42501")
    assert wire.rows(await link.until()) == [("1",)]
    link.close()


async def test_copy_in_the_extended_protocol(site: GatewaySite):
    """As libpq does it: a Sync before the rows, which the server ignores, and one after them."""
    link = await Wire.session(site.port, SECRET)
    link.send(wire.parse("COPY items FROM STDIN"), wire.bind(), wire.execute(), SYNC)
    assert wire.kinds(await link.until(b"G")) == "12G"
    rows = b"".join(b"%d\tx\n" % n for n in range(5000, 5100))
    link.send(
        wire.message(b"d", rows[:100]), wire.message(b"d", rows[100:]), wire.message(b"c"), SYNC
    )
    assert wire.kinds(await link.until()) == "CZ"
    link.send(wire.parse("COPY items FROM STDIN"), wire.bind(), wire.execute(), SYNC)
    await link.until(b"G")
    link.send(wire.message(b"d", b"not a number\tx\n"))
    link.send(wire.message(b"d", b"7\tx\n"), wire.message(b"c"), SYNC)
    failed = await link.until()
    assert (wire.kinds(failed), wire.code(failed[0])) == ("EZ", "22P02")
    link.send(wire.query("COPY items FROM STDIN; SELECT count(*) FROM items"))
    await link.until(b"G")
    link.send(wire.message(b"d", b"9000\tx\n"), wire.message(b"c"))
    assert wire.rows(await link.until()) == [("201",)]
    link.send(wire.query("COPY items FROM STDIN"), wire.message(b"f", b"enough\0"))
    assert wire.code((await link.until())[-2]) == "57014"
    link.close()
    await site.settled(lambda: len(site.authority.outcomes) == 4)
    assert [o.used.rows for o in site.authority.outcomes] == [100, 2, 2, 0]


async def test_notifications_pass(site: GatewaySite):
    """LISTEN and NOTIFY are decided, and a notification comes whenever it comes."""
    link, other = await Wire.session(site.port, SECRET), await Wire.session(site.port, SECRET)
    link.send(wire.query("LISTEN news"))
    await link.until()
    other.send(wire.query("NOTIFY news, 'hello'"))
    await other.until()
    assert b"news\0hello\0" in await link.frame()
    assert ("sql:listen news",) in site.authority.asked
    link.close()
    other.close()


async def test_the_newer_protocol(site: GatewaySite):
    """A client of protocol 3.2 gets a long cancel key, one of 3.9 is told that 3.2 is spoken."""
    for minor, size, told in ((0, 4, ""), (2, 32, ""), (9, 32, "v")):
        link = await Wire.dial(site.port)
        body = (3 << 16 | minor).to_bytes(4, "big") + b"user\0conn1\0\0"
        link.send((len(body) + 4).to_bytes(4, "big") + body)
        frame = await link.frame()
        if told:
            assert frame[5:9] == (3 << 16 | 2).to_bytes(4, "big")
            frame = await link.frame()
        await link.prove(frame, SECRET)
        assert len(link.key) == size
        link.close()


async def test_a_backlog_of_messages_without_sync_is_answered(site: GatewaySite):
    """Thousands of messages in one series pass, although only so many may wait for answers."""
    link = await Wire.session(site.port, SECRET)
    one = wire.bind("s") + wire.execute()
    link.send(wire.parse("SELECT 1", "s"), one * 3000, SYNC)
    found = await link.until()
    assert wire.kinds(found) == "1" + "2DC" * 3000 + "Z"
    link.close()
