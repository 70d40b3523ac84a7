"""Rarity with teeth (I16): a spent budget or a late review makes it harder, never impossible."""

from datetime import timedelta

import pytest

from callpoint.domain.activation import ActivationState
from callpoint.domain.eligibility import BudgetRule, Lane, Opening
from callpoint.domain.errors import ConflictError
from callpoint.domain.request import Request
from callpoint.domain.review import Judgement
from callpoint.lifecycle import give_back, issue, review
from tests.fakes.world import World, eligibility, make_world

ONE = BudgetRule(1, timedelta(days=90))


async def served(world: World, incident: str, who: str = "alice") -> str:
    """One incident dealt with, given back and judged."""
    await world.incident(incident)
    made = await world.active(who, incident=incident)
    await give_back.give_back(world.services, world.caller(who), made.id)
    _, size, root = world.store.state.note.split("\n")[:3]
    said = Judgement("justified", f"{size} {root}")  # type: ignore[arg-type]  # as it arrives
    await review.close(world.services, world.caller("frank"), made.id, said)
    return made.id


async def asked(world: World, incident: str, **changes: object) -> Request:
    await world.incident(incident)
    return (await world.ask(incident=incident, **changes)).request  # type: ignore[arg-type]


async def test_within_the_budget_nothing_is_harder():
    """The eligibility's own terms hold."""
    made = await asked(await make_world(), "inc-1")
    assert (made.quorum.need, made.quorum.extra, made.quorum.security) == (2, 0, ())
    assert made.ttl == timedelta(minutes=30)
    assert made.findings == ()


async def test_over_the_budget_security_joins_and_the_time_is_halved():
    """The request says why, and approvers sign over it; the way in stays open."""
    world = await make_world(eligibility(budget=ONE))
    await served(world, "inc-1")
    made = await asked(world, "inc-2")
    assert (made.quorum.need, made.quorum.extra) == (2, 1)
    assert made.quorum.security == ("group:security",)
    assert made.ttl == timedelta(minutes=15)
    assert made.findings == (
        "budget spent: incidents within 90d: 1 served by orders-repair, 1 allowed",
    )
    for who in ("carol", "dave"):
        assert (await world.vote(who, made.activation)).state is ActivationState.REQUESTED
    assert (await world.vote("erin", made.activation)).state is ActivationState.APPROVED
    active = await issue.issue(world.services, world.caller("alice"), made.activation)
    assert active.not_after == world.clock.now() + timedelta(minutes=15)


async def test_the_same_incident_is_counted_once():
    """A second activation for an incident that was served already costs nothing more."""
    world = await make_world(eligibility(budget=ONE))
    await served(world, "inc-1")
    again = (await world.ask(incident="inc-1")).request
    assert again.findings == ()


async def test_planned_work_without_an_incident_counts_each_time():
    """It has no incident to be counted once for, and a budget that never ends would be none."""
    planned = eligibility(budget=ONE, lane=Lane.ELEVATION, incident=None)
    world = await make_world(planned)
    first, waiting = await world.approved(incident=""), await world.approved(incident="")
    assert first.request.findings == waiting.request.findings == ()
    await issue.issue(world.services, world.caller("alice"), first.id)
    with pytest.raises(ConflictError, match="was spent while this request waited"):
        await issue.issue(world.services, world.caller("alice"), waiting.id)
    again = (await world.ask(incident="")).request
    assert (again.quorum.extra, len(again.findings)) == (1, 1)


async def test_the_budget_is_the_eligibilitys_whoever_asks():
    """A colleague does not bring a fresh one."""
    world = await make_world(eligibility(budget=ONE))
    await served(world, "inc-1")
    await world.incident("inc-2")
    made = (await world.ask("bob", incident="inc-2")).request
    assert made.quorum.extra == 1


async def test_what_was_only_asked_for_spends_nothing():
    """Denied, withdrawn and lapsed requests, and pending ones, are no use."""
    world = await make_world(eligibility(budget=ONE))
    await world.incident("inc-1")
    made = await world.ask(incident="inc-1")
    await give_back.withdraw(world.services, world.caller("alice"), made.id)
    await world.ask(incident="inc-1")
    assert (await asked(world, "inc-2")).findings == ()


async def test_after_the_window_the_budget_is_fresh():
    """Only what lies within ``per`` counts."""
    world = await make_world(eligibility(budget=ONE))
    await served(world, "inc-1")
    world.clock.advance(timedelta(days=90, seconds=1))
    assert (await asked(world, "inc-2")).findings == ()


@pytest.mark.parametrize("ttl, given", [(4, 4), (6, 5), (8, 5), (20, 10), (30, 15)])
async def test_time_is_never_shortened_below_what_helps(ttl, given):
    """Half, but at least five minutes, and never more than was asked."""
    world = await make_world(eligibility(budget=ONE))
    await served(world, "inc-1")
    made = await asked(world, "inc-2", ttl=timedelta(minutes=ttl))
    assert made.ttl == timedelta(minutes=given)


async def test_a_late_review_costs_the_eligibility_and_the_person():
    """It adds the approver from security until the review is done."""
    other = eligibility(id="orders-read", opens=(Opening("orders-db", "read"),))
    world = await make_world(eligibility(), other)
    await world.incident("inc-1")
    made = await world.active("alice", incident="inc-1")
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert (await world.ask(incident="inc-1")).request.findings == ()
    world.clock.advance(timedelta(hours=24, seconds=1))
    late = (f"review overdue: activation {made.id}",)
    assert (await world.ask(incident="inc-1")).request.findings == late
    assert (await world.ask("bob", incident="inc-1")).request.findings == late
    elsewhere = {"incident": "inc-1", "eligibility": "orders-read"}
    assert (await world.ask("alice", **elsewhere)).request.findings == late
    assert (await world.ask("fixer", **elsewhere)).request.findings == late
    assert (await world.ask("deployer", **elsewhere)).request.findings == ()
    await review.triage(world.services, world.caller("erin"), made.id)
    assert (await world.ask(incident="inc-1")).request.findings == ()
