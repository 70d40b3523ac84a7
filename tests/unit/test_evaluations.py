"""Answers to enforcement points: a yes is what the step would do now, and on record."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar, cast

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.decision import Action, Decision, DecisionRequest
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import (
    DeniedError,
    LogUnavailableError,
    StoreUnavailableError,
    TamperError,
    UnavailableError,
)
from callpoint.domain.evaluation import (
    Entity,
    Evaluation,
    Semantic,
    Verb,
)
from callpoint.domain.governance import Bundle
from callpoint.domain.incident import Incident
from callpoint.lifecycle import give_back, incidents, publish
from callpoint.lifecycle.evaluations import TRIES, Evaluations
from callpoint.ports.stores import RecordName, Store, Transaction
from tests.fakes.asking import ALICE, DAVE, ERIN, NOBODY, ROLE, about, ask, made
from tests.fakes.invariants import told
from tests.fakes.world import INSTALLATION, build_decider, make_world, signed
from tests.unit.test_one_gate import broken

T = TypeVar("T")

DAY = timedelta(days=1)


async def test_the_way_to_an_approval_is_answered_as_it_would_go():
    """Incident, request and votes: from no to yes and back where the step does."""
    world = await make_world()
    request = about("activation:request", ROLE, eligibility="orders-repair", incident="INC-7")
    assert not (await ask(world, request)).allowed
    said = Declaration("inc-7", Severity.SEV1, ("orders-db",), "down")
    await incidents.declare(world.services, world.caller("frank"), said)
    confirm = about("incident:confirm", Entity("incident", "inc-7"), Entity("human", "gina"))
    assert (await ask(world, confirm)).allowed
    frank = msgspec.structs.replace(confirm, subject=Entity("human", "frank"))
    assert "another person must confirm" in (await ask(world, frank)).reasons[0]
    assert not (await ask(world, request)).allowed
    await incidents.confirm(world.services, world.caller("gina"), "inc-7")
    assert not (await ask(world, confirm)).allowed
    assert (await ask(world, request)).allowed
    found = await world.ask()
    it, carol, dave = Entity("activation", found.id), Entity("human", "carol"), DAVE
    vote = "activation:approve"
    assert (await ask(world, about(vote, it, carol))).allowed
    for who in (ALICE, Entity("human", "frank"), ERIN):
        assert not (await ask(world, about(vote, it, who))).allowed
    await world.vote("carol", found.id)
    assert "has voted already" in (await ask(world, about(vote, it, carol))).reasons[0]
    await world.vote("dave", found.id)
    assert not (await ask(world, about(vote, it, dave))).allowed


async def test_the_way_to_a_review_is_answered_as_it_would_go():
    """Issue, reveal and review: from no to yes and back where the step does."""
    world = await make_world()
    await world.incident()
    issue, reveal, judge = "activation:issue", "credential:reveal", "review:record"
    found = await world.ask()
    it = Entity("activation", found.id)
    assert not (await ask(world, about(issue, it))).allowed
    await world.vote("carol", found.id)
    await world.vote("dave", found.id)
    assert (await ask(world, about(issue, it))).allowed
    assert not (await ask(world, about(issue, it, DAVE))).allowed
    assert not (await ask(world, about(reveal, it))).allowed
    active = await world.active()
    its, on_role = Entity("activation", active.id), about(reveal, ROLE, activation=active.id)
    assert (await ask(world, about(reveal, its))).allowed
    assert (await ask(world, on_role)).allowed
    assert not (await ask(world, about(reveal, its, DAVE))).allowed
    assert not (await ask(world, about(judge, its, ERIN))).allowed
    await give_back.give_back(world.services, world.caller("alice"), active.id)
    assert not (await ask(world, on_role)).allowed
    assert (await ask(world, about(judge, its, ERIN))).allowed
    assert not (await ask(world, about(judge, its, ALICE))).allowed


async def test_what_time_does_is_in_the_answer():
    """An incident resolved, an approval lapsed, a time that is over: no from that moment on."""
    world = await make_world()
    await world.incident()
    active, approved = await world.active(), await world.approved()
    reveal = about("credential:reveal", Entity("activation", active.id))
    issue = about("activation:issue", Entity("activation", approved.id))
    assert (await ask(world, reveal)).allowed
    assert (await ask(world, issue)).allowed
    world.clock.advance(timedelta(minutes=11))
    assert not (await ask(world, issue)).allowed
    assert (await ask(world, reveal)).allowed
    # Nobody swept: the row still says active.
    world.clock.advance(timedelta(minutes=19))
    assert (await world.get(active.id)).state is ActivationState.ACTIVE
    assert "expired" in (await ask(world, reveal)).reasons[0]


async def test_claims_have_no_effect():
    """Properties and unknown context change neither the answer nor the record."""
    world = await make_world()
    lied = Evaluation(
        Entity("human", "alice", {"groups": ["security"], "kind": "agent"}),
        Verb("log:read", {"forced": True}),
        Entity("installation", INSTALLATION, {"governors": ["alice"], "secret": "s3cret"}),
        {"incident_state": "open", "approved": True},
    )
    assert not (await ask(world, lied)).allowed
    plain = about("log:read", Entity("installation", INSTALLATION), Entity("human", "frank"))
    assert (await ask(world, plain)).allowed
    assert not any(b"s3cret" in leaf or b"forced" in leaf for leaf in world.store.state.leaves)


async def test_every_answer_is_on_record_with_what_policy_was_asked():
    """One entry for each question, under the id that the answer carries; a no has its reason."""
    world = await make_world()
    await world.incident()
    active = await world.active()
    answer = await ask(world, about("credential:reveal", Entity("activation", active.id)))
    (event,) = made(world)
    assert (event.actor, event.evaluation, event.allowed) == ("erin", answer.id, True)
    assert event.question is not None
    assert event.question.actor.principal == "alice"
    assert event.decision is not None
    assert event.decision.policies == answer.policies
    assert event.decision.policy_digest == answer.policy_digest
    no = await ask(world, about("credential:reveal", Entity("activation", "nothing\x00here")))
    last = made(world)[-1]
    assert (last.evaluation, last.allowed, last.question) == (no.id, False, None)
    assert last.reason == no.reasons[0]
    assert last.asked.resource == "nothing\\x00here"


STRANGE = [
    about("sql:select", ROLE),
    about("activation:issue", ROLE, activation=5),
    about("activation:issue", ROLE),
    about("activation:request", ROLE),
    about("activation:request", ROLE, eligibility="no-such"),
    about("activation:request", ROLE, eligibility="orders-repair", incident="in\x00c"),
    about("activation:request", Entity("target_role", "orders-db"), eligibility="orders-repair"),
    about("activation:request", Entity("target_role", "orders-db:no"), eligibility="orders-repair"),
    about(
        "activation:request", Entity("target_role", "orders-db:read"), eligibility="orders-repair"
    ),
    about("incident:confirm", Entity("incident", "x" * 500)),
    about("log:read", Entity("installation", "other1")),
    about("log:read", Entity("bucket", INSTALLATION)),
    about("log:read", Entity("installation", INSTALLATION), NOBODY),
    about("log:read", Entity("installation", INSTALLATION), Entity("agent", "frank")),
    about("log:read", Entity("installation", INSTALLATION), Entity("user", "frank")),
]


@pytest.mark.parametrize("asked", STRANGE)
async def test_what_is_not_known_is_denied(asked: Evaluation):
    """A name that nothing has, or of the wrong kind, is a no with a reason; never an error."""
    world = await make_world()
    answer = await ask(world, asked)
    assert not answer.allowed
    assert answer.reasons
    assert not answer.policies


async def test_only_who_may_read_the_log_asks_about_others():
    """Everybody asks about itself; about somebody else policy decides, and its no is on record."""
    world = await make_world()
    await world.incident()
    found = await world.ask()
    it = Entity("activation", found.id)
    assert (await ask(world, about("activation:view", it), "alice")).allowed
    carol = about("activation:approve", it, Entity("human", "carol"))
    assert (await ask(world, carol, "carol")).allowed
    for asker in ("alice", "fixer"):
        with pytest.raises(DeniedError, match="decision:evaluate is denied"):
            await ask(world, carol, asker)
    refused = told(world.store.state, ev.AccessRefused)
    assert {event.question.action for event in refused} == {Action.DECISION_EVALUATE}
    assert (await ask(world, carol, "hugo")).allowed


class Counting:
    """The real PDP, which counts how often it is asked who may ask."""

    def __init__(self, bundle: Bundle) -> None:
        self._inner = build_decider(bundle)
        self.asked = 0

    def evaluate(self, request: DecisionRequest) -> Decision:
        self.asked += request.action is Action.DECISION_EVALUATE
        return self._inner.evaluate(request)


async def test_who_may_ask_about_others_loses_it_at_once():
    """Policy is asked once for a second and its rules; other rules count within that second."""
    made: list[Counting] = []

    def build(bundle: Bundle) -> Counting:
        made.append(Counting(bundle))
        return made[-1]

    world = (await make_world()).with_decider(build)
    await world.incident()
    view = about("activation:view", Entity("activation", (await world.ask()).id))
    evaluations, erin = Evaluations(world.services), world.caller("erin")

    async def asked() -> int:
        await evaluations.evaluate(erin, [view], Semantic.EXECUTE_ALL)
        return made[0].asked

    assert [await asked() for _ in range(3)] == [1, 1, 1]
    world.clock.advance(timedelta(seconds=1))
    assert await asked() == 2
    old = world.bundle
    groups = {**old.configuration.groups}
    groups["security"] = msgspec.structs.replace(groups["security"], members=("hugo",))
    rules = msgspec.structs.replace(old.configuration, groups=groups)
    new = msgspec.structs.replace(old, number=2, previous=old.digest(), configuration=rules)
    await publish.publish(
        world.services, world.caller("gina"), new, signed(new, "gina", "hugo"), lambda _: None
    )
    for _ in range(2):
        with pytest.raises(DeniedError, match="decision:evaluate is denied"):
            await asked()
    assert made[1].asked > 2


async def test_a_machine_learns_nothing_of_what_it_may_not_see():
    """About another's activation it is told the same as about one that does not exist."""
    world = await make_world()
    await world.incident()
    found = await world.ask()
    own = Entity("workload", "deployer")

    async def told_of(name: str) -> tuple[str, ...]:
        asked = about("activation:issue", Entity("activation", name), own)
        return (await ask(world, asked, "deployer")).reasons

    absent = "a" * 12
    assert [text.replace(found.id, absent) for text in await told_of(found.id)] == list(
        await told_of(absent)
    )


async def test_a_batch_ends_where_its_semantic_says():
    """All; up to the first no; up to the first yes: what is not answered is not on record."""
    world = await make_world()
    no = about("log:read", Entity("installation", INSTALLATION))
    yes = msgspec.structs.replace(no, subject=Entity("human", "erin"))

    async def answered(semantic: Semantic) -> list[bool]:
        before = len(made(world))
        batch = [yes, no, yes, no]
        evaluations = Evaluations(world.services)
        answers = await evaluations.evaluate(world.caller("erin"), batch, semantic)
        assert [event.evaluation for event in made(world)[before:]] == [a.id for a in answers]
        return [answer.allowed for answer in answers]

    assert await answered(Semantic.EXECUTE_ALL) == [True, False, True, False]
    assert await answered(Semantic.DENY_ON_FIRST_DENY) == [True, False]
    assert await answered(Semantic.PERMIT_ON_FIRST_PERMIT) == [True]


async def test_a_broken_policy_engine_denies():
    """What policy cannot answer is a no, which says so."""
    world = await make_world()
    await world.incident()
    found = await world.ask()
    barred = world.with_decider(broken)
    own = about("activation:view", Entity("activation", found.id), Entity("human", "erin"))
    with pytest.raises(DeniedError):
        await ask(barred, msgspec.structs.replace(own, subject=ALICE))
    assert not (await ask(barred, own)).allowed


async def test_no_answer_without_a_record():
    """While the log or the store is down there is no answer, not even a no."""
    world = await make_world()
    asked = about("log:read", Entity("installation", INSTALLATION))
    world.store.log_down = True
    with pytest.raises(LogUnavailableError):
        await ask(world, asked, "alice")
    world.store.log_down = False
    world.store.dead = True
    with pytest.raises(StoreUnavailableError):
        await ask(world, asked, "alice")


class Meddling:
    """A store where an incident is touched before each of the first transactions."""

    def __init__(self, store: Store, moves: int) -> None:
        self._store, self._left = store, moves
        self.read, self.listen = store.read, store.listen

    async def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        urgent: bool = False,
        compares: Sequence[RecordName] = (),
    ) -> T:
        if self._left:
            self._left -= 1
            await self._store.transact(lambda tx: tx.put(tx.get(Incident, "inc-7")))
        return await self._store.transact(work, urgent=urgent, compares=compares)


@pytest.mark.parametrize("moves", range(TRIES + 1))
async def test_what_moved_meanwhile_is_decided_anew(moves: int):
    """A few times; then there is no answer. One entry is written, whatever the tries."""
    world = await make_world()
    await world.incident()
    active = await world.active()
    store = cast("Store", Meddling(world.services.store, moves))
    evaluations = Evaluations(replace(world.services, store=store))
    asked = about("credential:reveal", Entity("activation", active.id))
    if moves < TRIES:
        await evaluations.evaluate(world.caller("alice"), [asked], Semantic.EXECUTE_ALL)
        assert len(made(world)) == 1
    else:
        with pytest.raises(UnavailableError, match="moves faster"):
            await evaluations.evaluate(world.caller("alice"), [asked], Semantic.EXECUTE_ALL)
        assert not made(world)


@pytest.mark.parametrize("action", ["activation:issue", "credential:reveal"])
async def test_a_changed_row_is_no_answer(action: str):
    """Who writes votes into the database gets no yes: it is found, on record, and told."""
    world = await make_world()
    await world.incident()
    made_up = await (world.approved if action == "activation:issue" else world.active)()
    key = (Activation, made_up.id)
    row, first = world.store.state.records[key]
    assert isinstance(row, Activation)
    forged = msgspec.structs.replace(row, request=msgspec.structs.replace(row.request, ttl=DAY))
    world.store.state.records[key] = (forged, first)
    with pytest.raises(TamperError):
        await ask(world, about(action, Entity("activation", made_up.id)))
    assert not made(world)
    assert told(world.store.state, ev.RequestRefused)[-1].action == "decision:evaluate"
    assert world.notices.said[-1].kind == "tamper:found"
