"""At the door of a real gateway: who gets in, and what a stolen secret or credential is worth."""

from collections.abc import AsyncIterator

import pytest

from callpoint.domain import event as ev
from callpoint.domain.errors import DeniedError
from callpoint.lifecycle import give_back, incidents
from tests.fakes import wire
from tests.whole_gateway_site import ELSEWHERE, HERE, WholeSite, knock, open_whole

_DENIED, _WRONG, _OVER = "28000", "28P01", "57P01"
_NOBODY_ON_THE_LIST = "28000"


@pytest.fixture
async def whole(target, tmp_path) -> AsyncIterator[WholeSite]:
    async with open_whole(target, tmp_path) as made:
        yield made


async def test_a_secret_once_from_one_place_with_its_own_words(whole: WholeSite):
    """Guessed, unknown, from another address, a second time: no session, each on record."""
    key = await whole.activation()
    made = await whole.offer(key)
    user, port = made.connection.id, whole.front.gateway.port
    with pytest.raises(DeniedError, match=_WRONG):
        await knock(port, user, made.secret[:-1] + "!")
    with pytest.raises(DeniedError, match=_WRONG):
        await knock(port, user + "x", made.secret)
    with pytest.raises(DeniedError, match=_DENIED):
        await knock(port, user, made.secret, ELSEWHERE)
    assert whole.front.authority.opened == []
    link = await knock(port, user, made.secret)
    with pytest.raises(DeniedError, match=_DENIED):
        await knock(port, user, made.secret)
    link.send(wire.query("SELECT 1"))
    assert wire.rows(await link.until()) == [("1",)]
    link.close()
    assert len(whole.front.authority.opened) == 1
    assert len(await whole.told(ev.SessionOpened)) == 1
    refused = [e for e in await whole.told(ev.RequestRefused) if e.action == "credential:reveal"]
    assert len(refused) == 2
    assert await whole.backends() <= 1


@pytest.mark.parametrize("how", ["killed", "returned", "incident closed"])
async def test_a_secret_after_the_end(whole: WholeSite, how: str):
    """A secret that was fetched before the end opens nothing after it, and nothing is left."""
    key = await whole.activation()
    link, made = await whole.wire(key), await whole.offer(key)
    services = whole.world.services
    match how:
        case "killed":
            await whole.kill(key)
        case "returned":
            await give_back.give_back(services, whole.world.caller("alice"), key)
        case _:
            await incidents.resolve(services, whole.world.caller("carol"), "inc-7")
    link.send(wire.query("SELECT 1"))
    left = await link.rest()
    link.close()
    assert b"57P01" in left
    assert b"ended" in left
    with pytest.raises(DeniedError, match=f"{_OVER}|{_DENIED}"):
        await knock(whole.front.gateway.port, made.connection.id, made.secret)
    assert await whole.backends() == 0
    ended = await whole.told(ev.SessionEnded)
    assert [e.session for e in ended] == [whole.front.authority.opened[0].session]


async def test_a_way_around_the_gateway(whole: WholeSite):
    """The actor never sees the credential; its thief is nobody where pg_hba lists the gateway."""
    key = await whole.activation()
    link = await whole.wire(key)
    (opened,) = whole.front.authority.opened
    credential, seen = opened.credential, []
    for text in (
        "SELECT current_setting('role'), session_user",
        "SELECT * FROM pg_stat_activity",
        "SELECT usename, usesysid FROM pg_user",
        "SHOW ALL",
        "SELECT rolpassword FROM pg_authid",
        "SELECT setting FROM pg_settings",
    ):
        link.send(wire.query(text))
        seen += await link.until()
    link.close()
    assert len(credential.secret) >= 16
    assert credential.secret.encode() not in b"".join(seen)
    place, words = int(credential.endpoint["port"]), (credential.username, credential.secret)
    database = credential.endpoint["dbname"]
    direct = await knock(place, *words, HERE, database=database)  # as from the gateway's host
    direct.close()
    with pytest.raises(DeniedError, match=_NOBODY_ON_THE_LIST):
        await knock(place, *words, ELSEWHERE, database=database)
    await whole.kill(key)
    with pytest.raises(DeniedError, match=_WRONG):
        await knock(place, *words, HERE, database=database)
