"""The authority over HTTP: a real socket between the gateway's client and the server's API."""

import asyncio
import gzip
import json
import socket
from collections import Counter
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta

import httpx
import msgspec
import pytest

from callpoint.adapters.clock.system import SystemClock
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    RequestError,
    StoreUnavailableError,
    TamperError,
    UnavailableError,
)
from callpoint.domain.kill import Scope
from callpoint.domain.operation import Operation
from callpoint.gateways.authority import RemoteAuthority
from callpoint.lifecycle.kill import kill
from callpoint.ports import authority_calls as calls
from callpoint.ports.authority import Arrival, Cut, Deed, Granted, Outcome, Reach, Standing
from tests.fakes.authority_site import GATEWAY, PRINCIPAL, Site, authority_site
from tests.fakes.keys import Signer
from tests.fakes.scripted_authority import GREETING, SECRET, VERDICT, opened
from tests.fakes.token_desk import KEY

DEED = Deed(
    operations=(Operation("sql:select", "public.items"), Operation("sql:usage", "public")),
    text="select 'é\x00' from items where id = $1",
    text_sha256="ab" * 32,
    parameters=("7", ""),
    portion=Portion(rows=100),
)
PUBLIC = Signer("mallory").public
OUTCOME = Outcome(3, Used(rows=5, bytes=900), "42501", timedelta(milliseconds=1.5))
ARRIVAL = Arrival("conn", "192.0.2.7", GATEWAY, "psql")


@pytest.fixture
async def site():
    async with authority_site() as made:
        yield made


async def test_every_question_and_answer_crosses_whole(site):
    """The authority hears what a gateway asks, and each answer comes back as it was given."""
    remote = site.remote()
    assert await remote.greet("conn", "192.0.2.7") == GREETING
    assert await remote.open_session(ARRIVAL) == opened()
    assert await remote.decide("s1", DEED) == VERDICT
    assert await remote.draw("s1", 3, Used(rows=100)) == Portion(rows=0, bytes=5)
    assert await remote.report("s1", OUTCOME) is Standing.PAUSED
    await remote.end_session("s1", "closed")
    many = [f"s{n}" for n in range(1, 700)]
    told = await remote.standing(many)
    assert told == {s: Standing.OPEN if s == "s1" else Standing.OVER for s in many}
    assert await remote.standing(()) == {}
    assert site.authority.asked == [
        (GATEWAY, "greet", ("conn", "192.0.2.7")),
        (GATEWAY, "open", ARRIVAL),
        (GATEWAY, "decide", ("s1", DEED)),
        (GATEWAY, "draw", ("s1", 3, Used(rows=100))),
        (GATEWAY, "report", ("s1", OUTCOME)),
        (GATEWAY, "end", ("s1", "closed")),
        (GATEWAY, "standing", tuple(many[:500])),
        (GATEWAY, "standing", tuple(many[500:])),
        (GATEWAY, "standing", ()),
    ]


async def test_errors_are_the_same_on_both_sides(site):
    """The error of the authority is raised by the client, with its reasons and its way out."""
    errors = (
        DeniedError("no", reasons=("policy[x]",), way_out="ask"),
        ConflictError("it is over"),
        RequestError("nonsense"),
        StoreUnavailableError("no store", way_out="wait"),
        TamperError("does not agree"),
    )
    remote = site.remote()
    for error in errors:
        site.authority.errors["decide"] = error
        with pytest.raises(type(error)) as raised:
            await remote.decide("s1", DEED)
        assert str(raised.value) == str(error)
        assert getattr(raised.value, "reasons", ()) == getattr(error, "reasons", ())
    assert len(site.authority.asked) == len(errors)


async def test_a_credential_crosses_sealed(site):
    """Whoever ends TLS, or reads the log, sees neither the credential nor the line's key."""
    seen: list[bytes] = []

    async def note(answer: httpx.Response) -> None:
        seen.append(await answer.aread())

    site.http.event_hooks = {"response": [note]}
    admitted = await site.remote().open_session(ARRIVAL)
    assert admitted.credential.secret == SECRET
    assert len(seen) == 2
    assert b"orders-db" in seen[1]
    assert SECRET.encode() not in b"".join(seen) + json.dumps(site.lines).encode()
    assert SECRET not in repr(admitted)


async def test_only_the_gateways_principal_is_answered(site):
    """A person, another machine, and the principal for another gateway get no line at all."""
    for who, gateway in (("alice", GATEWAY), ("fixer", GATEWAY), (PRINCIPAL, "inside")):
        with pytest.raises(UnavailableError, match="is not the principal of a gateway"):
            await site.remote(who, gateway).greet("conn", "192.0.2.7")
    with pytest.raises(DeniedError, match=f"this line is the gateway {GATEWAY}'s"):
        await site.remote().open_session(msgspec.structs.replace(ARRIVAL, gateway="inside"))
    assert site.authority.asked == []


async def test_a_call_is_accepted_once(site):
    """Sent again byte for byte, or without a line, a call is refused and nobody is asked."""
    sent: list[httpx.Request] = []

    async def note(request: httpx.Request) -> None:
        sent.append(request)

    site.http.event_hooks = {"request": [note]}
    await site.remote().end_session("s1", "closed")
    line, call = sent
    asked = len(site.authority.asked)
    for request in (line, call):
        answer = await site.http.post(
            request.url, content=request.content, headers=dict(request.headers)
        )
        assert answer.status_code == 401, answer.text
    bare = await site.http.post(call.url, content=call.content)
    assert bare.status_code == 401
    assert len(site.authority.asked) == asked


async def test_no_line_over_a_network_in_clear():
    """A server that clients reach without TLS from elsewhere hands out nothing, and says why."""
    async with authority_site(origin="http://callpoint.example") as site:
        with pytest.raises(UnavailableError, match=r"http://callpoint\.example is an address"):
            await site.remote().open_session(ARRIVAL)
        assert site.authority.asked == []


async def test_a_server_without_its_token_key_opens_no_line():
    """Nobody could tell its lines from a liar's; it says what is wrong."""
    async with authority_site(token_key="") as site:
        with pytest.raises(UnavailableError, match="has no token key to sign"):
            await site.remote().decide("s1", DEED)
        assert site.authority.asked == []


async def test_sessions_end_where_the_token_key_changed(site):
    """What was opened under the former key is over for its gateway; new sessions are not."""
    remote = site.remote()
    first = (await remote.open_session(ARRIVAL)).session
    async with authority_site(token_key="another", also=(site.address,)) as other:
        there = RemoteAuthority(site.http, (other.address,), GATEWAY, other.sign(), SystemClock())
        remote._lines = there._lines
        with pytest.raises(ConflictError, match="another authority answers"):
            await remote.decide(first, DEED)
        assert await remote.standing([first]) == {first: Standing.OVER}
        assert await remote.grants("j", [first]) == Granted()
        assert [question for _, question, _ in other.authority.asked] == ["standing", "grants"]


async def test_bodies_are_bounded(site):
    """What is longer than a deed can be, or nested without end, is refused before it is read."""
    remote = site.remote()
    long = msgspec.structs.replace(DEED, text="x" * (calls.MAX_BODY + 1))
    with pytest.raises(RequestError):
        await remote.decide("s1", long)
    sessions = calls.Ask(tuple(f"s{n}" for n in range(calls.MAX_SESSIONS + 1)))
    line = await remote._lines.current()
    made = line.call("decide", msgspec.json.encode(calls.Decide("s1", long)))
    answer = await site.http.post(made.url, content=made.body, headers=made.headers)
    assert answer.status_code == 413
    deep = b'{"sessions":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for body in (msgspec.json.encode(sessions), b"", b"[]", b'{"sessions":[],"more":1}', deep):
        made = line.call("standing", body)
        answer = await site.http.post(made.url, content=body, headers=made.headers)
        assert answer.status_code == 400, (body[:40], answer.text)
    assert site.authority.asked == []


async def test_orders_come_as_they_are_given(site):
    """A kill is heard at once over the stream; silence is told; the end of the line is an end."""
    heard: list[Cut | None] = []
    world = site.world
    cut = Cut(Reach.TARGET, "orders-db", "killed")
    async with asyncio.timeout(10), aclosing(site.remote().cuts()) as cuts:
        assert await anext(cuts) is None
        await kill(world.services, world.caller("carol"), Scope.TARGET, "orders-db")
        begun = asyncio.get_running_loop().time()
        heard.append(await anext(cuts))
        assert asyncio.get_running_loop().time() - begun < 0.5
        while None not in heard:
            heard.append(await anext(cuts))
        world.services.live.close()
        assert [order async for order in cuts] == []
    assert heard[0] == cut


async def test_a_listener_that_left_is_forgotten(site):
    """A gateway that goes away leaves nothing behind in the server."""
    async with asyncio.timeout(10), aclosing(site.remote().cuts()) as cuts:
        assert await anext(cuts) is None
        assert len(site.authority.live._lines) == 1
    async with asyncio.timeout(10):
        while site.authority.live._lines:  # noqa: ASYNC110 -- the server says nothing of it
            await asyncio.sleep(0.05)


async def test_a_gateway_that_was_removed_cuts_everything(site):
    """A line whose gateway left the configuration is told to end all, and then ends."""
    rules = site.world.services.rules
    async with asyncio.timeout(10), aclosing(site.remote().cuts()) as cuts:
        assert await anext(cuts) is None
        without = msgspec.structs.replace(rules.last_proven, gateways={})
        rules._newest = msgspec.structs.replace(rules._newest, configuration=without)
        told = [order async for order in cuts]
    assert told[-1] == Cut(Reach.EVERYTHING, reason="gateway_removed")


async def test_a_server_that_forgot_the_line_is_asked_on_another(site):
    """After a restart of the server what may be done twice opens a new line, and is answered."""
    remote = site.remote()
    assert await remote.decide("s1", DEED) == VERDICT
    line = await remote._lines.current()
    remote._lines._line = replace(line, name="a" * 20)
    await remote.standing(["s1"])
    assert await remote.decide("s1", DEED) == VERDICT
    assert [q for _, q, _ in site.authority.asked] == ["decide", "standing", "decide"]


async def test_a_decide_is_not_repeated_for_a_server_that_forgot_the_line(site):
    """That it was not done cannot be proven, so the actor sends it again, on another line."""
    remote = site.remote()
    line = await remote._lines.current()
    remote._lines._line = replace(line, name="a" * 20)
    with pytest.raises(UnavailableError, match="send it again"):
        await remote.decide("s1", DEED)
    assert await remote.decide("s1", DEED) == VERDICT
    assert [question for _, question, _ in site.authority.asked] == ["decide"]


async def test_the_next_server_answers_when_the_first_is_gone(site):
    """A server where nobody listens is passed over, whatever the question was."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        remote = site.remote(servers=(gone, site.address))
        assert await remote.decide("s1", DEED) == VERDICT
        with pytest.raises(UnavailableError, match="does not answer at"):
            await site.remote(servers=(gone,)).decide("s1", DEED)


async def test_what_may_have_been_done_is_not_asked_again(site):
    """When an answer never comes, only what may be done twice is asked again."""
    asked: list[str] = []

    async def lost(request: httpx.Request) -> None:
        if not request.url.path.endswith("/line"):
            asked.append(request.url.path.rpartition("/")[2])
            raise httpx.ReadError("the answer was lost")

    site.http.event_hooks = {"request": [lost]}
    remote = site.remote()
    for question in (
        remote.decide("s1", DEED),
        remote.open_session(ARRIVAL),
        remote.draw("s1", 1, Used()),
        remote.report("s1", OUTCOME),
        remote.standing(["s1"]),
        remote.end_session("s1", "closed"),
        remote.greet("conn", "192.0.2.7"),
    ):
        with pytest.raises(UnavailableError, match="does not answer"):
            await question
    once = {"decide": 1, "open": 1, "draw": 1, "report": 1}
    assert Counter(asked) == {**once, "standing": 3, "end": 3, "greet": 3}


async def test_only_the_installation_that_was_named_is_asked(site):
    """With its token key in the settings nobody else opens a line, whoever answers first."""
    for keys, is_believed in (((Signer("x").public, Signer(KEY).public), True), ((PUBLIC,), False)):
        remote = RemoteAuthority(
            site.http, (site.address,), GATEWAY, site.sign(), SystemClock(), keys
        )
        if is_believed:
            assert await remote.decide("s1", DEED) == VERDICT
        else:
            with pytest.raises(UnavailableError, match="`token_keys` does not name"):
                await remote.decide("s1", DEED)
    assert len(site.authority.asked) == 1


async def test_a_stream_of_something_else_is_no_line(site):
    """What is no order, or has no end, loses the line, so that nobody believes it is heard."""
    endless = b"1" * (calls.MAX_CUT + 1)
    for content in (b"{}\n", b"x\n", b'{"reach":"galaxy"}\n', b"\xff\n", endless):
        remote = strange(site, content)
        with pytest.raises(UnavailableError, match=r"something else than orders|without end"):
            [order async for order in remote.cuts()]


async def test_another_program_at_the_address(site):
    """An answer that is not the authority's opens nothing, and none of it is quoted."""
    for content in (b"<html>a-secret</html>", b"{}", b'{"line":"x","box":"eHg="}'):
        with pytest.raises(UnavailableError) as raised:
            await strange(site, content, opens=False).decide("s1", DEED)
        assert "a-secret" not in str(raised.value)


async def test_a_packed_answer_is_not_unpacked(site):
    """What was asked for in clear could grow without bounds, so it is not even looked at."""
    packed = {"content-encoding": "gzip"}
    remote = strange(site, gzip.compress(bytes(1 << 20)), headers=packed)
    with pytest.raises(UnavailableError, match="an encoding that was not asked for"):
        await remote.decide("s1", DEED)


def strange(
    site: Site, content: bytes, *, opens: bool = True, headers: dict[str, str] | None = None
) -> RemoteAuthority:
    """A gateway whose way leads to something that answers ``content``, but perhaps for a line."""
    http = site.http

    async def answer(request: httpx.Request) -> httpx.Response:
        if opens and request.url.path.endswith("/line"):
            return await http.post(
                request.url, content=request.content, headers=dict(request.headers)
            )
        return httpx.Response(200, content=content, headers=headers)

    site.http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    try:
        return site.remote()
    finally:
        site.http = http
