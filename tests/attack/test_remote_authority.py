"""A gateway that runs alone: what silence, a false authority, and who stands between can do."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pyrage
import pytest

from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance
from callpoint.domain.errors import DeniedError
from callpoint.domain.gateway_line import answer_mac, opening
from callpoint.domain.session import Session
from callpoint.lifecycle.live_sessions import signal
from callpoint.lifecycle.session_end import end_session
from callpoint.ports import authority_calls as calls
from callpoint.ports.authority import POLL, Cut, Reach, Standing, Verdict
from callpoint.ports.stores import Transaction
from tests.fakes.in_the_middle import Asked, Forward, Hook, Told, hang
from tests.fakes.keys import Signer
from tests.fakes.token_desk import KEY
from tests.integration.test_gateway_alone import Alone
from tests.remote_gateway_site import Remote, open_remote
from tests.whole_gateway_site import HERE, knock

_LIMIT = 3
_PROMPT = POLL.total_seconds() + 3  # a busy machine; far less than a lost authority would take
_DELETE = "DELETE FROM items WHERE id = {}"
_GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
_MOST_MEMORY = 48 * 1024
_FALSE = "f" * 20
_EVERYTHING = b'{"reach":"everything"}'


@pytest.fixture
async def made(target, tmp_path) -> AsyncIterator[Remote]:
    async with open_remote(target, tmp_path, Allowance(actions=3)) as remote:
        yield remote


async def nonsense(_asked: Asked, _forward: Forward) -> Told:
    """Far more than an answer can be, and none."""
    return Told(200, [(b"content-type", b"application/json")], b"{", size=64 << 20)


def most_memory(gateway: Alone) -> int:
    """What the process ever had, KiB."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


async def ended(client: Any, within: float) -> None:
    """The gateway has closed the client's connection."""
    async with asyncio.timeout(within):
        while not client.is_closed():  # noqa: ASYNC110 -- asyncpg has no event for it
            await asyncio.sleep(0.01)


def is_heard(gateway: Alone) -> bool:
    """Orders would be heard."""
    return len(gateway.lines("authority_heard")) > len(gateway.lines("authority_line_lost"))


@pytest.mark.parametrize("authority", ["silent", "babbling"])
async def test_an_authority_that_says_nothing_of_use(made: Remote, authority: str):
    """Nothing passes without a yes, every session is cut in time, and the gateway stands."""
    async with made.gateway(_LIMIT) as gateway:
        client = await made.login(gateway, await made.whole.activation())
        await client.execute(_DELETE.format(1))
        before = most_memory(gateway)
        if authority == "silent":
            made.middle.on[""], made.middle.is_cut = hang, True
        else:
            made.middle.on[""] = nonsense
            made.middle.orders = lambda text: [b"\xff" * 200_000, text]
        begun = time.monotonic()
        with pytest.raises(_GONE):
            await client.execute(_DELETE.format(2))
        await ended(client, begun + _LIMIT + 3 - time.monotonic())
        assert (await gateway.logged("session_cut"))["reason"] == "authority_lost"
        assert await made.whole.backends() == 0
        assert 2 in await made.items()
        assert most_memory(gateway) - before < _MOST_MEMORY
        made.middle.on.clear()
        made.middle.is_cut, made.middle.orders = False, lambda text: [text]
        assert await gateway.end() == 0


async def test_answers_changed_on_the_way(made: Remote):
    """A no made a yes, a yes told again, a yes to another question: none of them is believed."""
    async with made.gateway(15, Signer(KEY).public) as gateway:
        client = await made.login(gateway, await made.whole.activation())
        for number in (1, 2):
            assert await client.execute(_DELETE.format(number)) == "DELETE 1"
        earlier = made.middle.answers("decide")[0]

        async def again(_asked: Asked, _forward: Forward) -> Told:
            return earlier

        async def turned(asked: Asked, forward: Forward) -> Told:
            told = await forward(asked)
            return replace(told, body=told.body.replace(b'"allowed":false', b'"allowed":true'))

        async def swapped(asked: Asked, forward: Forward) -> Told:
            await forward(asked)
            return earlier

        for lie in (again, swapped, turned):
            made.middle.on["decide"] = lie
            with pytest.raises(asyncpg.PostgresError, match="authority"):
                await client.execute(_DELETE.format(3))
        assert b'"allowed":false' in made.middle.answers("decide")[-1].body
        assert {3} <= await made.items()
        decided = await made.whole.told(ev.ActionDecided)
        assert [one.allowed for one in decided] == [True, True, True, False]
        client.terminate()


@dataclass
class FalseAuthority:
    """Whoever ends TLS opens lines of its own: anybody can seal to the gateway, and say yes.

    Attributes:
        asked: What came on its lines.
    """

    signer: Signer
    key: bytes = bytes(32)
    asked: set[str] = field(default_factory=set)

    async def line(self, asked: Asked, _forward: Forward) -> Told:
        wish = msgspec.json.decode(asked.body, type=calls.LineWish)
        box = pyrage.encrypt(self.key, [pyrage.x25519.Recipient.from_str(wish.seal_to)])
        name = _FALSE
        said = opening(asked.path.split("/")[-2], name, wish.seal_to, box)
        line = calls.Line(name, box, self.signer.public_key, self.signer.sign(said))
        return Told(200, [(b"content-type", b"application/json")], msgspec.json.encode(line))

    def saying(self, answer: Any) -> Hook:
        """It to everything, with the MAC of the line that it opened."""

        async def say(asked: Asked, _forward: Forward) -> Told:
            shown = dict(asked.headers)[b"authorization"].decode().split(" ")[1]
            line, number, _ = shown.split(".")
            if line == _FALSE:
                self.asked.add(asked.call)
            body = msgspec.json.encode(answer(asked))
            mac = answer_mac(self.key, line, int(number), asked.call, 200, body)
            return Told(200, [(calls.PROOF.encode(), f"mac={mac}".encode())], body)

        return say


def all_open(asked: Asked) -> calls.Standings:
    """How they stand, for who wants them to go on."""
    sessions = msgspec.json.decode(asked.body, type=calls.Ask).sessions
    return calls.Standings(dict.fromkeys(sessions, Standing.OPEN))


async def test_an_authority_put_in_the_place_of_the_real_one(made: Remote):
    """Who opens a line with a key of its own has no say about a session: it is cut in a poll."""
    false = FalseAuthority(Signer("mallory"))
    async with made.gateway() as gateway:
        client = await made.login(gateway, await made.whole.activation())
        await client.execute(_DELETE.format(1))
        made.middle.on = {
            "line": false.line,
            "decide": false.saying(lambda _: Verdict(True, 2)),
            "standing": false.saying(all_open),
        }
        begun = time.monotonic()
        for number in (2, 3):  # the first yes does not fit the real line: another one is opened
            with pytest.raises(_GONE):
                await client.execute(_DELETE.format(number))
        await ended(client, begun + _PROMPT - time.monotonic())
        assert await made.items() == set(range(2, 401))
        assert "decide" not in false.asked, "it was not even told of the statement"


async def test_an_end_that_the_stream_does_not_bring(made: Remote):
    """Orders left out, told again, made up, or no stream at all: an end comes by the poll."""
    async with made.gateway() as gateway:
        key = await made.whole.activation()
        clients = [await made.login(gateway, key) for _ in range(2)]
        made.middle.orders = lambda text: [text, text]
        await until(lambda: gateway.lines("authority_line_lost"))
        forged = msgspec.json.encode(calls.Ordered(msgspec.Raw(_EVERYTHING), "x" * 43))
        made.middle.orders = lambda text: [text, forged]
        lost = len(gateway.lines("authority_line_lost"))
        await until(lambda: len(gateway.lines("authority_line_lost")) > lost + 1)
        assert gateway.lines("session_cut") == []
        for line in gateway.lines("authority_line_lost"):
            assert "not as it was given" in line["error"]
        made.middle.orders = lambda text: [] if b"session" in text else [text]
        await until(lambda: is_heard(gateway))
        for client, opened in zip(clients, made.opened, strict=True):
            begun = time.monotonic()
            await ordered(made, opened.session)
            await ended(client, begun + _PROMPT - time.monotonic())
            made.middle.is_cut = True
        assert [line["reason"] for line in gateway.lines("session_cut")] == ["over", "over"]
        assert await made.whole.backends() == 0


async def ordered(made: Remote, session: str) -> None:
    """End it as a kill does, but at the target."""

    def work(tx: Transaction) -> None:
        signal(tx, Cut(Reach.SESSION, session, "killed"))
        end_session(tx, tx.get(Session, session), "killed")

    await made.whole.world.services.store.transact(work)


async def test_a_gateway_killed_on_the_spot(made: Remote):
    """Its sessions are over at the target; what it held can be taken away, and is proven dead."""
    key = await made.whole.activation()
    async with made.gateway() as gateway:
        client = await made.login(gateway, key)
        running = asyncio.ensure_future(client.execute("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.3)
        gateway.process.kill()
        await ended(client, 1)
        with pytest.raises(_GONE):
            await running
    async with asyncio.timeout(5):
        while await made.whole.backends():  # noqa: ASYNC110 -- the server's own time
            await asyncio.sleep(0.05)
    (opened,) = made.opened
    credential = opened.credential
    place = int(credential.endpoint["port"])
    words = (credential.username, credential.secret)
    database = credential.endpoint["dbname"]
    thief = await knock(place, *words, HERE, database=database)
    await made.whole.kill(key)
    assert await thief.rest() is not None
    thief.close()
    with pytest.raises(DeniedError):
        await knock(place, *words, HERE, database=database)
    assert [one.session for one in await made.whole.told(ev.SessionEnded)] == [opened.session]
    (over,) = await made.whole.told(ev.LeaseEnded)
    assert over.evidence


async def until(condition: Any, within: float = 5.0) -> None:
    """Something has come to be."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 -- of whatever kind
            await asyncio.sleep(0.02)
