"""Who has a gateway's key: what it opens, whose sessions it reaches, and what its reports move."""

import httpx
import pytest

from callpoint.cli.signing import sign_request
from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Portion, Used
from callpoint.domain.errors import DeniedError, RequestError, UnavailableError
from callpoint.domain.operation import Operation
from callpoint.domain.spending import Spending
from callpoint.gateways.authority import RemoteAuthority
from callpoint.ports.authority import Arrival, Deed, Outcome, Standing
from tests.fakes.authority_site import GATEWAY, PRINCIPAL
from tests.fakes.face import private_key
from tests.remote_gateway_site import OTHER, OTHERS_PRINCIPAL, Remote, open_remote
from tests.whole_gateway_site import HERE

_ROWS = 1000
_READ = Deed((Operation("sql:select", "public.items"),), portion=Portion(rows=100))


async def opened(made: Remote, gateway: RemoteAuthority, activation: str) -> str:
    """A session of it, which it asks for as a gateway does once SCRAM is done."""
    offer = await made.whole.offer(activation)
    return (await gateway.open_session(Arrival(offer.connection.id, HERE, GATEWAY))).session


async def spent(made: Remote, activation: str) -> Spending:
    """What the activation has."""
    store = made.whole.world.services.store
    return await store.read(lambda view: view.get(Spending, activation))


async def test_what_a_gateways_key_opens(target, tmp_path):
    """Not a second time what it signed once, nothing with another key, no guessed connection."""
    async with open_remote(target, tmp_path) as made:
        site, sent = made.site, []

        async def note(request: httpx.Request) -> None:
            sent.append(request)

        site.http.event_hooks = {"request": [note]}
        front = site.remote()
        session = await opened(made, front, await made.whole.activation())
        site.http.event_hooks = {}
        for request in sent:
            answer = await site.http.post(
                request.url, content=request.content, headers=dict(request.headers)
            )
            assert answer.status_code == 401, request.url
        thief = RemoteAuthority(
            site.http,
            (site.address,),
            GATEWAY,
            lambda method, url, body: sign_request(
                method, url, body, principal=PRINCIPAL, key=private_key("mallory"),
                now=made.whole.world.services.clock.now(), nonce=b"n" * 16,
            ),
            made.whole.world.services.clock,
        )  # fmt: skip
        with pytest.raises(UnavailableError, match="opens no line"):
            await thief.open_session(Arrival("c" * 20, HERE, GATEWAY))
        elsewhere = site.remote()  # the key is not bound to a machine
        with pytest.raises(DeniedError):
            await elsewhere.open_session(Arrival("c" * 20, HERE, GATEWAY))
        (refused,) = await made.whole.told(ev.RequestRefused)
        assert refused.action == "credential:reveal"

        other = site.remote(OTHERS_PRINCIPAL, OTHER)
        for question in (
            other.decide(session, _READ),
            other.draw(session, 1, Used()),
            other.report(session, Outcome(1, Used())),
        ):
            with pytest.raises(DeniedError, match="is not one of the gateway back's"):
                await question
        await other.end_session(session, "closed")
        assert await other.standing([session]) == {session: Standing.OVER}
        assert await front.standing([session]) == {session: Standing.OPEN}
        tried = (await made.whole.told(ev.RequestRefused))[1:]
        assert {(one.actor, one.action, one.about) for one in tried} == {
            (OTHERS_PRINCIPAL, "session:decide", session)
        }
        assert len(tried) == 3
        assert await made.whole.told(ev.SessionEnded) == []


async def test_what_a_gateways_reports_move(target, tmp_path):
    """Too little cannot be told; it gives nothing back that was not held, and once at the most."""
    async with open_remote(target, tmp_path, Allowance(rows=_ROWS)) as made:
        key = await made.whole.activation()
        front = made.site.remote()
        session = await opened(made, front, key)
        for number, used in enumerate((300, -(10**9), 0), start=1):
            assert (await front.decide(session, _READ)).number == number
            await front.report(session, Outcome(number, Used(rows=used, bytes=used)))
            assert (await spent(made, key)).rows == 300
        for number in (1, 7):
            with pytest.raises(RequestError, match="no action"):
                await front.report(session, Outcome(number, Used()))
        await front.decide(session, _READ)
        await front.end_session(session, "closed")  # never reported: it stays spent
        assert (await spent(made, key)).rows == 400
        finished = await made.whole.told(ev.ActionFinished)
        assert [one.rows for one in finished] == [300, 0, 0]
        session = await opened(made, front, key)
        number = (await front.decide(session, _READ)).number
        await front.report(session, Outcome(number, Used(rows=10**30)))
        verdict = await front.decide(session, _READ)
        assert (verdict.allowed, verdict.is_paused) == (False, True)
