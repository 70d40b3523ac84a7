"""Issuing: one dedicated credential for each target role, once, or nothing at all."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState, EndReason
from callpoint.domain.eligibility import BudgetRule, Opening
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    TargetRefusedError,
    TargetUnknownError,
    UnavailableError,
)
from callpoint.domain.kill import Scope
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import give_back, incidents, issue, kill, publish
from callpoint.ports.incidents import Report
from tests.fakes.clock import START
from tests.fakes.invariants import history, told
from tests.fakes.stage import BOTH, PAGER, Deciders, Stage, make_stage
from tests.fakes.world import World, eligibility, make_world, signed

DECIDERS = Deciders()


async def ready(*rules) -> tuple[World, Activation]:
    world = await make_world(*rules)
    await world.incident()
    return world, await world.approved()


async def staged() -> tuple[Stage, World]:
    stage = await make_stage(idle=None, deciders=DECIDERS)
    world = stage.node()
    await world.incident(targets=BOTH)
    return stage, world


async def test_what_was_approved_is_made_for_as_long_as_was_approved():
    """One account for each role, all expiring at the one moment that is fixed here."""
    stage, world = await staged()
    made = await world.active()
    assert made.state is ActivationState.ACTIVE
    assert made.not_after == stage.clock.now() + timedelta(minutes=30)
    assert [x.state for x in stage.leases()] == [LeaseState.LIVE] * 2
    for lease in stage.leases():
        account = stage.targets[lease.plan.target].accounts[lease.plan.account]
        assert account.not_after == made.not_after
        assert account.secret is not None
        assert account.secret not in str(stage.state.records)
        assert lease.box
        assert lease.probe


async def test_intent_is_under_a_checkpoint_before_the_first_call():
    """At the moment of the call the log already holds the plan, numbered and signed."""
    stage, world = await staged()
    seen = []

    class Look:
        def __init__(self, method: str) -> None:
            if method == "issue":
                size = int(stage.state.note.split("\n")[1])
                events = [item.event for item in history(stage.state)[:size]]
                seen.append([e for e in events if isinstance(e, ev.ActivationActivated)])

        def __enter__(self) -> None:
            return None

        def __exit__(self, *_: object) -> None:
            return None

    for target in stage.targets.values():
        target.around = Look
    await world.active()
    assert [len(found) for found in seen] == [1, 1]
    assert {plan.target for plan in seen[0][0].plans} == set(BOTH)


async def test_only_the_requester_takes_it_up():
    """Nobody receives what another asked for, however it was approved; the attempt is on record."""
    world, made = await ready()
    with pytest.raises(DeniedError, match="only alice"):
        await issue.issue(world.services, world.caller("bob"), made.id)
    refused = [
        i.event for i in history(world.store.state) if isinstance(i.event, ev.RequestRefused)
    ]
    assert [(e.actor, e.action) for e in refused] == [("bob", "activation:issue")]


async def test_it_is_taken_up_once():
    """A second issue is refused, and makes no second credential."""
    world, made = await ready()
    await issue.issue(world.services, world.caller("alice"), made.id)
    with pytest.raises(ConflictError, match="is active, not approved"):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert len(world.target.accounts) == 1


@pytest.mark.parametrize("votes", [(), ("carol",)])
async def test_without_its_quorum_nothing_is_issued(votes):
    """A request that is not approved yet cannot be taken up."""
    world = await make_world()
    await world.incident()
    made = await world.ask()
    for who in votes:
        await world.vote(who, made.id)
    with pytest.raises(ConflictError, match="is requested, not approved"):
        await issue.issue(world.services, world.caller("alice"), made.id)


async def test_an_approval_that_is_not_taken_up_lapses():
    """It waits as long as the request might have waited, and no longer."""
    world, made = await ready()
    world.clock.advance(timedelta(minutes=10, microseconds=1))
    with pytest.raises(ConflictError, match="lapsed"):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not world.target.accounts


async def test_what_was_withdrawn_killed_or_ended_with_its_incident_is_not_issued():
    """Whatever took it away before it began, it stays away."""
    world = await make_world()
    await world.incident()
    alice = world.caller("alice")
    withdrawn, killed = await world.approved(), await world.approved()
    await give_back.withdraw(world.services, alice, withdrawn.id)
    await kill.kill(world.services, world.caller("bob"), Scope.ACTIVATION, killed.id)
    over = await world.approved()
    await incidents.resolve(world.services, world.caller("bob"), "inc-7")
    for made in (withdrawn, killed, over):
        with pytest.raises(ConflictError, match="withdrawn"):
            await issue.issue(world.services, alice, made.id)
    assert not world.target.accounts


async def test_a_changed_configuration_voids_what_was_approved_under_another():
    """The votes were signed over the rules that were in force, and those are in force no more."""
    world, made = await ready()
    old = world.bundle
    shorter = eligibility(ttl=timedelta(minutes=20))
    rules = msgspec.structs.replace(old.configuration, eligibilities={shorter.id: shorter})
    new = msgspec.structs.replace(old, number=2, previous=old.digest(), configuration=rules)
    await publish.publish(
        world.services, world.caller("gina"), new, signed(new, "gina"), lambda _: None
    )
    with pytest.raises(ConflictError, match="configuration changed"):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not world.target.accounts


async def test_a_source_that_fell_silent_stops_issue_and_ends_nothing():
    """Unknown is not open, and not over: nothing new begins, what began goes on."""
    stage, world = await staged()
    item = Report("pager-1", True, "sev1", BOTH, START)  # type: ignore[arg-type]  # as it arrives
    (reported,) = await incidents.report(world.services, PAGER, (item,), b"{}")
    active = await world.active(incident=reported.id)
    stage.clock.advance(timedelta(minutes=15))
    approved = await world.approved(incident=reported.id)
    stage.clock.advance(timedelta(minutes=6))
    with pytest.raises(DeniedError) as refused:
        await issue.issue(world.services, world.caller("alice"), approved.id)
    assert any("incident-unknown" in reason for reason in refused.value.reasons)
    assert (await world.get(active.id)).state is ActivationState.ACTIVE


async def test_requests_that_waited_side_by_side_do_not_overdraw_the_budget():
    """The budget is counted again when it is spent: the last one asks anew, with security."""
    world = await make_world(eligibility(budget=BudgetRule(1, timedelta(days=90))))
    for name in ("inc-7", "inc-8"):
        await world.incident(name)
    one, other = await world.approved(), await world.approved(incident="inc-8")
    again = await world.approved()
    await issue.issue(world.services, world.caller("alice"), one.id)
    with pytest.raises(ConflictError, match="budget of orders-repair was spent"):
        await issue.issue(world.services, world.caller("alice"), other.id)
    await issue.issue(world.services, world.caller("alice"), again.id)
    anew = await world.approved(incident="inc-8")
    assert anew.state is ActivationState.REQUESTED, "security is missing"
    await world.vote("erin", anew.id)
    await issue.issue(world.services, world.caller("alice"), anew.id)


@pytest.mark.parametrize("how", ["refused", "not done", "done but unanswered"])
async def test_when_one_target_fails_all_of_it_ends(how):
    """Half an access helps nobody: what exists is revoked, and the reason is told."""
    stage, world = await staged()
    made = await world.approved()
    stage.targets["orders-db"].fail("issue", how)
    with pytest.raises((TargetRefusedError, TargetUnknownError)):
        await issue.issue(world.services, world.caller("alice"), made.id)
    ended = await world.get(made.id)
    assert (ended.state, ended.end_reason) == (ActivationState.ENDED, EndReason.ISSUE_FAILED)
    assert not any(target.accounts for target in stage.targets.values())
    assert {x.state for x in stage.leases()} == {LeaseState.ENDED}
    failed = told(stage.state, ev.LeaseFailed)
    assert [e.target for e in failed] == ["orders-db"]


async def test_a_target_that_this_process_cannot_reach_is_said_so():
    """Without a connector nothing is begun."""
    world, made = await ready()
    world.services.targets.clear()  # type: ignore[attr-defined]  # the dict behind the mapping
    with pytest.raises(UnavailableError, match="no connector for orders-db"):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert (await world.get(made.id)).state is ActivationState.APPROVED


async def test_two_roles_of_one_target_are_two_credentials():
    """One credential serves one role of one activation (I12)."""
    roles = (Opening("orders-db", "read"), Opening("orders-db", "repair"))
    world, made = await ready(eligibility(opens=roles))
    await issue.issue(world.services, world.caller("alice"), made.id)
    assert {a.role for a in world.target.accounts.values()} == {"read", "repair"}
