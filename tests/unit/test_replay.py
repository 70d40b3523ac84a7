"""Decisions of whole stories decided again: by the policy of their time, and by a proposed one."""

from collections import Counter
from datetime import timedelta

import pytest
from msgspec.structs import replace

from callpoint.audit.entry import parse_time
from callpoint.config.default_policies import default_pack
from callpoint.domain import event as ev
from callpoint.domain.asked import asked_of
from callpoint.domain.decision import Action, Decision, DecisionRequest, Effect
from callpoint.domain.eligibility import Lane, Severity
from callpoint.domain.errors import DeniedError, NotFoundError, TamperError
from callpoint.domain.event_form import name
from callpoint.domain.governance import Bundle
from callpoint.lifecycle.publish import publish
from callpoint.policy.pap import decider
from callpoint.policy.replay.anew import asked_under
from callpoint.policy.replay.recorded import KINDS, recorded_in
from callpoint.policy.replay.replaying import (
    GRACE,
    LISTED,
    NOBODY,
    UNASKED,
    WITHHELD,
    Outcome,
    Replay,
    Rules,
)
from tests.fakes.behind import behind, connect
from tests.fakes.replayed import STORY, Always, events, replayed, tell
from tests.fakes.world import World, build_decider, eligibility, make_world, signed

THROUGH_A_GATEWAY = {"connection:offered", "session:opened", "session:resumed", "action:decided"}
"""Told by the tests of the authority; the story here fetches its credential."""

FREEZE = """
@id("frozen")
@reason("{target} is frozen; ask a commander")
forbid (principal, action == Action::"activation:request", resource in Target::"orders-db")
unless { principal in Group::"commanders" };
"""


async def told() -> World:
    world = await make_world()
    await tell(world)
    return world


def proposal(world: World, *, more: str = "", **changes: object) -> Rules:
    """The world's configuration with changes, and the default pack with another policy."""
    configuration = replace(world.bundle.configuration, **changes)
    policies = {**default_pack(), **({"more.cedar": more} if more else {})}
    return Rules(configuration, decider(policies, configuration))


async def test_the_same_policy_gives_the_same_answers_over_a_whole_story():
    """Each kind of event keeps its questions, and every answer comes out as it is on record."""
    world = await told()
    kept: Counter[str] = Counter()
    pdp = build_decider(world.bundle)
    for event, _ in events(world):
        found = recorded_in(event)
        assert found.unasked == 0
        for recorded in found.decisions:
            kept[name(event)] += 1
            assert pdp.evaluate(recorded.question) == recorded.decision
            assert recorded.configuration_digest == world.bundle.configuration_digest()
    assert kept == Counter(STORY)
    assert set(kept) == set(KINDS) - THROUGH_A_GATEWAY
    outcome = replayed(world)
    assert (outcome.decided, outcome.differing, outcome.missed) == (kept.total(), 0, Counter())


async def test_an_offer_of_a_connection_keeps_its_question():
    """Behind a gateway it stands in the place of the fetch of a credential."""
    world = await make_world(adapt=behind)
    await world.incident()
    await connect(world, (await world.active()).id)
    (offer,) = [event for event, _ in events(world) if isinstance(event, ev.ConnectionOffered)]
    (recorded,) = recorded_in(offer).decisions
    assert recorded.question.action == "credential:reveal"
    assert build_decider(world.bundle).evaluate(recorded.question) == recorded.decision
    assert replayed(world).differing == 0


async def test_each_decision_is_decided_by_the_bundle_of_its_time():
    """After a publication the older decisions still come out by the older policy."""
    world = await told()
    policies = {**world.bundle.policies, "more.cedar": FREEZE}
    second = Bundle(
        world.bundle.installation, 2, world.bundle.digest(), world.bundle.configuration, policies
    )
    services = world.services
    await publish(services, world.caller("gina"), second, signed(second, "gina", "hugo"), _sound)
    with pytest.raises(DeniedError):
        await world.ask()
    outcome = replayed(world, bundles={1: world.bundle, 2: second})
    assert (outcome.decided, outcome.differing) == (sum(STORY.values()) + 1, 0)


async def test_a_decision_under_a_replaced_bundle_is_an_alarm():
    """Whoever picks the weakest bundle of the past is found, though that bundle's answer agrees."""
    world = await told()
    told_events = [(event, parse_time(at)) for event, at in events(world)]
    first, at = next((e, t) for e, t in told_events if isinstance(e, ev.BundlePublished))
    last = told_events[-1][1]
    asked = next(e for e, _ in told_events if isinstance(e, ev.ActivationRequested))
    replay = Replay(lambda _: world.bundle, Always())
    for event, moment in told_events:
        replay.take(event, moment)
    replay.take(replace(first, number=2, policy_digest="e" * 64), last)
    replay.take(asked, last + GRACE)
    assert replay.outcome.outdated == 0
    replay.take(asked, last + GRACE + timedelta(seconds=1))
    assert (replay.outcome.outdated, replay.outcome.differing) == (1, 0)
    assert replay.outcome.outdates[0].question.actor.principal == "alice"
    replay.take(first, at + timedelta(days=1))
    replay.take(asked, at + timedelta(days=2))
    assert replay.outcome.outdated == 1


def _sound(*_: object) -> None:
    """Publishing checks what files can say; these bundles are made of such."""


async def test_an_answer_that_differs_is_kept_whole():
    """A log on which a refused request stands as allowed is an alarm, with both answers."""
    world = await told()
    replay = Replay(lambda _: world.bundle, Always())
    for event, at in events(world):
        if isinstance(event, ev.AccessRefused):
            lie = Decision(Effect.ALLOW, ("forged",), (), event.decision.policy_digest)
            event = replace(event, decision=lie)  # noqa: PLW2901 -- the same event, forged
        replay.take(event, parse_time(at))
    outcome = replay.outcome
    assert (outcome.differing, outcome.changing) == (STORY["access:refused"], 0)
    found = outcome.differences[0]
    assert (found.old.policies, found.new.effect) == (("forged",), Effect.DENY)
    assert "only-the-eligible" in found.new.policies


async def test_a_tighter_proposal_changes_exactly_what_it_forbids():
    """The two requests on the frozen target, and nothing else, for whom and by which policy."""
    world = await told()
    outcome = replayed(world, proposal(world, more=FREEZE))
    assert (outcome.decided, outcome.differing) == (sum(STORY.values()), 0)
    assert outcome.changing == 2
    assert outcome.by_policy == Counter({("frozen", "allow -> deny"): 2})
    assert outcome.by_principal == Counter({("alice", "allow -> deny"): 2})
    for found in outcome.changes:
        assert found.question.action is Action.ACTIVATION_REQUEST
        assert str(found.question.resource.opening) == "orders-db:repair"
        assert found.new.reasons == ("denied by `frozen`: orders-db is frozen; ask a commander",)


async def test_a_proposal_with_other_groups_changes_for_whom():
    """Who leaves a group loses what it gave, and who joins it is no longer refused."""
    world = await told()
    groups = world.bundle.configuration.groups
    oncall = replace(groups["oncall"], members=("bob", "carol", "fixer", "deployer"))
    outcome = replayed(world, proposal(world, groups={**groups, "oncall": oncall}))
    changed = {
        (i.question.actor.principal, i.question.action, i.new.effect) for i in outcome.changes
    }
    assert changed == {
        ("alice", Action.ACTIVATION_REQUEST, Effect.DENY),
        ("alice", Action.ACTIVATION_ISSUE, Effect.DENY),
        ("alice", Action.CREDENTIAL_REVEAL, Effect.DENY),
        ("carol", Action.ACTIVATION_REQUEST, Effect.ALLOW),
    }


async def test_a_principal_that_is_not_proposed_is_refused_by_name():
    """What the proposal does not know cannot be decided in anybody's favour."""
    world = await told()
    known = world.bundle.configuration.principals
    left = {who: told for who, told in known.items() if who != "alice"}
    outcome = replayed(world, proposal(world, principals=left))
    alices = [item for item in outcome.changes if item.question.actor.principal == "alice"]
    assert len(alices) == outcome.by_principal["alice", "allow -> deny"] == 5
    assert all("no principal is called alice" in item.new.errors[0] for item in alices)
    assert outcome.by_policy[NOBODY, "allow -> deny"] >= 4


async def test_facts_of_the_configuration_are_described_anew():
    """Persons, groups, environment, and what the eligibility says; what happened stays."""
    world = await told()
    then = world.bundle.configuration
    asked = _question(world, Action.ACTIVATION_REQUEST)
    rule, wish = then.eligibilities["orders-repair"].incident, asked.activation
    assert rule is not None
    assert wish is not None
    incident = replace(rule, severity=(Severity.SEV1,))
    changed = eligibility(
        lane=Lane.ELEVATION,
        incident=incident,
        approval=replace(eligibility().approval, quorum=3),
        budget=replace(eligibility().budget, incidents=7),
        who=("group:commanders",),
    )
    target = replace(then.targets["orders-db"], environment="staging")
    alice = replace(then.principals["alice"], persons=("alice", "bob"))
    proposed = replace(
        then,
        eligibilities={"orders-repair": changed},
        targets={"orders-db": target},
        principals={**then.principals, "alice": alice},
    )
    # Whom she acted for, and what a spent budget had added, is not the configuration's to say.
    spent = replace(wish, persons=("alice", "hugo"), quorum_needed=3, budget_left=1)
    new = asked_under(replace(asked, activation=spent), then, proposed)
    assert new.actor.persons == ("alice", "bob")
    assert new.resource.environment == "staging"
    facts = new.activation
    assert facts is not None
    assert facts.persons == ("alice", "bob", "hugo")
    assert (facts.lane, facts.quorum_needed, facts.budget_left) == (Lane.ELEVATION, 4, 6)
    assert (facts.eligible, facts.allowed_severity) == (True, (Severity.SEV1,))
    kept = ("id", "purpose", "ttl", "requester", "age", "uses", "remaining")
    assert [getattr(facts, f) for f in kept] == [getattr(spent, f) for f in kept]
    assert (new.at, new.incident, new.action) == (asked.at, asked.incident, asked.action)


async def test_more_votes_than_were_given_do_not_meet_a_larger_quorum():
    """At issue two had voted; under a quorum of three that is not enough, under one it is."""
    world = await told()
    then = world.bundle.configuration
    asked = _question(world, Action.ACTIVATION_ISSUE)
    for quorum, met in ((1, True), (2, True), (3, False)):
        changed = eligibility(approval=replace(eligibility().approval, quorum=quorum))
        proposed = replace(then, eligibilities={"orders-repair": changed})
        facts = asked_under(asked, then, proposed).activation
        assert facts is not None
        assert (facts.quorum_needed, facts.quorum_met) == (quorum, met)
    gone = asked_under(asked, then, replace(then, eligibilities={})).activation
    assert gone is not None
    assert (gone.eligible, gone.allowed_severity) == (False, ())


async def test_under_the_same_configuration_a_question_stays_as_it_is():
    """Describing anew with what was in force changes nothing, so it invents no change."""
    world = await told()
    rules = world.bundle.configuration
    held = [recorded for event, _ in events(world) for recorded in recorded_in(event).decisions]
    assert {Action(recorded.question.action) for recorded in held} >= {
        Action.ACTIVATION_REQUEST,
        Action.INCIDENT_CONFIRM,
        Action.REVIEW_RECORD,
    }
    for recorded in held:
        assert asked_under(recorded.question, rules, rules) == recorded.question


async def test_what_an_earlier_version_wrote_is_counted_as_not_decided():
    """Without its question a decision is neither the same nor changed: nothing is known of it."""
    world = await told()
    outcome = Outcome()
    replay = Replay(lambda _: world.bundle, Always())
    for event, at in events(world):
        old = event
        if isinstance(event, ev.AccessRefused | ev.DecisionMade):
            old = replace(event, configuration_digest="")
        elif hasattr(event, "asked"):
            old = replace(event, asked=None, **_without_decisions(event))
        replay.take(old, parse_time(at))
    outcome = replay.outcome
    assert (outcome.decided, outcome.missed) == (0, Counter({UNASKED: sum(STORY.values())}))
    assert (outcome.unasked, outcome.unknown) == (sum(STORY.values()), 0)


def _without_decisions(event: ev.AnyEvent) -> dict[str, object]:
    """Earlier versions kept no decision at all of these."""
    single = ev.CredentialRevealed | ev.TokenIssued
    kept = ev.ActivationRequested | ev.ActivationActivated | single
    return {} if isinstance(event, kept) else {"decisions": ()}


async def test_a_question_that_is_left_out_later_on_is_not_an_earlier_versions():
    """After the first question on record, even outside the window, a missing one is not excused."""
    world = await told()
    replay = Replay(lambda _: world.bundle, Always())
    for event, at in events(world):
        if isinstance(event, ev.CredentialRevealed):
            event = replace(event, asked=None)  # noqa: PLW2901 -- the same event, with less
        replay.take(event, parse_time(at))
    assert replay.outcome.missed == Counter({WITHHELD: 1})
    assert (replay.outcome.unasked, replay.outcome.unknown) == (0, 1)


async def test_a_bundle_must_be_the_one_that_was_published():
    """A changed one stops everything; a missing one, or one that does not load, is counted."""
    world = await told()
    bundle = world.bundle
    other = replace(bundle, policies={**bundle.policies, "more.cedar": FREEZE})
    with pytest.raises(TamperError, match="configuration 1 is not the one"):
        replayed(world, bundles={1: other})

    def lost(_: ev.BundlePublished) -> Bundle:
        raise NotFoundError("the export holds none")

    replay = Replay(lost, Always())
    for event, at in events(world):
        replay.take(event, parse_time(at))
    assert replay.outcome.missed == Counter(
        {"configuration 1: the export holds none": sum(STORY.values())}
    )
    assert replay.outcome.unknown == sum(STORY.values())


async def test_what_is_kept_is_bounded():
    """However much changes, only so many decisions are kept whole; all are counted."""
    world = await told()
    replay = Replay(lambda _: world.bundle, Always(), proposal(world, more=FREEZE))
    told_events = events(world)
    for event, at in told_events:
        replay.take(event, parse_time(at))
    asked = next((e, at) for e, at in told_events if isinstance(e, ev.ActivationRequested))
    for _ in range(LISTED + 10):
        replay.take(asked[0], parse_time(asked[1]))
    assert (replay.outcome.changing, len(replay.outcome.changes)) == (LISTED + 12, LISTED)


async def test_only_the_asked_time_counts():
    """Decisions before and after the window are passed over, publications are not."""
    world = await told()

    class Never:
        def __contains__(self, moment: object) -> bool:
            return False

    replay = Replay(lambda _: world.bundle, Never())
    for event, at in events(world):
        replay.take(event, parse_time(at))
    assert (replay.outcome.decided, replay.outcome.missed) == (0, Counter())


async def test_questions_of_one_step_share_all_but_the_resource():
    """Whatever cannot be written once for all is refused: it would be read as another question."""
    world = await told()
    asked = _question(world, Action.ACTIVATION_REQUEST)
    later = replace(asked, at=asked.at + timedelta(seconds=1))
    assert asked_of([asked, asked], "d").questions() == (asked, asked)
    for wrong in ([], [asked, later]):
        with pytest.raises(ValueError, match="question"):
            asked_of(wrong, "d")


def _questions(world: World, action: Action) -> list[DecisionRequest]:
    held = [recorded for event, _ in events(world) for recorded in recorded_in(event).decisions]
    return [recorded.question for recorded in held if recorded.question.action is action]


def _question(world: World, action: Action) -> DecisionRequest:
    return _questions(world, action)[-1]
