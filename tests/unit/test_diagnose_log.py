"""`lifecycle.diagnose`: witnesses of the log, and what is not known since a part of it was lost."""

from copy import deepcopy
from datetime import timedelta

from callpoint.domain.epoch import Began
from callpoint.lifecycle.ask_witnesses import ask_witnesses
from callpoint.lifecycle.epoch import begin
from callpoint.lifecycle.reconcile import reconcile
from callpoint.lifecycle.symptoms.symptom import Code, Severity
from tests.fakes.doctor import codes, look, only
from tests.fakes.witnesses import Streets, make_desk, make_watched, watched_by
from tests.fakes.world import World, make_world


async def watched(*names: str) -> tuple[World, Streets]:
    """A log that all of these must have seen within a quarter of an hour."""
    watching = watched_by(*names, quorum=len(names), within=timedelta(minutes=15))
    world = await make_watched(watching)
    desks = {name: (await make_desk(name, clock=world.clock))[0] for name in names}
    return world, Streets(**desks)


async def test_witnesses_that_have_not_seen_the_log():
    """Before they are asked nothing is issued; once all have signed there is nothing to tell."""
    world, way = await watched("north", "south")
    unseen = only(await look(world), Code.LOG_UNWITNESSED)
    assert "0 have; missing: north, south" in unseen.text
    await ask_witnesses(world.services, way)
    assert codes(await look(world)) == []
    way.silent.add("south")
    world.clock.jump(timedelta(minutes=16))
    await ask_witnesses(world.services, way)
    told = await look(world)
    assert codes(told) == [Code.LOG_UNWITNESSED, Code.WITNESS_AWAY]
    assert "2 witnesses must have seen" in told.symptoms[0].text
    assert "1 has; missing: south" in told.symptoms[0].text
    assert "the witness south has not cosigned since" in told.symptoms[1].text


async def test_a_witness_that_contradicts_the_log():
    """The database was rolled back: that is the first line, and evidence."""
    world, way = await watched("north")
    before = deepcopy(world.store.state)
    await world.incident()
    await ask_witnesses(world.services, way)
    world.store.state = before
    await ask_witnesses(world.services, way)
    found = only(await look(world), Code.WITNESS_CONTRADICTS)
    assert found.severity is Severity.URGENT
    assert "rolled back" in found.text


async def test_a_target_that_was_not_compared_since_a_loss():
    """Nothing is issued there, and why is told until it was compared."""
    world = await make_world()
    world.target.down = True
    await begin(world.store, Began.RECOVERED, actor="gina", reason="the disk died")
    told = await look(world)
    assert "a part of the log was lost" in only(told, Code.TARGET_NOT_COMPARED).text
    await reconcile(world.services)
    assert Code.TARGET_NOT_COMPARED in codes(await look(world))
    world.target.down = False
    await reconcile(world.services)
    assert codes(await look(world)) == []
