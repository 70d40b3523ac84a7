"""Through a gateway: a session opens once, each action is decided and on record, and it ends."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import pytest

from callpoint.domain import canonical
from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Portion, Rate, Used
from callpoint.domain.eligibility import Purpose
from callpoint.domain.errors import ConflictError, DeniedError, RequestError, StoreUnavailableError
from callpoint.domain.kill import Scope
from callpoint.domain.operation import Operation
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import Spending
from callpoint.lifecycle import give_back, kill, sweep
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.resume import resume
from callpoint.policy.replay.recorded import recorded_in, told_in
from callpoint.ports.authority import Arrival, Deed, Opened, Outcome, Standing
from tests.fakes.behind import ELSEWHERE, GATEWAY, SOURCE, behind, connect
from tests.fakes.invariants import check_always, history
from tests.fakes.world import World, build_decider, eligibility, make_world

E = TypeVar("E", bound=ev.Event)

READ = Deed((Operation("sql:select", "public.items"),), "SELECT 1", "ab" * 32)
DELETE = Deed((Operation("sql:delete", "public.items"),), "DELETE FROM items", "cd" * 32)
DROP = Deed((Operation("ddl:drop-table", "public.items"),))


async def opened(
    purpose: Purpose = Purpose.RECOVER, **changes: object
) -> tuple[World, GatewayAuthority, Opened]:
    world = await make_world(eligibility(**changes), adapt=behind)
    await world.incident()
    key = (await world.active(purpose=purpose)).id
    authority = GatewayAuthority(world.services, GATEWAY)
    return world, authority, await arrive(world, authority, key)


async def arrive(world: World, authority: GatewayAuthority, key: str) -> Opened:
    made = await connect(world, key)
    return await authority.open_session(Arrival(made.connection.id, SOURCE, GATEWAY, "psql"))


def told(world: World, kind: type[E]) -> list[E]:
    return [i.event for i in history(world.store.state) if isinstance(i.event, kind)]


async def row(world: World, session: str) -> Session:
    return await world.services.store.read(lambda view: view.get(Session, session))


async def test_a_session_opens_with_the_leases_credential():
    """On record as the person's, with policy's answer, and it counts as a use."""
    world, _, made = await opened()
    assert made.credential.endpoint
    assert "hidden" in repr(made)
    (event,) = told(world, ev.SessionOpened)
    assert (event.actor, event.session, event.gateway) == ("alice", made.session, GATEWAY)
    assert event.decision.allowed
    assert event.session_sha256 == (await row(world, made.session)).digest()
    assert (await world.get(made.activation)).uses == 2
    check_always(world.store.state, {})


async def test_a_secret_opens_one_session_from_one_address():
    """A second use and another address are refused, and both are on record."""
    world, authority, made = await opened()
    second = await connect(world, made.activation)
    with pytest.raises(DeniedError, match="another address"):
        await authority.open_session(Arrival(second.connection.id, ELSEWHERE, GATEWAY))
    await authority.open_session(Arrival(second.connection.id, SOURCE, GATEWAY))
    with pytest.raises(DeniedError, match="used before"):
        await authority.open_session(Arrival(second.connection.id, SOURCE, GATEWAY))
    assert [e.action for e in told(world, ev.RequestRefused)] == ["credential:reveal"] * 2


async def test_what_is_allowed_is_on_record_before_the_answer():
    """The event has the operations, the text's hash and policy's answer; the text is erasable."""
    world, authority, made = await opened()
    verdict = await authority.decide(made.session, READ)
    assert (verdict.allowed, verdict.number, verdict.portion) == (True, 1, Portion())
    (event,) = told(world, ev.ActionDecided)
    assert (event.allowed, event.operations, event.text_sha256) == (
        True,
        READ.operations,
        "ab" * 32,
    )
    assert event.decisions[0].policies == ("requester-may-read",)
    assert event.asked is not None
    assert b"SELECT 1" not in b"".join(world.store.state.leaves)
    kept = [v for held in world.store.state.personal.values() for _, v in held.values()]
    assert "SELECT 1" in kept


@pytest.mark.parametrize(
    "purpose, deed, word",
    [
        (Purpose.INVESTIGATE, DELETE, "changes something"),
        (Purpose.CONTAIN, DROP, "only the purpose recover"),
        (Purpose.RECOVER, Deed((Operation("sql:sorcery", "x"),)), "no policy knows the verb"),
        (Purpose.RECOVER, Deed((Operation("sql:select", "a\nb"),)), "printable"),
    ],
)
async def test_a_no_is_an_answer_with_a_reason_on_record(purpose, deed, word):
    """A denied action is told why, and the session stays usable."""
    world, authority, made = await opened(purpose)
    verdict = await authority.decide(made.session, deed)
    assert not verdict.allowed
    assert word in verdict.reasons[0]
    assert [e.allowed for e in told(world, ev.ActionDecided)] == [False]
    assert (await authority.decide(made.session, READ)).allowed


async def test_what_a_gateway_refuses_by_itself_is_on_record():
    """A text that the classification refused is an entry with its reason; policy is not asked."""
    world, authority, made = await opened()
    deed = Deed((), "SET ROLE ?", "ef" * 32, refused="SET ROLE is never allowed\n")
    verdict = await authority.decide(made.session, deed)
    assert (verdict.allowed, verdict.reasons) == (False, ("SET ROLE is never allowed\\n",))
    (event,) = told(world, ev.ActionDecided)
    assert (event.allowed, event.operations, event.decisions) == (False, (), ())
    assert (event.reason, event.text_sha256) == ("SET ROLE is never allowed\\n", "ef" * 32)
    with pytest.raises(RequestError):
        await authority.decide(made.session, Deed(()))
    assert (await authority.decide(made.session, READ)).allowed


async def test_all_operations_must_be_allowed():
    """One that is refused refuses the whole."""
    _, authority, made = await opened(Purpose.CONTAIN)
    both = Deed((*READ.operations, *DROP.operations))
    assert not (await authority.decide(made.session, both)).allowed


async def test_the_facts_are_written_once_in_a_second():
    """Many actions share one question; each next second has its own."""
    world, authority, made = await opened()
    for _ in range(3):
        await authority.decide(made.session, READ)
    world.clock.advance(timedelta(seconds=1))
    await authority.decide(made.session, READ)
    events = told(world, ev.ActionDecided)
    assert [e.asked is not None for e in events] == [True, False, False, True]
    assert [e.number for e in events] == [1, 2, 3, 4]
    assert events[0].basis == events[2].basis != events[3].basis


@pytest.mark.parametrize("how", ["return", "kill", "expire"])
async def test_nothing_is_allowed_once_the_activation_is_over(how):
    """Whatever ended it: the session is over in the same moment, and the next action fails."""
    world, authority, made = await opened()
    assert (await authority.decide(made.session, READ)).allowed
    match how:
        case "return":
            await give_back.give_back(world.services, world.caller("alice"), made.activation)
        case "kill":
            await kill.kill(world.services, world.caller("bob"), Scope.EVERYTHING)
        case _:
            world.clock.advance(timedelta(minutes=31))
    with pytest.raises(ConflictError):
        await authority.decide(made.session, READ)
    assert await authority.standing([made.session, "x"]) == {
        made.session: Standing.OVER,
        "x": Standing.OVER,
    }
    if how != "expire":
        assert len(told(world, ev.SessionEnded)) == 1
        assert (await row(world, made.session)).state is SessionState.OVER
    # What was under way is told all the same, and then the stream closes.
    assert await authority.report(made.session, Outcome(1, Used(3, 20), "cut")) is (
        Standing.OPEN if how == "expire" else Standing.OVER
    )
    await authority.end_session(made.session, "gone")
    await authority.end_session(made.session, "gone")
    assert (await row(world, made.session)).state is SessionState.CLOSED
    assert len(told(world, ev.SessionClosed)) == 1
    await sweep.sweep(world.services)
    check_always(world.store.state, {})


async def test_an_allowance_stops_every_session_and_only_another_person_resumes():
    """The one that meets it and its neighbour; a machine, the requester and its agent cannot."""
    world, authority, made = await opened(allowance=Allowance(actions=2))
    other = await arrive(world, authority, made.activation)
    assert (await authority.decide(made.session, READ)).allowed
    assert (await authority.decide(other.session, READ)).allowed
    third = await authority.decide(made.session, READ)
    assert (third.allowed, third.is_paused) == (False, True)
    assert "2 actions" in third.reasons[0]
    assert "callpoint session resume" in third.way_out
    assert (await authority.decide(other.session, READ)).is_paused
    assert await authority.standing([other.session]) == {other.session: Standing.PAUSED}
    (event,) = told(world, ev.SessionPaused)
    assert set(event.sessions) == {made.session, other.session}
    assert [n.kind for n in world.notices.said][-1] == "session:paused"
    for who in ("alice", "fixer", "deployer"):
        with pytest.raises(DeniedError):
            await resume(world.services, world.caller(who), made.activation, "let me")
    made_up = await resume(world.services, world.caller("carol"), made.activation, "I looked")
    assert made_up.grants == 1
    assert [(await authority.decide(made.session, READ)).allowed for _ in range(3)] == [
        True,
        True,
        False,
    ]
    await resume(world.services, world.caller("dave"), made.activation, "once more")
    with pytest.raises(ConflictError, match="no session"):
        await resume(world.services, world.caller("carol"), made.activation, "again")
    check_always(world.store.state, {})


async def test_rows_are_reserved_drawn_and_given_back():
    """What an action holds another cannot spend; what it did not use comes back."""
    world, authority, made = await opened(allowance=Allowance(rows=20))
    first = await authority.decide(made.session, READ)
    second = await authority.decide(made.session, READ)
    assert (first.portion.rows, second.portion.rows) == (15, 5)
    assert not (await authority.decide(made.session, READ)).allowed
    await authority.report(made.session, Outcome(1, Used(rows=10)))
    await resume(world.services, world.caller("carol"), made.activation, "go on")
    assert await authority.draw(made.session, 2, Used(rows=5)) == Portion(rows=15)
    await authority.report(made.session, Outcome(2, Used(rows=7)))
    kept = await world.services.store.read(lambda v: v.get(Spending, made.activation))
    assert (kept.rows, kept.actions, kept.grants) == (17, 2, 1)
    with pytest.raises(RequestError):
        await authority.report(made.session, Outcome(2, Used(rows=1)))


async def test_one_action_leaves_something_for_others():
    """Of a small allowance as well: several may run at once, or one after another's late report."""
    _, authority, made = await opened(allowance=Allowance(rows=1000))
    verdicts = [await authority.decide(made.session, READ) for _ in range(5)]
    assert [verdict.portion.rows for verdict in verdicts] == [250, 187, 140, 105, 79]


@pytest.mark.parametrize("call", ["draw", "report"])
async def test_what_an_action_holds_is_given_back_once(monkeypatch, call):
    """Told twice at once, the second is refused; a lost answer gives nothing back twice either."""
    world, authority, made = await opened(allowance=Allowance(rows=4000))
    session, transact = made.session, world.store.transact
    first, second = [await authority.decide(session, READ) for _ in "ab"]

    async def late(work, *, urgent=False):
        await asyncio.sleep(0)
        return await transact(work, urgent=urgent)

    async def unanswered(work, *, urgent=False):
        await transact(work, urgent=urgent)
        raise StoreUnavailableError("no answer", way_out="try again")

    def again(number: int) -> Coroutine[Any, Any, object]:
        used = Used(rows=1)
        if call == "draw":
            return authority.draw(session, number, used)
        return authority.report(session, Outcome(number, used))

    async def spent_rows() -> int:
        found = await world.services.store.read(lambda v: v.get(Spending, made.activation))
        return found.rows

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "transact", late)
        answers = await asyncio.gather(
            again(first.number), again(first.number), return_exceptions=True
        )
        assert [isinstance(one, RequestError) for one in answers] == [False, True]
        patch.setattr(world.store, "transact", unanswered)
        with pytest.raises(StoreUnavailableError):
            await again(second.number)
    before = await spent_rows()
    await again(second.number)
    assert await spent_rows() >= before + (call == "draw")


async def test_a_draw_beyond_the_allowance_is_empty_and_stops_the_session():
    """The action is to be ended, and nothing more begins."""
    world, authority, made = await opened(allowance=Allowance(rows=10))
    verdict = await authority.decide(made.session, READ)
    assert verdict.portion == Portion(rows=10)
    assert await authority.draw(made.session, verdict.number, Used(rows=10)) == Portion(rows=0)
    assert (await authority.decide(made.session, READ)).is_paused
    assert len(told(world, ev.SessionPaused)) == 1


@pytest.mark.parametrize(
    "allowance, deeds",
    [
        (Allowance(destructive=1), [DELETE, DELETE]),
        (Allowance(objects=1), [READ, Deed((Operation("sql:select", "public.other"),))]),
        (Allowance(rate=Rate(1, timedelta(minutes=1))), [READ, READ]),
    ],
)
async def test_each_allowance_is_spent(allowance, deeds):
    """Destructive actions, distinct objects and the rate: the first passes, the second stops it."""
    _, authority, made = await opened(allowance=allowance)
    assert [(await authority.decide(made.session, one)).allowed for one in deeds] == [True, False]


async def test_another_process_takes_over_and_numbers_on():
    """Numbers are never given twice; the first process finds out that it was replaced."""
    world, first, made = await opened()
    second = GatewayAuthority(world.services, GATEWAY)
    numbers = [
        (await authority.decide(made.session, READ)).number
        for authority in (first, second, second, first, second)
    ]
    assert numbers == [1, 2, 3, 4, 5]
    assert await second.report(made.session, Outcome(1, Used())) is Standing.OPEN


async def test_a_session_of_another_gateway_is_none():
    """A gateway neither decides nor ends nor sees what another one has."""
    world, authority, made = await opened()
    other = GatewayAuthority(world.services, "back")
    with pytest.raises(DeniedError, match="not one of the gateway back's"):
        await other.decide(made.session, READ)
    await other.end_session(made.session, "x")
    assert await other.standing([made.session]) == {made.session: Standing.OVER}
    assert await authority.standing([made.session]) == {made.session: Standing.OPEN}


async def test_a_row_written_by_hand_opens_nothing():
    """A session that the log does not know is refused by whoever reads it for the first time."""
    world, authority, made = await opened()
    held = await row(world, made.session)
    forged = msgspec.structs.replace(held, id="forged", version=0)
    await world.services.store.transact(lambda tx: tx.put(forged))
    with pytest.raises(Exception, match="not one that was opened"):
        await authority.decide("forged", READ)


async def test_a_silent_gateways_sessions_end():
    """Nobody asked about it for a while: it is over, and later its stream is closed."""
    world, _, made = await opened()
    world.clock.advance(timedelta(minutes=2))
    await sweep.sweep(world.services)
    assert [e.reason for e in told(world, ev.SessionEnded)] == ["gateway_silent"]
    world.clock.advance(timedelta(minutes=2))
    await sweep.sweep(world.services)
    assert (await row(world, made.session)).state is SessionState.CLOSED


async def test_who_acts_is_not_idle():
    """The idle time runs from the last action, not from the fetch of the secret."""
    world, authority, made = await opened(idle=timedelta(minutes=5))
    for _ in range(4):
        world.clock.advance(timedelta(minutes=3))
        await authority.standing([made.session])
        assert (await authority.decide(made.session, READ)).allowed
        await sweep.sweep(world.services)
    for _ in range(6):
        world.clock.advance(timedelta(minutes=1))
        await authority.standing([made.session])
    await sweep.sweep(world.services)
    assert (await world.get(made.activation)).end_reason == "idle"


async def test_what_was_decided_in_sessions_is_replayed():
    """Under the policy of the time each operation's question, put together, has its answer."""
    world, authority, made = await opened(Purpose.CONTAIN, allowance=Allowance(actions=2))
    for deed in (READ, DROP, Deed((*READ.operations, *DELETE.operations)), READ):
        await authority.decide(made.session, deed)
    await resume(world.services, world.caller("carol"), made.activation, "I looked")
    facts = {}
    decider = build_decider(world.bundle)
    kinds: Counter[str] = Counter()
    for item in history(world.store.state):
        told_here = told_in(item.event)
        if told_here is not None:
            facts[canonical.digest(told_here)] = told_here
        held = recorded_in(item.event, facts)
        assert not held.unasked
        for one in held.decisions:
            assert decider.evaluate(one.question) == one.decision
            kinds[ev.name(item.event)] += 1
    assert kinds["action:decided"] == 5
    assert kinds["session:opened"] == kinds["session:resumed"] == 1
    alone = [e for e in told(world, ev.ActionDecided) if e.asked is None and e.decisions]
    assert all(recorded_in(event).unasked == len(event.decisions) for event in alone)
