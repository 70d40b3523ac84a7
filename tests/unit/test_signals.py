"""Signals: derived from the signed log, told at least once, and never more than was configured."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from callpoint.adapters.signals.tokens import key_id
from callpoint.domain.errors import TamperError
from callpoint.domain.kill import Scope
from callpoint.domain.outbox import WINDOW, Outbox, Pending
from callpoint.domain.signal_stream import SignalKind
from callpoint.lifecycle import kill
from callpoint.lifecycle.push_signals import BATCH, Pass
from callpoint.lifecycle.sweep import sweep
from callpoint.lifecycle.symptoms.symptom import Code
from callpoint.ports.signals import Receipt
from tests.fakes.doctor import codes, look, only
from tests.fakes.signals import (
    END,
    ISSUER,
    LIFE,
    Receiver,
    end,
    fetch,
    kinds,
    make_desk,
    outbox,
    polled,
    push,
    pushed,
    scene,
)


async def test_a_life_is_told_once_and_in_order():
    """Beginning, credential, end and its death, each once however often the log is looked at."""
    world, receiver, desk = await scene()
    made = await world.active()
    assert (await push(desk)).sent == 2
    await end(world, made.id)
    await push(desk)
    assert (await push(desk)).sent == 0
    assert kinds(receiver.told()) == [*LIFE, *END]
    assert len({one["jti"] for one in receiver.told()}) == 4


async def test_what_is_told_is_an_id_and_closed_words():
    """No person, justification, account or incident leaves; a principal's id or address does."""
    world, receiver, desk = await scene(pushed(), pushed("idp", users={"alice": "a@example.com"}))
    made = await world.active()
    await kill.kill(world.services, world.caller("gina"), Scope.EVERYTHING, "")
    await sweep(world.services)
    for stream in ("siem", "idp"):
        await push(desk, stream)
    (lease,) = await world.leases(made.id)
    for told in (receiver.told(), receiver.told("idp")):
        text = json.dumps(told)
        for secret in ("gina", "carol", "orders is down", "inc-7", lease.plan.account, lease.id):
            assert secret not in text
        (over,) = [one for one in told if kinds([one]) == ["session-revoked"]]
        ((_, event),) = over["events"].items()
        assert event["initiating_entity"] == "admin"
        assert event["reason_admin"] == {"en": "emergency access ended: killed"}
        assert over["txn"] == f"{made.id}-end"
        assert over["sub_id"]["session"] == {"format": "opaque", "id": made.id}
    users = [told[0]["sub_id"]["user"] for told in (receiver.told(), receiver.told("idp"))]
    assert users == [
        {"format": "iss_sub", "iss": ISSUER, "sub": "alice"},
        {"format": "email", "email": "a@example.com"},
    ]
    assert [told["aud"] for told in receiver.told("idp")] == ["https://idp.example"] * 4


async def test_a_stream_gets_the_events_that_it_is_to_get():
    """Of a stream with one kind nothing else leaves, and nothing else waits."""
    world, receiver, desk = await scene(pushed(events=(SignalKind.SESSION_REVOKED,)))
    await end(world, (await world.active()).id)
    await push(desk)
    assert kinds(receiver.told()) == ["session-revoked"]
    assert not (await outbox(world)).waiting


async def test_the_token_names_its_entry():
    """``jti`` is the entry's leaf hash, by which anybody finds the evidence, and the stream."""
    world, receiver, desk = await scene()
    await world.active()
    await push(desk)
    leaf, _, stream = receiver.told()[0]["jti"].partition(".")
    assert stream == "siem"
    index = await world.services.store.read(lambda view: view.find_leaf(bytes.fromhex(leaf)))
    assert index is not None
    (entry,) = await world.services.store.read(lambda view: view.log_slice(index, 1))
    assert b'"type":"activation:activated"' in entry.leaf


async def test_a_receiver_that_was_away_gets_everything_later():
    """Nothing is lost or out of order, however long it takes and however often it fails."""
    world, receiver, desk = await scene()
    receiver.away.add("siem")
    made = await world.active()
    for _ in range(5):
        done = await push(desk)
        assert done.sent == 0
        world.clock.advance(timedelta(minutes=5))
    row = await outbox(world)
    assert (row.failures, len(row.waiting)) == (5, 2)
    await end(world, made.id)
    receiver.away.clear()
    done = await push(desk)
    assert (done.sent, done.is_news, done.error) == (4, True, "")
    assert kinds(receiver.told()) == [*LIFE, *END]
    assert (await outbox(world)).failing_since is None


async def test_attempts_are_spread():
    """After a failure nothing is sent until its time has come, a minute away at most."""
    world, receiver, desk = await scene()
    receiver.away.add("siem")
    await world.active()
    await push(desk)
    receiver.away.clear()
    assert (await push(desk)).sent == 0
    world.clock.advance(timedelta(minutes=1))
    assert (await push(desk)).sent == 2
    assert [desk.wait(n) <= timedelta(minutes=1) for n in (0, 1, 7, 10_000)] == [True] * 4


@pytest.mark.parametrize(
    "receipt, words",
    [
        (Receipt(200), "HTTP 200"),
        (Receipt(302), "HTTP 302"),
        (Receipt(401), "HTTP 401"),
        (Receipt(503, b"busy"), "HTTP 503"),
        (Receipt(400), "did not say why"),
        (Receipt(400, b"\xff"), "did not say why"),
        (Receipt(400, b"[" * 5000), "did not say why"),
        (Receipt(400, b'{"err":"invalid_key","description":"\\u001b[2J"}'), "invalid_key"),
        (Receipt(400, b'{"err":"authentication_failed"}'), "authentication_failed"),
    ],
)
async def test_whatever_is_no_202_is_tried_again(receipt, words):
    """Nothing else takes a token; what the receiver said is kept, harmless on a screen."""
    world, receiver, desk = await scene()
    receiver.judge = lambda _: receipt
    await world.active()
    done = await push(desk)
    assert words in done.error
    assert done.error.isprintable()
    row = await outbox(world)
    assert (row.error, len(row.waiting)) == (done.error, 2)
    receiver.judge = lambda _: None
    world.clock.advance(timedelta(minutes=1))
    assert (await push(desk)).sent == 2


async def test_a_token_that_is_refused_holds_up_no_other():
    """It is told, shown again later, and taken when the receiver can."""
    world, receiver, desk = await scene()
    bad = Receipt(400, b'{"err":"invalid_request","description":"no such type"}')
    receiver.judge = lambda said: bad if kinds([said]) == [LIFE[0]] else None
    made = await world.active()
    done = await push(desk)
    assert list(done.refused.values()) == ["invalid_request no such type"]
    assert kinds(receiver.told()) == [LIFE[1]]
    await end(world, made.id)
    world.clock.advance(timedelta(minutes=1))
    await push(desk)
    assert kinds(receiver.told()) == [LIFE[1], *END]
    told = await look(world)
    assert "refuses 1 signals: invalid_request" in only(told, Code.SIGNALS_REFUSED).text
    receiver.judge = lambda _: None
    world.clock.advance(timedelta(minutes=2))
    await push(desk)
    assert kinds(receiver.told())[-1] == LIFE[0]
    assert Code.SIGNALS_REFUSED not in codes(await look(world))


async def test_a_death_between_sending_and_noting_repeats():
    """A process dies after the receiver took a token: it comes again, and is the same one."""
    world, receiver, desk = await scene()
    await world.active()

    def die(_: Any) -> Receipt:
        raise KeyboardInterrupt

    first = receiver.taken
    receiver.judge = lambda _: None
    real = receiver.push

    async def push_and_die(stream: Any, token: str) -> Receipt:
        await real(stream, token)
        return die(token)

    receiver.push = push_and_die  # type: ignore[method-assign]  # this one's receiver alone dies
    with pytest.raises(KeyboardInterrupt):
        await push(desk)
    after = make_desk(world, Receiver())
    assert (await push(after)).sent == 0, "the dead process's claim is not over"
    world.clock.advance(timedelta(minutes=2))
    again = Receiver()
    await push(make_desk(world, again))
    assert again.taken["siem"][0] == first["siem"][0]
    assert kinds(again.told()) == LIFE


async def test_two_processes_do_not_send_the_same():
    """While one works on a stream another one leaves it alone."""
    world, receiver, desk = await scene()
    await world.active()
    other = Receiver()
    seen: list[Pass] = []
    real = receiver.push

    async def push_beside(stream: Any, token: str) -> Receipt:
        seen.append(await push(make_desk(world, other)))
        return await real(stream, token)

    receiver.push = push_beside  # type: ignore[method-assign]  # what happens meanwhile
    assert (await push(desk)).sent == 2
    assert [one.sent for one in seen] == [0, 0]
    assert not other.taken


async def test_a_server_that_stops_lets_go():
    """It finishes the batch that is under way, and the next process need not wait for its claim."""
    world, receiver, desk = await scene()
    for _ in range(6):
        await end(world, (await world.active()).id)
    desk.stop.set()
    assert (await push(desk)).sent == BATCH
    assert not (await outbox(world)).claim
    assert (await push(make_desk(world, receiver))).sent == 4
    assert not (await outbox(world)).claim
    assert len({one["jti"] for one in receiver.told()}) == 24


async def test_a_long_backlog_waits_in_the_log():
    """The row holds a window of it; what has no room there is not looked at yet."""
    world, receiver, desk = await scene()
    await push(desk)
    row = await outbox(world)
    never = world.clock.now() + timedelta(days=1)
    many = tuple(Pending(n, f"{n}.siem", never, never, 1) for n in range(WINDOW))

    async def waiting(*pending: Pending) -> None:
        new = msgspec.structs.replace(await outbox(world), waiting=pending)
        await world.services.store.transact(lambda tx: tx.put(new), urgent=True)

    await waiting(*many)
    await world.active()
    assert (await push(desk)).sent == 0
    assert row.position < (await outbox(world)).position
    await waiting(*many[1:])
    assert (await push(desk)).sent == 2, "what is taken makes room"
    await world.active("bob")
    await push(desk)
    assert len((await outbox(world)).waiting) == WINDOW - 1
    assert kinds(receiver.told()) == [*LIFE, *LIFE]


async def test_a_row_that_names_another_token_is_not_believed():
    """What is sent and what is confirmed are one thing, or a pass would never end."""
    world, receiver, desk = await scene()
    await world.active()
    await desk.fill((await desk.streams())["siem"])
    row = await outbox(world)
    other = msgspec.structs.replace(row.waiting[0], jti="other.siem")
    forged = msgspec.structs.replace(row, waiting=(other,))
    await world.services.store.transact(lambda tx: tx.put(forged), urgent=True)
    with pytest.raises(TamperError, match="another token"):
        await push(desk)
    assert not receiver.taken
    world.clock.advance(timedelta(minutes=3))
    with pytest.raises(TamperError):
        await push(desk)
    assert (await outbox(world)).failures == 2
    assert "nothing is told: the outbox" in only(await look(world), Code.SIGNALS_BEHIND).text
    await world.services.store.transact(lambda tx: tx.remove(Outbox, "siem"), urgent=True)
    assert (await push(desk)).sent == 2, "without the row it begins where it was published"


async def test_nothing_is_told_that_the_log_did_not_sign():
    """An entry that was changed, in the log or in the outbox, gives no token and is loud."""
    world, receiver, desk = await scene()
    made = await world.active()
    await desk.fill((await desk.streams())["siem"])
    row = await outbox(world)
    forged = msgspec.structs.replace(
        row, waiting=(msgspec.structs.replace(row.waiting[0], index=0),)
    )
    await world.services.store.transact(lambda tx: tx.put(forged), urgent=True)
    with pytest.raises(TamperError, match="is no signal"):
        await push(desk)
    world.clock.advance(timedelta(minutes=1))
    state = world.store.state
    place = next(n for n, leaf in enumerate(state.leaves) if b'"activation:activated"' in leaf)
    state.leaves[place] = state.leaves[place].replace(made.id.encode(), b"a" * 12)
    await world.services.store.transact(lambda tx: tx.remove(Outbox, "siem"), urgent=True)
    with pytest.raises(TamperError, match="not those that were signed"):
        await push(desk)
    assert not receiver.taken


async def test_an_outbox_that_was_put_back_repeats():
    """An older row, as after a restored backup, sends the same tokens again and skips none."""
    world, receiver, desk = await scene()
    await push(desk)
    old = await outbox(world)
    await end(world, (await world.active()).id)
    await push(desk)
    new = await outbox(world)
    back = msgspec.structs.replace(old, version=new.version)
    await world.services.store.transact(lambda tx: tx.put(back), urgent=True)
    await push(desk)
    told = receiver.told()
    assert told[:4] == told[4:]
    assert len(told) == 8


async def test_the_doctor_says_who_is_behind():
    """A receiver that does not come back is told, with what waits and what was wrong."""
    world, receiver, desk = await scene(pushed(), polled())
    receiver.away.add("siem")
    await world.active()
    for name in ("siem", "idp"):
        await push(desk, name)
    assert Code.SIGNALS_BEHIND not in codes(await look(world))
    world.clock.advance(timedelta(minutes=12))
    await push(desk)
    told = [one for one in (await look(world)).symptoms if one.code is Code.SIGNALS_BEHIND]
    assert [one.about for one in told] == ["idp", "siem"]
    assert "has fetched nothing ever; 2 signals wait, the oldest for 12 min" in told[0].text
    assert "no answer from the receiver siem (ConnectError); 2 signals" in told[1].text
    receiver.away.clear()
    world.clock.advance(timedelta(minutes=2))
    await push(desk)
    await fetch(desk, confirmed=tuple(await fetch(desk)))
    assert Code.SIGNALS_BEHIND not in codes(await look(world))


async def test_a_receiver_is_no_reason_to_wait():
    """A kill is over while its receiver is away: signals are read from the log, later."""
    world, receiver, desk = await scene()
    made = await world.active()
    receiver.away.add("siem")
    await push(desk)
    await kill.kill(world.services, world.caller("gina"), Scope.EVERYTHING, "")
    await sweep(world.services)
    assert not (await world.leases(made.id))[0].box
    assert not world.target.accounts


def test_the_key_id_is_the_thumbprint():
    """RFC 8037, A.3: the published key and its thumbprint."""
    x = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert key_id(x) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
