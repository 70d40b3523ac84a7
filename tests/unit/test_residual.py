"""Residual access: approvers read it, and what is unbounded needs to be accepted (I3)."""

from datetime import timedelta

import pytest

from callpoint.domain import event as ev
from callpoint.domain.eligibility import Lane, Purpose
from callpoint.domain.errors import DeniedError, UnavailableError
from callpoint.lifecycle import issue
from callpoint.lifecycle.residual import connector, residual_of
from callpoint.lifecycle.symptoms.symptom import Code
from tests.fakes.doctor import look, only
from tests.fakes.invariants import told
from tests.fakes.world import World, eligibility, make_world


async def unbounded(**changes: object) -> World:
    world = await make_world(eligibility(**changes))
    await world.incident()
    world.target.reaper = None
    return world


async def test_where_nothing_ends_a_session_break_glass_is_refused():
    """The refusal names the target and both ways out."""
    world = await unbounded()
    with pytest.raises(DeniedError, match="a session on orders-db could outlive") as refused:
        await world.ask()
    assert "accept_residual" in refused.value.way_out
    assert "target prepare" in refused.value.way_out


async def test_the_way_out_is_the_connectors_where_it_has_one():
    """What no script of the owner bounds is not answered with that script, here and by doctor."""
    world = await unbounded()
    world.target.unbounded_until = "let the owner's program end it"
    with pytest.raises(DeniedError) as refused:
        await world.ask()
    assert refused.value.way_out.startswith("let the owner's program end it; or have governors")
    next_step = only(await look(world), Code.REAPER_MISSING).next_step
    assert next_step.startswith("let the owner's program end it")
    assert "target prepare" not in refused.value.way_out + next_step


async def test_what_the_owner_accepted_is_told_to_approvers_and_recorded():
    """They sign over "unbounded"; the entry of the credential says it too."""
    world = await unbounded(accept_residual=True)
    made = await world.active()
    assert made.request.findings == (
        "residual access on orders-db is unbounded: nothing on the target ends a live session",
    )
    (issued,) = told(world.store.state, ev.LeaseIssued)
    assert issued.residual is None
    assert "nothing on the target" in issued.residual_because


async def test_in_the_elevation_lane_it_is_told_and_not_refused():
    """Planned work under supervision reads the same words."""
    world = await unbounded(lane=Lane.ELEVATION, incident=None, purposes=(Purpose.ROTATE,))
    made = await world.ask(purpose=Purpose.ROTATE)
    assert len(made.request.findings) == 1


async def test_a_bound_is_part_of_the_evidence_and_no_finding():
    """A reaper that runs each half minute is what bounds it."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    assert made.request.findings == ()
    (issued,) = told(world.store.state, ev.LeaseIssued)
    assert issued.residual == timedelta(seconds=30)


async def test_a_target_that_does_not_answer_is_unknown_and_not_unbounded():
    """The request is possible, and says that nobody could look."""
    world = await make_world()
    await world.incident()
    world.target.down = True
    assert await residual_of(world.services, "orders-db") is None
    made = await world.ask()
    assert made.request.findings == (
        "residual access on orders-db is unknown: it does not answer now",
    )


async def test_a_reaper_that_vanished_after_the_approval_stops_issue():
    """The target is asked again at issue, and the refusal is on record."""
    world = await make_world()
    await world.incident()
    made = await world.approved()
    world.target.reaper = None
    with pytest.raises(DeniedError, match="could outlive"):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not world.target.accounts
    assert [e.action for e in told(world.store.state, ev.RequestRefused)] == ["activation:issue"]


async def test_a_target_without_a_connector_is_our_own_fault():
    """It is told apart from a target that refuses or does not answer."""
    world = await make_world()
    with pytest.raises(UnavailableError, match="no connector for moon runs here"):
        connector(world.services, "moon")
    assert connector(world.services, "orders-db") is world.target
