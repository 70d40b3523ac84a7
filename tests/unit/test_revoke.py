"""Revocation of one lease: evidence is kept from every attempt, the good and the failed ones."""

from callpoint.domain.event import FindingRaised
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import give_back, sweep
from callpoint.lifecycle.proof import proven
from tests.fakes.simulated_target import Fault
from tests.fakes.world import World, make_world


async def used() -> tuple[World, str]:
    """An activation whose session left a role behind."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    credential = (await world.credential(made.id)).credential
    world.target.open_session(credential.username, credential.secret).leave("role", "backdoor")
    return world, made.id


async def residue(world: World, activation: str) -> list[str]:
    found = await world.get(activation)
    return [finding.text for finding in found.findings if finding.kind == "residue"]


async def test_what_a_use_left_behind_is_a_finding():
    """A role that a session made stands in the activation's findings after the end."""
    world, activation = await used()
    await give_back.give_back(world.services, world.caller("alice"), activation)
    (line,) = await residue(world, activation)
    assert "backdoor" in line


async def test_what_a_failed_attempt_saw_is_not_lost_and_not_said_twice():
    """Residue that is gone at the next attempt was recorded by the one that saw it."""
    world, activation = await used()
    world.target.fail("verify_absent", Fault.NOT_DONE, 2)
    await give_back.give_back(world.services, world.caller("alice"), activation)
    (lease,) = await world.leases(activation)
    assert lease.state is LeaseState.ENDING
    world.clock.advance(world.services.limits.backoff_cap)
    await sweep.sweep(world.services)
    world.target.left.clear()
    world.clock.advance(world.services.limits.backoff_cap)
    await sweep.sweep(world.services)
    (lease,) = await world.leases(activation)
    assert lease.state is LeaseState.ENDED
    assert len(await residue(world, activation)) == 1
    stream = activation_stream(activation)
    events = await world.store.read(lambda v: proven(v, world.services.installation, [stream]))
    raised = [item for item in events[stream] if isinstance(item.event, FindingRaised)]
    assert len(raised) == 1
