"""Shared Signals over HTTP: pushed to real receivers, fetched over the API."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from callpoint.adapters.clock.system import SystemClock
from callpoint.adapters.signals.http import HttpReceivers
from callpoint.adapters.signals.tokens import JwsEventTokens, key_id
from callpoint.api.signal_messages import SsfConfiguration
from callpoint.domain.errors import UnavailableError
from callpoint.domain.kill import Scope
from callpoint.domain.signal_stream import SignalStream
from callpoint.lifecycle import kill
from callpoint.lifecycle.signal_desk import SignalDesk
from callpoint.lifecycle.symptoms.symptom import Code
from callpoint.workers.crew import Crew
from tests.fakes.doctor import look, only
from tests.fakes.face import ADDRESS, Face, kind_of
from tests.fakes.receiver_site import ReceiverSite
from tests.fakes.signals import ISSUER, TOKEN_KEY, claims, kinds, make_told, polled, pushed
from tests.fakes.world import World

SECRET = "Bearer hunter2-hunter2"
WHOLE = [
    "session-established",
    "credential-change:create",
    "session-revoked",
    "credential-change:revoke",
]


async def nothing() -> None:
    """No nonces, and nothing to follow."""


def secret(variable: str) -> str:
    """As the process's environment gives it."""
    if variable != "SIEM_AUTHORIZATION":
        raise UnavailableError(f"the environment variable {variable} is not set")
    return SECRET


@asynccontextmanager
async def working(world: World, lines: list[str]) -> AsyncIterator[None]:
    """The crew of a process, with real time and real HTTP."""

    def keep(_: Any, __: str, line: Any) -> str:
        lines.append(str(line))
        return ""

    logger = structlog.wrap_logger(structlog.ReturnLogger(), processors=[keep])
    stop = asyncio.Event()
    async with httpx.AsyncClient() as client:
        desk = SignalDesk(
            world.services,
            JwsEventTokens(TOKEN_KEY),
            HttpReceivers(client, secret),
            ISSUER,
        )
        crew = Crew(world.services, logger, forget_nonces=nothing, follow=nothing, signals=desk)
        async with asyncio.TaskGroup() as group:
            group.create_task(crew.run(stop))
            try:
                yield
            finally:
                stop.set()


async def until(done: Callable[[], bool], within: float = 15) -> float:
    """Wait for it; how long that took."""
    began = time.monotonic()
    async with asyncio.timeout(within):
        while not done():  # noqa: ASYNC110 -- what is awaited is what another thread took
            await asyncio.sleep(0.01)
    return time.monotonic() - began


def told(site: ReceiverSite) -> list[str]:
    """What it took."""
    return kinds([claims(body) for body in site.bodies])


def to(site: ReceiverSite, name: str, **more: Any) -> SignalStream:
    """A stream that is pushed to it."""
    return msgspec.structs.replace(pushed(name, **more), url=site.url)


async def test_a_receiver_that_is_away_or_slow_holds_up_nobody():
    """A kill and the receiver that works wait for neither; who was away gets all of it in order."""
    quick, slow, away = ReceiverSite(), ReceiverSite(), ReceiverSite()
    slow.delay = 1.5
    world = await make_told(
        to(quick, "quick", authorization_env="SIEM_AUTHORIZATION"),
        to(slow, "slow"),
        to(away, "away"),
        clock=SystemClock(),
    )
    await world.incident()
    lines: list[str] = []
    with ExitStack() as up:
        up.enter_context(quick.up())
        up.enter_context(slow.up())
        async with working(world, lines):
            await world.active()
            await until(lambda: told(quick) == WHOLE[:2])
            began = time.monotonic()
            await kill.kill(world.services, world.caller("gina"), Scope.EVERYTHING, "")
            assert time.monotonic() - began < slow.delay
            assert await until(lambda: told(quick) == WHOLE) < 4
            assert len(slow.bodies) < len(quick.bodies)
            assert quick.fields["authorization"] == SECRET
            assert quick.fields["content-type"] == "application/secevent+jwt"
            up.enter_context(away.up())
            await until(lambda: told(away) == WHOLE and told(slow) == WHOLE, 25)
    assert not world.target.accounts
    assert any("receiver_fails" in line and "away" in line for line in lines)
    assert any("receiver_answers" in line for line in lines)
    assert not any("hunter2" in line for line in lines)


async def test_what_a_receiver_says_shows_no_secret():
    """It repeats what it was sent, and people read its words: without the secret."""
    site = ReceiverSite()
    body = f'{{"err": "access_denied", "description": "not {SECRET}"}}'
    site.answer = lambda _: (400, body.encode())
    world = await make_told(
        to(site, "siem", authorization_env="SIEM_AUTHORIZATION"),
        to(site, "other", authorization_env="NOT_SET"),
        clock=SystemClock(),
    )
    await world.incident()
    lines: list[str] = []
    with site.up():
        async with working(world, lines):
            await world.active()
            await until(lambda: sum("receiver_fails" in line for line in lines) == 2)
    shown = str(lines)
    assert "access_denied not [hidden]" in shown
    assert "NOT_SET is not set" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("value", ["Bearer x\r\nx-evil: 1", "Bearer \u00e9", "", "Bearer \x00"])
async def test_a_secret_that_is_no_field_is_not_sent_and_not_shown(value):
    """The HTTP library would repeat it in its error."""
    async with httpx.AsyncClient() as client:
        receivers = HttpReceivers(client, lambda _: value)
        with pytest.raises(UnavailableError) as error:
            await receivers.push(pushed(authorization_env="SIEM_AUTHORIZATION"), "a.b.c")
    assert "SIEM_AUTHORIZATION" in str(error.value)
    assert "evil" not in str(error.value)


async def test_an_answer_is_read_with_care():
    """A redirection is not followed, a long answer is cut, and nobody there is one sentence."""
    site = ReceiverSite()
    stream = to(site, "siem")
    async with httpx.AsyncClient() as client:
        receivers = HttpReceivers(client, secret)
        with pytest.raises(UnavailableError, match=r"no answer .* siem \(ConnectError\)"):
            await receivers.push(stream, "a.b.c")
        with site.up():
            site.answer = lambda _: (307, b"")
            assert (await receivers.push(stream, "a.b.c")).status == 307
            site.answer = lambda _: (400, b"x" * 100_000)
            assert len((await receivers.push(stream, "a.b.c")).body) == 8_000
    assert not site.bodies


@pytest.fixture
async def face() -> AsyncIterator[Face]:
    """The API of a world with one stream for each way to prove oneself, and one that is pushed."""
    world = await make_told(
        polled(),
        polled("siem", receiver="", token_sha256=hashlib.sha256(b"token-of-the-siem").hexdigest()),
        pushed("hook", receiver="deployer"),
    )
    await world.incident()
    async with Face(world) as made:
        yield made


async def bearing(
    face: Face, method: str, path: str, token: str = "token-of-the-siem", **more: Any
) -> httpx.Response:
    """A request with a bearer token."""
    field = {"authorization": f"Bearer {token}"}
    return await face.client.request(method, path, headers=field, **more)


async def test_the_transmitter_says_where_everything_is(face: Face):
    """SSF 1.0, 7.1: what is served, of one address, for everybody."""
    found = (await face.client.get("/.well-known/ssf-configuration")).json()
    assert set(found) == set(SsfConfiguration.__struct_fields__)
    assert found["spec_version"] == "1_0"
    assert found["issuer"] == ADDRESS
    assert found["delivery_methods_supported"] == ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"]
    for name in ("configuration_endpoint", "status_endpoint", "verification_endpoint"):
        assert found[name].startswith(f"{ADDRESS}/ssf/v1/")
        answer = await face.client.get(found[name].removeprefix(ADDRESS))
        assert answer.status_code in (401, 405)
    keys = (await face.client.get(found["jwks_uri"].removeprefix(ADDRESS))).json()["keys"]
    assert keys[0]["kid"] == key_id(TOKEN_KEY.public)


async def test_a_receiver_fetches_confirms_and_fetches(face: Face):
    """RFC 8936 with a bearer token: `sets` by `jti`, `moreAvailable`, `ack`."""
    await face.world.active()
    path, now = "/ssf/v1/poll/siem", {"returnImmediately": True}
    first = (await bearing(face, "POST", path, json={**now, "maxEvents": 1})).json()
    assert set(first) == {"sets", "moreAvailable"}
    assert first["moreAvailable"] is True
    ((jti, token),) = first["sets"].items()
    said = claims(token)
    assert (said["jti"], said["aud"]) == (jti, "https://siem.example")
    second = (await bearing(face, "POST", path, json={**now, "ack": [jti], "x": 1})).json()
    assert kinds([claims(one) for one in second["sets"].values()]) == WHOLE[1:2]
    assert second["moreAvailable"] is False
    (other,) = second["sets"]
    wrong = {other: {"err": "invalid_request", "description": "no"}}
    assert not (await bearing(face, "POST", path, json={**now, "setErrs": wrong})).json()["sets"]
    assert "invalid_request no" in only(await look(face.world), Code.SIGNALS_REFUSED).text
    done = await bearing(face, "POST", path, json={"ack": [other], "maxEvents": 0})
    assert done.json() == {"sets": {}, "moreAvailable": False}


async def test_a_principal_fetches_with_signed_requests(face: Face):
    """The API's own authentication does as well, and gives what the configuration gives it."""
    await face.world.active()
    found = await face.post("deployer", "/ssf/v1/poll/idp", {"returnImmediately": True})
    assert kinds([claims(one) for one in found["sets"].values()]) == WHOLE[:2]
    views = await face.get("deployer", "/ssf/v1/streams")
    assert [one["stream_id"] for one in views] == ["hook", "idp"]
    assert await face.get("alice", "/ssf/v1/streams") == []


async def test_a_receiver_sees_its_own_streams_alone(face: Face):
    """Others are not there for it: neither to fetch, nor to read, nor to ask about."""
    now = {"returnImmediately": True}
    for name in ("idp", "hook", "nothing", "..%2fidp"):
        assert kind_of(await bearing(face, "POST", f"/ssf/v1/poll/{name}", json=now)) == (
            404,
            "not_found",
        )
        for place in ("streams", "status"):
            answer = await bearing(face, "GET", f"/ssf/v1/{place}?stream_id={name}")
            assert kind_of(answer) == (404, "not_found")
        answer = await bearing(face, "POST", "/ssf/v1/verify", json={"stream_id": name})
        assert kind_of(answer) == (404, "not_found")
    assert kind_of(await face.call("alice", "POST", "/ssf/v1/poll/idp", {})) == (404, "not_found")
    mine = (await bearing(face, "GET", "/ssf/v1/streams")).json()
    assert [one["stream_id"] for one in mine] == ["siem"]


async def test_nobody_else_is_let_in(face: Face):
    """No proof, another token, another scheme, the hash itself, or nothing: all the same answer."""
    path = "/ssf/v1/streams"
    for field in (
        None,
        "Bearer nobody",
        "Bearer ",
        "Bearer",
        "Basic token-of-the-siem",
        f"Bearer {hashlib.sha256(b'token-of-the-siem').hexdigest()}",
        f"Bearer {'x' * 5000}",
    ):
        headers = {} if field is None else {"authorization": field}
        answer = await face.client.get(path, headers=headers)
        assert kind_of(answer) == (401, "authentication"), field
    assert (await bearing(face, "GET", path)).status_code == 200


async def test_a_stream_is_read_and_verified_and_not_changed(face: Face):
    """Configuration and status are shown, a verification event comes, and nothing else is there."""
    view = (await bearing(face, "GET", "/ssf/v1/streams?stream_id=siem")).json()
    assert view["delivery"] == {
        "method": "urn:ietf:rfc:8936",
        "endpoint_url": f"{ADDRESS}/ssf/v1/poll/siem",
    }
    assert view["aud"] == "https://siem.example"
    assert len(view["events_delivered"]) == 3
    status = (await bearing(face, "GET", "/ssf/v1/status?stream_id=siem")).json()
    assert status == {"stream_id": "siem", "status": "enabled"}
    asked = {"stream_id": "siem", "state": "VGhpcw"}
    assert (await bearing(face, "POST", "/ssf/v1/verify", json=asked)).status_code == 204
    found = (await bearing(face, "POST", "/ssf/v1/poll/siem", json={})).json()
    assert kinds([claims(one) for one in found["sets"].values()]) == ["verification"]
    for method, place in (
        ("POST", "streams"),
        ("PATCH", "streams"),
        ("DELETE", "streams"),
        ("POST", "status"),
    ):
        assert (await bearing(face, method, f"/ssf/v1/{place}", json={})).status_code == 405


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 10_000,
        b'{"maxEvents": -1}',
        b'{"maxEvents": "1"}',
        b'{"ack": "x"}',
        b'{"ack": [1]}',
        b'{"setErrs": {"x": "y"}}',
        msgspec.json.encode({"ack": ["x"] * 1001}),
    ],
)
async def test_a_body_that_is_none_is_refused(face: Face, body):
    """With what is wrong; the stream stands as it stood."""
    answer = await bearing(face, "POST", "/ssf/v1/poll/siem", content=body)
    assert kind_of(answer) == (400, "request")


async def test_a_pushed_stream_is_not_fetched(face: Face):
    """Its receiver is told so."""
    answer = await face.call("deployer", "POST", "/ssf/v1/poll/hook", {})
    assert kind_of(answer) == (400, "request")
