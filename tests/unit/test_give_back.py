"""Giving back: always possible, by whoever it belongs to, and proven before the answer."""

import pytest

from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.errors import ConflictError, DeniedError, NotFoundError
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import give_back
from tests.fakes.world import World, make_world


async def world_with_incident() -> World:
    world = await make_world()
    await world.incident()
    return world


@pytest.mark.parametrize("used, reason", [(False, EndReason.RETURNED), (True, EndReason.USED)])
async def test_returning_kills_sessions_and_accounts_before_it_answers(used, reason):
    """When the answer comes, the credential is proven dead; the review has begun."""
    world = await world_with_incident()
    made = await world.active()
    inside = await world.credential(made.id)
    session = world.target.open_session(inside.credential.username, inside.credential.secret)
    after = await give_back.give_back(world.services, world.caller("alice"), made.id, used=used)
    assert (after.state, after.end_reason) == (ActivationState.ENDED, reason)
    assert after.review is not None
    assert not session.alive
    assert not world.target.accounts
    assert [x.state for x in await world.leases(made.id)] == [LeaseState.ENDED]


@pytest.mark.parametrize("who", ["bob", "gina", "deployer"])
async def test_nobody_returns_what_is_not_theirs(who):
    """Others stop access with kill, which says so."""
    world = await world_with_incident()
    made = await world.active()
    for act in (give_back.give_back, give_back.withdraw):
        with pytest.raises(DeniedError, match="belongs to alice"):
            await act(world.services, world.caller(who), made.id)
    assert (await world.get(made.id)).state is ActivationState.ACTIVE


async def test_whoever_answers_for_a_machine_may_return_for_it():
    """Alice ends what her agent holds; the agent of hers does not end what she holds."""
    world = await world_with_incident()
    made = await world.active("fixer")
    after = await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert after.state is ActivationState.ENDED
    own = await world.active()
    with pytest.raises(DeniedError):
        await give_back.give_back(world.services, world.caller("fixer"), own.id)


async def test_returning_twice_says_that_it_is_over():
    """The second return changes nothing."""
    world = await world_with_incident()
    made = await world.active()
    first = await give_back.give_back(world.services, world.caller("alice"), made.id)
    with pytest.raises(ConflictError, match="is ended, not active"):
        await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert await world.get(made.id) == first


async def test_a_target_that_does_not_answer_does_not_hold_up_the_return():
    """It is ended and due; what is not proven dead stays ending and loud."""
    world = await world_with_incident()
    made = await world.active()
    world.target.down = True
    after = await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert after.state is ActivationState.ENDED
    (lease,) = await world.leases(made.id)
    assert lease.state is LeaseState.ENDING
    assert not lease.box
    assert any(n.kind == "lease:stuck" for n in world.notices.said)


async def test_what_has_not_begun_is_withdrawn_and_not_returned():
    """Each verb says which other one is meant."""
    world = await world_with_incident()
    for made in (await world.ask(), await world.approved()):
        with pytest.raises(ConflictError, match="not active"):
            await give_back.give_back(world.services, world.caller("alice"), made.id)
        after = await give_back.withdraw(world.services, world.caller("alice"), made.id)
        assert after.state is ActivationState.WITHDRAWN
        with pytest.raises(ConflictError):
            await give_back.withdraw(world.services, world.caller("alice"), made.id)
    active = await world.active()
    with pytest.raises(ConflictError) as refused:
        await give_back.withdraw(world.services, world.caller("alice"), active.id)
    assert "callpoint return" in refused.value.way_out


async def test_an_unknown_activation_is_not_found():
    """There is nothing of that name."""
    world = await world_with_incident()
    with pytest.raises(NotFoundError):
        await give_back.give_back(world.services, world.caller("alice"), "a23456789012")
