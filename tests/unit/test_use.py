"""Fetching the sealed credential: as often as needed, by the requester alone, until it ends."""

from datetime import timedelta

import msgspec
import pyrage
import pytest

from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError, DeniedError, NotFoundError
from callpoint.lifecycle import give_back, incidents, publish, use
from callpoint.ports.incidents import Report
from tests.fakes.clock import START
from tests.fakes.invariants import check_revealed, history
from tests.fakes.simulated_target import LoginRefusedError
from tests.fakes.stage import BOTH, PAGER, Deciders, make_stage
from tests.fakes.world import World, make_world, signed

DECIDERS = Deciders()


async def active() -> tuple[World, str, str]:
    world = await make_world()
    await world.incident()
    made = await world.active()
    return world, made.id, (await world.leases(made.id))[0].id


async def test_the_requester_opens_the_box_and_logs_in():
    """What is inside names what it is for, and works on the target."""
    world, key, lease = await active()
    inside = await world.credential(key)
    assert (inside.activation, inside.lease, inside.target) == (key, lease, "orders-db")
    world.target.open_session(inside.credential.username, inside.credential.secret).work()
    check_revealed(world.store.state, lease)


async def test_the_box_opens_with_the_one_time_key_of_the_request_only():
    """Whoever steals the box, or the database, has nothing."""
    world, key, _ = await active()
    world.keys[key] = pyrage.x25519.Identity.generate()
    with pytest.raises(pyrage.DecryptError):
        await world.credential(key)


async def test_each_fetch_is_a_use_on_record():
    """The same box may be fetched again; every time is an event and counts."""
    world, key, lease = await active()
    boxes = {(await use.reveal(world.services, world.caller("alice"), lease)).box for _ in range(3)}
    assert len(boxes) == 1
    assert (await world.get(key)).uses == 3
    told = [
        i.event for i in history(world.store.state) if isinstance(i.event, ev.CredentialRevealed)
    ]
    assert len(told) == 3


@pytest.mark.parametrize("who", ["bob", "carol", "fixer", "gina"])
async def test_nobody_else_fetches_it(who):
    """Not the approvers, not a colleague, not an agent of the requester; and it is on record."""
    world, _, lease = await active()
    with pytest.raises(DeniedError, match="only alice"):
        await use.reveal(world.services, world.caller(who), lease)
    refused = [
        i.event for i in history(world.store.state) if isinstance(i.event, ev.RequestRefused)
    ]
    assert [(e.actor, e.about) for e in refused] == [(who, lease)]


async def test_after_the_end_there_is_nothing_to_fetch_and_the_old_one_is_dead():
    """A use after return needs a new activation, and the kept password is refused."""
    world, key, lease = await active()
    inside = await world.credential(key)
    await give_back.give_back(world.services, world.caller("alice"), key)
    with pytest.raises(ConflictError, match=r"is over: activation ended \(returned\)"):
        await use.reveal(world.services, world.caller("alice"), lease)
    with pytest.raises(LoginRefusedError):
        world.target.open_session(inside.credential.username, inside.credential.secret)


async def test_expiry_is_checked_at_use_and_not_only_swept():
    """A dead sweeper does not lengthen anything (I3)."""
    world, _, lease = await active()
    world.clock.advance(timedelta(minutes=30))
    with pytest.raises(ConflictError, match="expired"):
        await use.reveal(world.services, world.caller("alice"), lease)


async def test_without_an_open_incident_nothing_is_handed_out():
    """A source that fell silent stops the next fetch, though it ends nothing."""
    stage = await make_stage(idle=None, deciders=DECIDERS)
    world = stage.node()
    item = Report("pager-1", True, "sev1", BOTH, START)  # type: ignore[arg-type]  # as it arrives
    (reported,) = await incidents.report(world.services, PAGER, (item,), b"{}")
    made = await world.active(incident=reported.id)
    assert len(await use.reveal_all(world.services, world.caller("alice"), made.id)) == 2
    stage.clock.advance(timedelta(minutes=21))
    with pytest.raises(DeniedError):
        await use.reveal_all(world.services, world.caller("alice"), made.id)


async def test_rules_that_were_tightened_meanwhile_count_at_once():
    """Who is not eligible any more fetches nothing, also of what was issued before."""
    world, _, lease = await active()
    old = world.bundle
    groups = old.configuration.groups
    smaller = msgspec.structs.replace(groups["oncall"], members=("bob",))
    rules = msgspec.structs.replace(old.configuration, groups={**groups, "oncall": smaller})
    new = msgspec.structs.replace(old, number=2, previous=old.digest(), configuration=rules)
    await publish.publish(
        world.services, world.caller("gina"), new, signed(new, "gina", "hugo"), lambda _: None
    )
    with pytest.raises(DeniedError) as refused:
        await use.reveal(world.services, world.caller("alice"), lease)
    assert any("only-the-eligible" in reason for reason in refused.value.reasons)


async def test_an_unknown_lease_and_an_activation_without_one_are_said_so():
    """There is nothing of that name, or nothing live."""
    world, _, _ = await active()
    with pytest.raises(NotFoundError):
        await use.reveal(world.services, world.caller("alice"), "nothing")
    pending = await world.ask()
    with pytest.raises(ConflictError, match="no live credential"):
        await use.reveal_all(world.services, world.caller("alice"), pending.id)
