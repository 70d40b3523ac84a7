"""A target that no longer exists: two governors close its leases, and nothing else does."""

import pytest

from callpoint.domain.activation import ActivationState
from callpoint.domain.errors import CallpointError, ConflictError, DeniedError, RequestError
from callpoint.domain.lease import LeaseState
from callpoint.domain.review import Judgement, ReviewVerdict
from callpoint.lifecycle import give_back, review, sweep
from callpoint.lifecycle.attest import LEAST_ATTEMPTS, attest
from callpoint.lifecycle.proof import checkpoint_line, newest_checkpoint
from tests.fakes.world import World, make_world

GONE = "the cluster was deleted, change 4711"


async def lost() -> tuple[World, str, str]:
    """An ended activation whose target has not answered for a while."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.target.down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    for _ in range(LEAST_ATTEMPTS):
        world.clock.advance(world.services.limits.backoff_cap)
        await sweep.sweep(world.services)
    (lease,) = await world.leases(made.id)
    assert (lease.state, lease.is_silent) == (LeaseState.ENDING, True)
    return world, made.id, lease.id


async def say(world: World, who: str, lease: str):
    world.clock.advance(world.services.limits.backoff_cap)
    return await attest(world.services, world.caller(who), lease, GONE)


async def test_two_governors_close_a_lease_whose_target_is_gone():
    """The second governor's word ends it, as a finding; then the review can close."""
    world, activation, lease = await lost()
    assert (await say(world, "gina", lease)).state is LeaseState.ENDING
    closed = await say(world, "hugo", lease)
    assert (closed.state, closed.evidence) == (LeaseState.ENDED, "attested by gina, hugo")
    assert not closed.probe
    (finding,) = (await world.get(activation)).findings
    assert finding.kind == "attested"
    said = Judgement(ReviewVerdict.JUSTIFIED, await checkpoint(world), ("the target is gone",))
    made = await review.close(world.services, world.caller("erin"), activation, said)
    assert made.state is ActivationState.REVIEWED


async def checkpoint(world: World) -> str:
    return await world.store.read(
        lambda view: checkpoint_line(newest_checkpoint(view, world.services.installation))
    )


async def test_one_governor_is_not_two():
    """The same person's second word counts for nothing."""
    world, _, lease = await lost()
    await say(world, "gina", lease)
    with pytest.raises(ConflictError, match="has attested"):
        await say(world, "gina", lease)
    (held,) = await world.leases(lease[6:18])
    assert held.state is LeaseState.ENDING


@pytest.mark.parametrize("who", ["alice", "carol", "fixer"])
async def test_only_governors_attest(who: str):
    """Requester, approver and agent have no say, and the attempt is on record."""
    world, _, lease = await lost()
    with pytest.raises(DeniedError, match="cannot attest"):
        await say(world, who, lease)
    assert world.store.state.streams["refusals"]


async def test_a_target_that_answers_is_proven_instead():
    """The target is tried once more first: if it answers, nobody's word is needed."""
    world, activation, lease = await lost()
    world.target.down = False
    with pytest.raises(ConflictError, match="ended"):
        await say(world, "gina", lease)
    (held,) = await world.leases(activation)
    assert (held.state, held.evidence) == (LeaseState.ENDED, "absent, refused")


async def test_a_target_that_answers_no_is_not_gone():
    """A target that refuses to kill sessions is there: it is repaired, not signed off."""
    world, activation, lease = await lost()
    world.target.down = False
    (held,) = await world.leases(activation)
    world.target.stubborn.add(held.plan.account)
    credential = world.target.accounts[held.plan.account]
    assert credential.secret
    world.target.open_session(credential.name, credential.secret)
    with pytest.raises(ConflictError, match="answers"):
        await say(world, "gina", lease)


async def test_a_first_silence_is_not_enough():
    """Right after the first failed attempt nobody can attest."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.target.down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    (lease,) = await world.leases(made.id)
    with pytest.raises(ConflictError, match="times only"):
        await attest(world.services, world.caller("gina"), lease.id, GONE)


@pytest.mark.parametrize("words", ["", "  ", "x" * 501])
async def test_it_takes_words(words: str):
    """An attestation without saying how one knows is refused."""
    world, _, lease = await lost()
    with pytest.raises(RequestError):
        await attest(world.services, world.caller("gina"), lease, words)


async def test_a_live_lease_is_not_attested_away():
    """What has not ended cannot be closed by anybody's word."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    (lease,) = await world.leases(made.id)
    with pytest.raises(CallpointError):
        await attest(world.services, world.caller("gina"), lease.id, GONE)
