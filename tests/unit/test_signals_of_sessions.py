"""Sessions through gateways, as receivers of signals are told of them."""

import json

from callpoint.api.gateways import REMOVED
from callpoint.domain.activation import EndReason
from callpoint.domain.kill import Scope
from callpoint.domain.signal import ENDS
from callpoint.gateways.guard import EXPIRED, LOST, STOPPED
from callpoint.lifecycle import kill
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.session_end import GATEWAY_SILENT
from callpoint.lifecycle.session_recorder import DISAGREES, FAILED
from callpoint.lifecycle.session_stop import ENDED
from callpoint.ports.authority import Arrival
from tests.fakes.behind import GATEWAY, SOURCE, behind, connect
from tests.fakes.signals import ISSUER, LIFE, kinds, push, scene


async def test_a_session_through_a_gateway_is_told():
    """Its own beginning and end, with its own id, the activation's beside it; a word of nobody."""
    world, receiver, desk = await scene(adapt=behind)
    made = await world.active()
    authority = GatewayAuthority(world.services, GATEWAY)
    opened = []
    for reason in ("closed", "alice was here", ""):
        offer = await connect(world, made.id)
        arrival = Arrival(offer.connection.id, SOURCE, GATEWAY, "psql of alice")
        opened.append((await authority.open_session(arrival)).session)
        if reason:
            await authority.end_session(opened[-1], reason)
    await kill.kill(world.services, world.caller("gina"), Scope.ACTIVATION, made.id)
    await push(desk)
    told = [one for one in receiver.told() if one["sub_id"]["session"]["id"] in opened]
    established, revoked = "session-established", "session-revoked"
    assert kinds(told) == [established, revoked] * 3
    assert [one["txn"] for one in told] == [
        f"{session}-{step}" for session in opened for step in ("begin", "end")
    ]
    events = [next(iter(one["events"].values())) for one in told]
    assert [event["ext_id"] for event in events[::2]] == [made.id] * 3
    assert [
        (event["initiating_entity"], event["reason_admin"]["en"].partition(": ")[2])
        for event in events[1::2]
    ] == [
        ("user", "its client closed it"),
        ("system", "for another reason"),
        ("admin", "killed"),
    ]
    for one in told:
        assert one["sub_id"]["application"] == {"format": "opaque", "id": "orders-db"}
        assert one["sub_id"]["user"] == {"format": "iss_sub", "iss": ISSUER, "sub": "alice"}
        assert not {"psql", "was here", SOURCE, "gina"} & set(json.dumps(one).split())
        assert "was here" not in json.dumps(one)
    activation = [one for one in receiver.told() if one["sub_id"]["session"]["id"] == made.id]
    assert kinds(activation)[:3] == [*LIFE, revoked]


def test_every_word_for_the_end_of_a_session_is_known():
    """What ends a session by itself is told in words; a new one must be given some."""
    words = {
        ENDED, GATEWAY_SILENT, FAILED, DISAGREES, REMOVED, LOST, STOPPED,
        "closed", "not_connected",
    }  # fmt: skip
    assert words == set(ENDS)
    assert EXPIRED in tuple(EndReason)
