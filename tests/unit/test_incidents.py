"""Incidents: one declares, another confirms, a source reports, and the end of one ends access."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import ConflictError, DeniedError, NotFoundError, RequestError
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.lifecycle import incidents
from callpoint.ports.incidents import Report
from tests.fakes.clock import START
from tests.fakes.invariants import told
from tests.fakes.stage import BOTH, PAGER, Deciders, Stage, make_stage
from tests.fakes.world import World, make_world

DECIDERS = Deciders()
SAID = Declaration("INC-7", Severity.SEV1, ("orders-db",), "orders is down")
FIRING = Report("pager-1", True, Severity.SEV1, BOTH, START, "orders is down")
OVER = msgspec.structs.replace(FIRING, firing=False)
NAME = incidents.incident_id(FIRING)


async def staged() -> tuple[Stage, World]:
    stage = await make_stage(idle=None, deciders=DECIDERS)
    return stage, stage.node()


async def report(world: World, *reports: Report) -> tuple[Incident, ...]:
    return await incidents.report(world.services, PAGER, reports, b"{}")


async def test_one_person_declares_and_another_confirms():
    """It has a lower-case name, and counts only once the second person speaks."""
    world = await make_world()
    made = await incidents.declare(world.services, world.caller("frank"), SAID)
    assert (made.id, made.state, made.declared_by) == ("inc-7", IncidentState.DECLARED, "frank")
    made = await incidents.confirm(world.services, world.caller("gina"), "INC-7")
    assert (made.state, made.confirmed_by) == (IncidentState.OPEN, "gina")
    assert not any(b"orders is down" in leaf for leaf in world.store.state.leaves)


async def test_who_declared_cannot_confirm_and_the_attempt_is_on_record():
    """Not with the same key, and not with another key of the same person."""
    stage, world = await staged()
    await incidents.declare(world.services, world.caller("carol"), SAID)
    for who in ("carol", "carol-phone"):
        with pytest.raises(DeniedError, match="another person must confirm"):
            await incidents.confirm(world.services, world.caller(who), "inc-7")
    assert [e.action for e in told(stage.state, ev.RequestRefused)] == ["incident:confirm"] * 2


@pytest.mark.parametrize("who", ["fixer", "deployer"])
async def test_machines_neither_declare_nor_confirm_nor_resolve(who):
    """Else a machine could make the emergency that lets it in."""
    world = await make_world()
    with pytest.raises(DeniedError):
        await incidents.declare(world.services, world.caller(who), SAID)
    await world.incident()
    with pytest.raises(DeniedError):
        await incidents.confirm(world.services, world.caller(who), "inc-7")
    with pytest.raises(DeniedError, match="only a person or its source"):
        await incidents.resolve(world.services, world.caller(who), "inc-7")


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"incident": "INC 7"}, RequestError, "not a name"),
        ({"incident": ""}, RequestError, "not a name"),
        ({"incident": "x" * 65}, RequestError, "not a name"),
        ({"targets": ()}, RequestError, "at least one target"),
        ({"targets": ("moon",)}, NotFoundError, "no target is called"),
    ],
)
async def test_a_malformed_declaration_is_refused(changes, error, words):
    """Its name is short and plain, and it names targets that exist."""
    world = await make_world()
    with pytest.raises(error, match=words):
        await incidents.declare(
            world.services, world.caller("frank"), msgspec.structs.replace(SAID, **changes)
        )


async def test_a_name_is_used_once():
    """A second declaration of the same name, and a second confirmation, are refused."""
    world = await make_world()
    await world.incident()
    with pytest.raises(ConflictError, match="inc-7 already"):
        await incidents.declare(world.services, world.caller("carol"), SAID)
    with pytest.raises(ConflictError, match="cannot become open"):
        await incidents.confirm(world.services, world.caller("hugo"), "inc-7")
    with pytest.raises(NotFoundError):
        await incidents.confirm(world.services, world.caller("hugo"), "inc-8")


async def test_resolving_ends_all_that_it_justified_and_nothing_else():
    """Active ones are revoked, pending ones withdrawn, those of another incident go on."""
    stage, world = await staged()
    for name in ("inc-7", "inc-8"):
        await world.incident(name, targets=BOTH)
    active, pending = await world.active(), await world.ask()
    other = await world.active(incident="inc-8")
    made = await incidents.resolve(world.services, world.caller("carol"), "INC-7")
    assert made.state is IncidentState.RESOLVED
    assert (await world.get(active.id)).end_reason is EndReason.INCIDENT_RESOLVED
    assert (await world.get(pending.id)).state is ActivationState.WITHDRAWN
    assert (await world.get(other.id)).state is ActivationState.ACTIVE
    accounts = {a.handle[6:18] for t in stage.targets.values() for a in t.accounts.values()}
    assert accounts == {other.id}
    again = await incidents.resolve(world.services, world.caller("dave"), "inc-7")
    assert again.resolved_at == made.resolved_at


async def test_a_report_opens_at_once_and_its_repetition_keeps_it_fresh():
    """What a configured source says needs no second person."""
    stage, world = await staged()
    (made,) = await report(world, FIRING)
    assert (made.state, made.source) == (IncidentState.OPEN, "pager")
    stage.clock.advance(timedelta(minutes=15))
    (again,) = await report(world, FIRING)
    assert again.opened_at == made.opened_at
    assert again.fresh_until == stage.clock.now() + PAGER.stale_after
    assert len([n for n in stage.notices.said if n.about == NAME]) == 1


async def test_the_source_says_that_it_is_over_and_access_ends():
    """A late repetition does not open it again; the next firing is another incident."""
    stage, world = await staged()
    await report(world, FIRING)
    made = await world.active(incident=NAME)
    (over,) = await report(world, OVER)
    assert over.state is IncidentState.RESOLVED
    assert (await world.get(made.id)).end_reason is EndReason.INCIDENT_RESOLVED
    assert not any(target.accounts for target in stage.targets.values())
    (late,) = await report(world, FIRING)
    assert late.state is IncidentState.RESOLVED
    anew = msgspec.structs.replace(FIRING, started_at=START + timedelta(hours=1))
    (other,) = await report(world, anew)
    assert other.id != NAME


async def test_the_end_of_something_unknown_is_passed_over():
    """A source may say that something is over which we never heard of."""
    _, world = await staged()
    assert await report(world, OVER) == ()


async def test_a_source_touches_nobody_elses_incident():
    """A name that a person took before is neither changed nor closed by a source."""
    stage, world = await staged()
    await world.incident(NAME, targets=("orders-db",))
    made = await world.active(incident=NAME, opens=("orders-db:repair",))
    assert await report(world, OVER) == ()
    with pytest.raises(ConflictError, match="belongs to declared, not pager"):
        await report(world, FIRING)
    assert (await world.get(made.id)).state is ActivationState.ACTIVE
    assert stage.targets["orders-db"].accounts


async def test_one_report_that_cannot_be_taken_keeps_no_other_from_ending_access():
    """Each report of a delivery stands alone; the error is told after all were tried."""
    _, world = await staged()
    await report(world, FIRING)
    made = await world.active(incident=NAME)
    taken = msgspec.structs.replace(FIRING, id="pager-2")
    await world.incident(incidents.incident_id(taken), targets=BOTH)
    with pytest.raises(ConflictError, match="belongs to declared"):
        await report(world, taken, OVER)
    assert (await world.get(made.id)).end_reason is EndReason.INCIDENT_RESOLVED
