"""A static account: handed out for one activation, rotated and proven at its end."""

import asyncio
from datetime import timedelta

import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import EndReason
from callpoint.domain.epoch import Began
from callpoint.domain.errors import ConflictError, TargetError
from callpoint.domain.kill import Scope
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import epoch, give_back, incidents, issue, kill, reconcile, sweep
from tests.fakes.checked_out import (
    ACCOUNT,
    TARGET,
    in_force,
    make_place,
    row_of,
    static_of,
    stored_secrets,
)
from tests.fakes.invariants import told
from tests.fakes.simulated_static import OWNERS_SECRET
from tests.fakes.simulated_target import LoginRefusedError


async def returned(world, key):
    return await give_back.give_back(world.services, world.caller("alice"), key)


async def test_a_static_account_is_handed_out_and_rotated_at_its_return():
    """The holder's secret is fresh, works while it is out, and is refused and replaced after."""
    stage = await make_place()
    world, target = stage.node(), stage.targets[TARGET]
    made = await world.active()
    given = (await world.credential(made.id)).credential
    assert given.username == ACCOUNT
    assert given.secret not in {OWNERS_SECRET, ""}
    session = target.open_session(ACCOUNT, given.secret)
    await returned(world, made.id)
    (lease,) = stage.leases(made.id)
    assert (lease.state, lease.evidence) == (LeaseState.ENDED, "rotated, old refused")
    assert not session.alive
    with pytest.raises(LoginRefusedError, match="28P01"):
        target.open_session(ACCOUNT, given.secret)
    assert in_force(stage) == stored_secrets(world, stage)[-1]
    row = row_of(stage)
    assert row is not None
    assert (row.lease, row.is_settled) == ("", True)


@pytest.mark.parametrize("how", ["expiry", "kill", "incident"])
async def test_whatever_ends_it_rotates(how):
    """Expiry, a kill and a resolved incident end a checked-out account as a return does."""
    stage = await make_place()
    world = stage.node()
    made = await world.active()
    before = in_force(stage)
    if how == "expiry":
        stage.clock.advance(timedelta(minutes=31))
        await sweep.sweep(world.services)
    elif how == "kill":
        await kill.kill(world.services, world.caller("bob"), Scope.EVERYTHING)
    else:
        await incidents.resolve(world.services, world.caller("bob"), "inc-7")
        await sweep.sweep(world.services)
    (lease,) = stage.leases(made.id)
    assert (lease.state, lease.evidence) == (LeaseState.ENDED, "rotated, old refused")
    assert in_force(stage) != before
    assert not stage.targets[TARGET].live_credentials()


async def test_a_pending_secret_is_under_a_checkpoint_before_the_target_hears_of_it(monkeypatch):
    """Both times: the event that names the box is in the log when the target is called."""
    stage = await make_place()
    world, seen = stage.node(), []
    original = static_of(stage).take_effect

    def look(plan, rotation):
        prepared = [e for e in told(stage.state, ev.SecretPrepared) if not stage.state.spool]
        seen.append((prepared[-1].generation == rotation.generation, prepared[-1].purpose))
        original(plan, rotation)

    monkeypatch.setattr(static_of(stage), "take_effect", look)
    made = await world.active()
    await returned(world, made.id)
    assert seen == [(True, "check-out"), (True, "check-in")]


async def test_one_account_serves_one_activation_at_a_time():
    """A second activation is refused with who has it, also when both are taken up together."""
    stage = await make_place()
    world = stage.node()
    first, second = await world.approved("alice"), await world.approved("bob")
    results = await asyncio.gather(
        issue.issue(world.services, world.caller("alice"), first.id),
        issue.issue(stage.node().services, world.caller("bob"), second.id),
        return_exceptions=True,
    )
    (refused,) = [r for r in results if isinstance(r, BaseException)]
    assert isinstance(refused, ConflictError)
    assert "is checked out by lease" in refused.message
    assert len(static_of(stage).log) == 1
    (winner,) = [r for r in results if not isinstance(r, BaseException)]
    who = winner.request.principal
    await give_back.give_back(world.services, world.caller(who), winner.id)
    loser = second if who == "alice" else first
    again = await issue.issue(world.services, world.caller(loser.request.principal), loser.id)
    assert again.id == loser.id


async def test_an_account_that_is_not_proven_rotated_stays_checked_out():
    """While the target is silent at check-in nobody else gets the account; then it is free."""
    stage = await make_place()
    world, target = stage.node(), stage.targets[TARGET]
    made, waiting = await world.active(), await world.approved("bob")
    target.down = True
    await returned(world, made.id)
    target.down = False
    with pytest.raises(ConflictError, match="checked out"):
        await issue.issue(world.services, world.caller("bob"), waiting.id)
    stage.clock.advance(timedelta(minutes=2))
    await sweep.sweep(world.services)
    made = await issue.issue(world.services, world.caller("bob"), waiting.id)
    assert (await world.credential(made.id, "bob")).credential.secret == in_force(stage)


async def test_whoever_was_on_the_account_before_is_put_out():
    """Sessions of earlier users end at check-out; when they do not, nothing is handed out."""
    stage = await make_place()
    world, target = stage.node(), stage.targets[TARGET]
    old = target.open_session(ACCOUNT, OWNERS_SECRET)
    made = await world.active()
    assert not old.alive
    await returned(world, made.id)
    again = await world.approved()
    target.accounts[ACCOUNT].enabled = True
    target.open_session(ACCOUNT, in_force(stage) or "")
    target.stubborn.add(ACCOUNT)
    with pytest.raises(TargetError, match="do not end"):
        await issue.issue(world.services, world.caller("alice"), again.id)
    assert (await world.get(again.id)).end_reason is EndReason.ISSUE_FAILED


async def test_a_target_that_shows_no_sessions_is_said_so_in_the_evidence():
    """Rotation is proven, and the evidence tells that nobody could look at sessions."""
    stage = await make_place()
    static_of(stage).sees_sessions = False
    world = stage.node()
    made = await world.active()
    await returned(world, made.id)
    (lease,) = stage.leases(made.id)
    assert lease.evidence == "rotated, old refused, sessions not seen"


async def test_reconciliation_takes_a_static_account_for_neither_unknown_nor_missing():
    """It carries no handle; comparing leaves the lease live and the account alone."""
    stage = await make_place()
    world = stage.node()
    made = await world.active()
    found = await reconcile.reconcile(world.services)
    assert (found.unknown, found.missing) == ((), ())
    assert stage.leases(made.id)[0].state is LeaseState.LIVE


async def test_no_secret_is_in_the_log_or_the_store():
    """Of the secrets that were in force none stands in an entry, a record or a notice."""
    stage = await make_place()
    world = stage.node()
    made = await world.active()
    await returned(world, made.id)
    text = (
        b"".join(stage.state.leaves).decode() + repr(stage.state.records) + repr(stage.notices.said)
    )
    secrets = [secret for _, secret, _ in static_of(stage).log]
    assert len(secrets) == 2
    assert not any(secret in text for secret in secrets)


async def test_a_secret_changed_by_hand_at_rest_is_an_alarm_once():
    """Looked at every hour, not every minute; told once; the next check-out makes it good."""
    stage = await make_place()
    world, static = stage.node(), static_of(stage)
    made = await world.active()
    await returned(world, made.id)
    stage.clock.advance(timedelta(minutes=61))
    assert (await reconcile.reconcile(world.services)).changed == ()
    static.change_own(ACCOUNT, "of-somebody-else")
    assert (await reconcile.reconcile(world.services)).changed == ()
    for _ in range(2):
        stage.clock.advance(timedelta(minutes=61))
        assert (await reconcile.reconcile(world.services)).changed == (ACCOUNT,)
    assert [e.account for e in told(stage.state, ev.StaticSecretChanged)] == [ACCOUNT]
    assert [n.kind for n in stage.notices.said].count("secret:changed") == 1
    again = await world.active()
    await returned(world, again.id)
    stage.clock.advance(timedelta(minutes=61))
    assert (await reconcile.reconcile(world.services)).changed == ()
    assert in_force(stage) in stored_secrets(world, stage)


async def test_a_secret_that_a_restored_copy_does_not_know_is_an_alarm_at_once():
    """Who took it out in the lost range still has it: the first comparison afterwards says so."""
    stage = await make_place()
    world, static = stage.node(), static_of(stage)
    made = await world.active()
    await returned(world, made.id)
    assert (await reconcile.reconcile(world.services)).changed == ()
    stage.clock.advance(timedelta(minutes=1))
    static.change_own(ACCOUNT, "of-the-lost-range")
    await epoch.begin(stage.store, Began.RECOVERED, actor="gina", reason="an older copy")
    assert (await reconcile.reconcile(world.services)).changed == (ACCOUNT,)
    assert (await reconcile.reconcile(world.services)).changed == ()


async def test_a_silent_target_or_an_account_that_is_out_is_no_alarm():
    """Silence says nothing about a secret, and a holder may change it: check-in sees to that."""
    stage = await make_place()
    world = stage.node()
    made = await world.active()
    static_of(stage).change_own(ACCOUNT, "of-the-holder")
    assert (await reconcile.reconcile(world.services)).changed == ()
    await returned(world, made.id)
    stage.clock.advance(timedelta(minutes=61))
    stage.targets[TARGET].fail("probe", "not done", times=5)
    assert (await reconcile.reconcile(world.services)).changed == ()
    assert told(stage.state, ev.StaticSecretChanged) == []
