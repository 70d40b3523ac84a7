"""A holder, a second requester and somebody who writes to the database, around a static account."""

import base64
from datetime import timedelta

import msgspec
import pytest

from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.lease import LeaseState
from callpoint.domain.static_secret import (
    Candidate,
    Purpose,
    StaticSecret,
    static_secret_key,
)
from callpoint.lifecycle import custody, give_back, issue, sweep
from tests.fakes.checked_out import (
    ACCOUNT,
    TARGET,
    in_force,
    make_place,
    row_of,
    static_of,
    stored_secrets,
)
from tests.fakes.simulated_target import LoginRefusedError

KEY = (StaticSecret, static_secret_key(TARGET, ACCOUNT))
OWN = "chosen-by-the-attacker"


def written(stage, **changes):
    """What somebody with the database's password does to the account's row."""
    row, version = stage.state.records[KEY]
    stage.state.records[KEY] = (msgspec.structs.replace(row, **changes), version)


async def in_use(stage):
    world = stage.node()
    made = await world.active()
    return world, made, (await world.credential(made.id)).credential


async def returned(world, made):
    await give_back.give_back(world.services, world.caller("alice"), made.id)


async def test_a_holder_who_changed_the_secret_and_stayed_is_out():
    """Neither the handed out secret nor the holder's own opens anything; its session is over."""
    stage = await make_place()
    world, made, given = await in_use(stage)
    target = stage.targets[TARGET]
    static_of(stage).change_own(ACCOUNT, OWN)
    session = target.open_session(ACCOUNT, OWN)
    await returned(world, made)
    assert not session.alive
    for word in (given.secret, OWN):
        with pytest.raises(LoginRefusedError, match="28P01"):
            target.open_session(ACCOUNT, word)
    (lease,) = stage.leases(made.id)
    assert (lease.state, lease.probed) == (LeaseState.ENDED, "refused")
    assert in_force(stage) in stored_secrets(world, stage)


async def test_a_pending_secret_planted_in_the_database_is_never_set():
    """At check-in the target gets what we drew, not what a row says that we drew."""
    stage = await make_place()
    world, made, _ = await in_use(stage)
    stage.targets[TARGET].down = True
    await returned(world, made)
    services = world.services
    box = base64.b64encode(services.sealer.seal(OWN.encode(), services.vault.recipient)).decode()
    row = row_of(stage)
    assert row is not None
    newest = row.candidates[-1]
    planted = Candidate(newest.generation, box, newest.at, Purpose.CHECK_IN)
    written(stage, candidates=(*row.candidates[:-1], planted))
    stage.targets[TARGET].down = False
    stage.clock.advance(timedelta(seconds=121))
    await sweep.sweep(stage.node().services)
    assert stage.leases(made.id)[0].state is LeaseState.ENDED
    assert OWN not in {secret for _, secret, _ in static_of(stage).log}
    assert in_force(stage) in stored_secrets(world, stage)


@pytest.mark.parametrize("how", ["cleared", "somebody else's", "gone"])
async def test_a_row_changed_by_hand_neither_keeps_access_alive_nor_gives_it_twice(how):
    """The holder's end comes all the same, and until then nobody else gets the account."""
    stage = await make_place()
    world, made, given = await in_use(stage)
    waiting = await world.approved("bob")
    if how == "gone":
        del stage.state.records[KEY]
    else:
        written(stage, lease="" if how == "cleared" else "tstincsomebodyelse00")
    with pytest.raises(ConflictError, match="is checked out by lease"):
        await issue.issue(world.services, world.caller("bob"), waiting.id)
    assert in_force(stage) == given.secret
    await returned(world, made)
    (lease,) = stage.leases(made.id)
    assert (lease.state, lease.evidence) == (LeaseState.ENDED, "rotated, old refused")
    assert in_force(stage) != given.secret
    assert await issue.issue(world.services, world.caller("bob"), waiting.id) is not None


async def test_a_row_that_does_not_parse_is_begun_anew_at_check_in(monkeypatch):
    """What takes away does not stop at it; the next secret is stored and set."""
    stage = await make_place()
    world, made, given = await in_use(stage)

    def spoilt(view, plan):
        raise TamperError("the stored staticsecret does not parse")

    monkeypatch.setattr(custody, "find", spoilt)
    await returned(world, made)
    assert stage.leases(made.id)[0].evidence == "rotated, old refused"
    assert stored_secrets(world, stage) == [in_force(stage)]
    assert in_force(stage) != given.secret


async def test_the_secret_of_a_check_out_that_failed_opens_nothing_afterwards():
    """A process died after setting it: nobody was told, and recovery replaces it."""
    stage = await make_place()
    world = stage.node()
    stage.targets[TARGET].fail("probe", "done but unanswered")
    made = await world.approved()
    with pytest.raises(Exception, match="unknown"):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert len(static_of(stage).log) == 2
    first = static_of(stage).log[0][1]
    with pytest.raises(LoginRefusedError):
        stage.targets[TARGET].open_session(ACCOUNT, first)
