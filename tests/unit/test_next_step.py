"""One sentence for each state: what happens next, and whose turn it is."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.api.next_step import next_step
from callpoint.api.views import activation_view, lease_view
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import QuorumTally, Verdict
from callpoint.domain.lease import LeaseState
from callpoint.domain.review import Judgement, Review, ReviewVerdict
from callpoint.lifecycle import give_back, review, sweep
from callpoint.lifecycle.attest import LEAST_ATTEMPTS
from tests.fakes.world import World, make_world

NOBODY = QuorumTally((), 1, 0, (), met=False, can_be_met=False)


async def said(world: World, activation: str) -> str:
    """What the view says."""
    configuration = world.bundle.configuration

    def read(view):
        return activation_view(view, configuration, view.get(Activation, activation)).next

    return await world.services.store.read(read)


async def test_a_request_names_who_can_still_approve():
    """How many, until when, and who."""
    world = await make_world()
    await world.incident()
    made = await world.ask()
    assert await said(world, made.id) == (
        "2 more of the approvers must approve before 03:10:00 UTC: bob, carol, dave"
    )
    await world.vote("carol", made.id)
    assert (await said(world, made.id)).startswith("1 more of the approvers")


async def test_a_spent_budget_asks_for_security():
    """The added approver is named as such (I16)."""
    world = await make_world()
    await world.incident("inc-1")
    for name in ("inc-2", "inc-3"):
        await world.incident(name)
    for name in ("inc-1", "inc-2"):
        made = await world.active(incident=name)
        await give_back.give_back(world.services, world.caller("alice"), made.id)
    made = await world.ask(incident="inc-3")
    assert "2 more of the approvers and 1 of security must approve" in await said(world, made.id)


async def test_silence_lapses_and_nobody_may_be_left():
    """After the time it lapses; when nobody is left who could approve, that is said."""
    world = await make_world()
    await world.incident()
    made = await world.ask()
    late = made.request.lapses_at
    assert next_step(made, NOBODY, (), (), late) == "nobody answered in time: it lapses now"
    lonely = next_step(made, NOBODY, (), (), late - timedelta(seconds=1))
    assert lonely.endswith("nobody is left who could")


async def test_an_approved_one_is_the_requesters_turn():
    """Who takes it up, before when, and with which command."""
    world = await make_world()
    await world.incident()
    made = await world.approved()
    text = await said(world, made.id)
    assert text.startswith("alice takes it up before 03:10")
    assert f"`callpoint connect {made.id}`" in text


async def test_an_active_one_can_be_given_back():
    """Until when it can be used, and how to end it early."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    text = await said(world, made.id)
    assert text.startswith("alice can use it until 03:30:00 UTC")
    assert f"`callpoint return {made.id}`" in text


async def test_after_its_end_revocation_then_review():
    """First the targets that are not proven, then who reviews by when, then the verdict."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.target.down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert "revocation on orders-db is not proven yet" in await said(world, made.id)
    world.target.down = False
    world.clock.advance(timedelta(minutes=2))
    from callpoint.lifecycle.sweep import sweep

    await sweep(world.services)
    text = await said(world, made.id)
    assert "a first look is due 2026-03-02" in text
    assert text.endswith("one of: erin, frank")
    await review.triage(world.services, world.caller("erin"), made.id)
    assert "the verdict is due 2026-03-06" in await said(world, made.id)
    world.clock.advance(timedelta(days=9))
    assert "the verdict was due" in await said(world, made.id)


async def test_a_target_that_was_silent_for_minutes_has_a_way_out():
    """Not before: a target that restarts needs nobody's word; then the account is named."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.target.down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    for _ in range(LEAST_ATTEMPTS - 1):
        (lease,) = await world.leases(made.id)
        assert "attest" not in await said(world, made.id)
        assert not lease_view(lease).is_lost
        world.clock.advance(world.services.limits.backoff_cap)
        await sweep.sweep(world.services)
    (lease,) = await world.leases(made.id)
    assert lease.attempts == LEAST_ATTEMPTS
    assert lease_view(lease).is_lost
    assert (await said(world, made.id)).endswith(
        f"if orders-db is gone for good, two governors run `callpoint attest {lease.id}`"
    )


async def test_a_target_that_refuses_is_not_lost():
    """What answers is repaired there, and nobody is told to attest."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    (held,) = await world.leases(made.id)
    answering = msgspec.structs.replace(held, state=LeaseState.ENDING, attempts=9, is_silent=False)
    assert not lease_view(answering).is_lost
    assert not lease_view(msgspec.structs.replace(held, attempts=9, is_silent=True)).is_lost


async def test_what_is_reviewed_names_the_verdict():
    """After its state the sentence reads as one."""
    world = await make_world()
    await world.incident()
    made = await world.ask()
    closed = Review(
        opened_at=made.request.requested_at,
        triage_by=made.request.requested_at,
        close_by=made.request.requested_at,
        verdict=ReviewVerdict.JUSTIFIED,
    )
    reviewed = msgspec.structs.replace(made, state=ActivationState.REVIEWED, review=closed)
    text = next_step(reviewed, NOBODY, (), (), made.request.requested_at)
    assert text == "the verdict is justified; nothing is left to do"


@pytest.mark.parametrize(
    "state", [ActivationState.DENIED, ActivationState.LAPSED, ActivationState.WITHDRAWN]
)
async def test_what_opened_nothing_is_closed(state):
    """Denied, lapsed and withdrawn are over."""
    world = await make_world()
    await world.incident()
    made = msgspec.structs.replace(await world.ask(), state=state)
    text = next_step(made, NOBODY, (), (), made.request.requested_at)
    assert text == "it opened nothing, and nothing is left to do"


async def test_another_day_is_named():
    """A time of day alone would be read as today's."""
    world = await make_world()
    await world.incident()
    made = await world.ask()
    text = next_step(made, NOBODY, (), (), made.request.requested_at - timedelta(hours=4))
    assert "before 2026-03-01 03:10:00 UTC" in text


async def test_a_request_under_former_rules_says_that_it_is_void():
    """While it is pending nobody waits for votes that cannot be given; afterwards it is history."""
    world = await make_world()
    await world.incident()
    made = await world.ask()

    def shown(found):
        def read(view):
            return activation_view(view, world.bundle.configuration, found, voided=True)

        return world.services.store.read(read)

    view = await shown(made)
    assert view.voided
    assert view.next.endswith("alice asks again with `callpoint request`")
    denied = msgspec.structs.replace(made, state=ActivationState.DENIED)
    assert not (await shown(denied)).voided


async def test_a_vote_is_shown_with_its_comment():
    """Votes keep their order and their words; a no is shown too."""
    world = await make_world()
    await world.incident()
    made = await world.ask()
    await world.vote("carol", made.id)
    await world.vote("dave", made.id, Verdict.DENY)

    def read(view):
        return activation_view(view, world.bundle.configuration, view.get(Activation, made.id))

    view = await world.services.store.read(read)
    assert [(v.person, v.verdict) for v in view.votes] == [("carol", "approve"), ("dave", "deny")]
    assert view.next.startswith("it opened nothing")


def test_the_judgement_type_is_the_wire_type():
    """A reviewer's words arrive as the step's own input, which refuses members it does not know."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"verdict":"justified","checkpoint":"","x":1}', type=Judgement)
