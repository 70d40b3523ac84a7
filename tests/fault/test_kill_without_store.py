"""A kill while the store is down (I13): from what the node and the targets know, then merged."""

import asyncio
from datetime import timedelta

import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.errors import (
    DeniedError,
    RequestError,
    StoreUnavailableError,
    UnavailableError,
)
from callpoint.domain.kill import Scope
from callpoint.lifecycle import give_back, issue, kill, reconcile, sweep, use
from callpoint.lifecycle.merge import tend
from callpoint.lifecycle.overdue import revoke_overdue
from tests.fakes.invariants import check_always, check_settled, told
from tests.fakes.mortal import ProcessDiedError
from tests.fakes.signed_order import alive, held_by, pull, tombstone, with_home

S = Scope


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    "scope, about, covered",
    [
        (S.ACTIVATION, "alice", {"alice"}),
        (S.PRINCIPAL, "alice", {"alice", "fixer"}),
        (S.PRINCIPAL, "fixer", {"fixer"}),
        (S.TARGET, "orders-db", {"alice", "bob"}),
        (S.INCIDENT, "INC-8", {"fixer"}),
        (S.EVERYTHING, "", {"alice", "bob", "fixer"}),
    ],
)
async def test_what_a_scope_covers_dies_at_the_targets_and_in_the_store_later(
    tmp_path, scope, about, covered, restarted
):
    """As the kill in the store does; also by a node that was restarted meanwhile."""
    stage, world, ids = await held_by(tmp_path)
    stage.store.dead = True
    if restarted:
        world = with_home(world, tmp_path)
    name = ids.get(about, about) if scope is S.ACTIVATION else about
    killed = await pull(world, "carol", scope, name)
    assert killed.without_store
    assert killed.tombstone
    assert (killed.alive, killed.unattributed, killed.unreachable) == ((), (), ())
    assert set(killed.activations) == {ids[who] for who in covered}
    assert alive(stage) == {ids[who] for who in ids.keys() - covered}
    stage.store.dead = False
    assert (await tend(world.services)).merged == (killed.tombstone,)
    for who, key in ids.items():
        found = await world.get(key)
        assert (found.end_reason is EndReason.KILLED) == (who in covered)
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)
    ended = told(stage.state, ev.LeaseEnded)
    assert {e.evidence for e in ended} == {"absent, refused"}
    (order,) = told(stage.state, ev.KillOrdered)
    (merged,) = told(stage.state, ev.TombstoneMerged)
    assert order.actor == merged.actor == "carol"
    assert merged.tombstone == killed.tombstone


async def test_nothing_is_given_before_the_merge_and_everything_after_it(tmp_path):
    """Neither an issue nor a reveal, also after a restart; the error names the tombstone."""
    stage, world, ids = await held_by(tmp_path)
    ready = await world.approved("alice", incident="inc-8")
    (lease,) = await world.leases(ids["bob"])
    stage.store.dead = True
    killed = await pull(world, "gina", S.ACTIVATION, ids["fixer"])
    stage.store.dead = False
    for node in (world, with_home(world, tmp_path)):
        for attempt in (
            issue.issue(node.services, node.caller("alice"), ready.id),
            use.reveal(node.services, node.caller("bob"), lease.id),
        ):
            with pytest.raises(UnavailableError, match=killed.tombstone):
                await attempt
    check_always(stage.state, stage.targets)
    assert (await reconcile.reconcile(world.services)).missing == (), "the kill is why it is gone"
    await tend(world.services)
    await use.reveal(world.services, world.caller("bob"), lease.id)
    assert (await issue.issue(world.services, world.caller("alice"), ready.id)).not_after
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)


async def test_an_issue_that_was_under_way_at_the_kill_does_not_go_live(tmp_path):
    """The account that a slow target makes after the kill looked is taken away by who made it."""
    stage, world, _ = await held_by(tmp_path)
    ready = await world.approved("alice", incident="inc-8")

    class KillNow:
        def __init__(self, method: str) -> None:
            self.is_issue = method == "issue"

        def __enter__(self) -> None:
            if self.is_issue:
                world.services.node.tombstones.hold(tombstone(world, "bob", S.EVERYTHING))

        def __exit__(self, *_: object) -> None:
            return None

    stage.targets["orders-db"].around = KillNow
    with pytest.raises(UnavailableError, match="not merged yet"):
        await issue.issue(world.services, world.caller("alice"), ready.id)
    assert (await world.get(ready.id)).end_reason is EndReason.ISSUE_FAILED
    await tend(world.services)
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)
    assert alive(stage) == set()


async def test_accounts_that_the_node_does_not_know_are_killed_or_reported(tmp_path):
    """Everything and a target take all of ours; a narrower scope says which it could not tell."""
    stage, world, ids = await held_by(tmp_path)
    handle = "tstinc" + "zzzzzzzzzzzz" + "00"
    stage.targets["orders-db"].plant(handle, lifetime=timedelta(hours=1))
    stage.store.dead = True
    killed = await pull(world, "bob", S.PRINCIPAL, "alice")
    assert killed.unattributed == (f"cp_{handle} on orders-db",)
    assert "zzzzzzzzzzzz" in alive(stage)
    killed = await pull(world, "bob", S.TARGET, "billing-db")
    assert killed.unattributed == ()
    killed = await pull(world, "bob", S.TARGET, "orders-db")
    assert f"cp_{handle} on orders-db" in killed.dead
    forgetful = with_home(world, tmp_path / "lost")
    (tmp_path / "lost").mkdir()
    killed = await pull(forgetful, "bob", S.PRINCIPAL, "alice")
    assert killed.dead == ()
    killed = await pull(forgetful, "bob", S.ACTIVATION, ids["fixer"])
    assert killed.dead == (), "it died with the kill of billing-db"
    assert alive(stage) == set()


async def test_what_does_not_die_is_told_and_tried_again_while_the_store_is_down(tmp_path):
    """A silent target is unreachable, a stubborn session alive; both die later."""
    stage, world, ids = await held_by(tmp_path)
    orders, billing = stage.targets["orders-db"], stage.targets["billing-db"]
    account = next(iter(orders.accounts.values()))
    assert account.secret is not None
    session = orders.open_session(account.name, account.secret)
    orders.stubborn = {account.name}
    billing.down = True
    stage.store.dead = True
    killed = await pull(world, "carol", S.EVERYTHING)
    assert killed.unreachable == ("billing-db",)
    assert {lease[6:18] for lease in killed.alive} == {ids["alice"], ids["fixer"]}
    assert {lease[6:18] for lease in killed.alive} & set(killed.activations)
    done = await tend(world.services)
    assert done.merged == ()
    assert "store" in done.errors[0]
    assert stage.targets["orders-db"].live_sessions() == [session]
    orders.stubborn.clear()
    billing.down = False
    await tend(world.services)
    assert alive(stage) == set()
    assert not session.alive
    calls = len(orders.calls) + len(billing.calls)
    await tend(world.services)
    assert len(orders.calls) + len(billing.calls) == calls, "what is settled is left alone"
    stage.store.dead = False
    await tend(world.services)
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)


async def test_a_machine_kills_only_what_the_node_knows_to_be_its_own(tmp_path):
    """Wider, or unknown, it is refused and said; nothing dies and no tombstone is left."""
    stage, world, ids = await held_by(tmp_path)
    stage.store.dead = True
    for scope, about in [
        (S.EVERYTHING, ""),
        (S.TARGET, "billing-db"),
        (S.PRINCIPAL, "alice"),
        (S.ACTIVATION, ids["alice"]),
        (S.ACTIVATION, "zzzzzzzzzzzz"),
    ]:
        with pytest.raises(DeniedError, match="its own"):
            await pull(world, "fixer", scope, about)
    assert stage.notices.said[-1].kind == "kill:refused"
    assert alive(stage) == set(ids.values())
    assert world.services.node.tombstones.unmerged() == ()
    killed = await pull(world, "fixer", S.ACTIVATION, ids["fixer"])
    assert killed.activations == (ids["fixer"],)
    assert alive(stage) == {ids["alice"], ids["bob"]}
    stage.store.dead = False
    assert (await tend(world.services)).merged == (killed.tombstone,)


async def test_a_full_disk_stops_no_kill_and_the_answer_says_so(tmp_path):
    """It is held in memory, nothing is given, it is written when there is room, and merged."""
    stage, world, ids = await held_by(tmp_path)
    ready = await world.approved("alice", incident="inc-8")
    (tmp_path / "tombstones").write_text("in the way")
    stage.store.dead = True
    killed = await pull(world, "bob", S.ACTIVATION, ids["alice"])
    assert killed.tombstone == ""
    assert "no tombstone could be written" in killed.trouble[0]
    assert ids["alice"] not in alive(stage)
    assert "NO TOMBSTONE" in stage.notices.said[-1].text
    with pytest.raises(UnavailableError):
        await issue.issue(world.services, world.caller("alice"), ready.id)
    (tmp_path / "tombstones").unlink()
    await tend(world.services)
    assert len(list((tmp_path / "tombstones").glob("*.json"))) == 1
    stage.store.dead = False
    assert len((await tend(with_home(world, tmp_path).services)).merged) == 1


async def test_a_picture_that_cannot_be_kept_gives_nothing(tmp_path):
    """What a restarted node could not find again is not issued; the approval is not spent."""
    stage, world, _ = await held_by(tmp_path)
    ready = await world.approved("alice", incident="inc-8")
    picture = tmp_path / "known-leases.jsonl"
    picture.unlink()
    picture.mkdir()
    with pytest.raises(StoreUnavailableError, match="known-leases"):
        await issue.issue(world.services, world.caller("alice"), ready.id)
    again = await world.approved("bob", incident="inc-8")
    with pytest.raises(StoreUnavailableError, match="known-leases"):
        await issue.issue(world.services, world.caller("bob"), again.id)
    assert (await world.get(again.id)).state is ActivationState.APPROVED
    picture.rmdir()
    await world.services.node.picture.follow(world.services.store)
    assert (await issue.issue(world.services, world.caller("bob"), again.id)).not_after
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)


async def test_the_picture_follows_the_store_and_survives_a_torn_file(tmp_path):
    """What another node issued becomes known, what ended is forgotten, a torn line is skipped."""
    stage, world, ids = await held_by(tmp_path)
    other = with_home(stage.node(), tmp_path / "b")
    (tmp_path / "b").mkdir()
    await other.services.node.picture.follow(stage.store)
    assert other.services.node.picture.leases() == world.services.node.picture.leases()
    await kill.kill(world.services, world.caller("bob"), S.ACTIVATION, ids["alice"])
    await other.services.node.picture.follow(stage.store)
    (first, second) = other.services.node.picture.leases()
    assert {first.principal, second.principal} == {"bob", "fixer"}
    file = tmp_path / "b" / "known-leases.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    secrets = [a.secret for t in stage.targets.values() for a in t.accounts.values()]
    assert not any(secret and secret in file.read_text() for secret in secrets)
    file.write_text(file.read_text()[:-40])
    assert len(with_home(other, tmp_path / "b").services.node.picture.leases()) == 1


async def test_what_is_over_dies_at_its_target_while_the_store_is_down(tmp_path):
    """By time or by a revocation that had begun; the store's own proof follows, with the reason."""
    stage, world, ids = await held_by(tmp_path)
    orders, billing = stage.targets["orders-db"], stage.targets["billing-db"]
    billing.down = True
    await give_back.give_back(world.services, world.caller("fixer"), ids["fixer"])
    await world.services.node.picture.follow(stage.store)
    assert await revoke_overdue(world.services) == (), "the store can be told, so it is"
    stage.store.dead = True
    assert await revoke_overdue(world.services) == (), "its target is silent"
    billing.down = False
    (gone,) = await revoke_overdue(world.services)
    assert gone[6:18] == ids["fixer"]
    assert await revoke_overdue(world.services) == (), "what is gone is left alone"
    stage.clock.advance(timedelta(minutes=30, seconds=11))
    assert {handle[6:18] for handle in await revoke_overdue(world.services)} == {
        *(ids["alice"], ids["bob"])
    }
    assert alive(stage) == set()
    assert not orders.live_sessions()
    stage.store.dead = False
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)
    reasons = {who: (await world.get(key)).end_reason for who, key in ids.items()}
    assert reasons == {
        "alice": EndReason.EXPIRED,
        "bob": EndReason.EXPIRED,
        "fixer": EndReason.RETURNED,
    }


async def test_a_death_anywhere_in_kill_and_merge_leaves_an_order_that_comes_into_force(
    tmp_path, monkeypatch
):
    """Killed at any act of target or store, the next process merges, and nothing is alive."""

    async def inline(work, *words):
        return work(*words)

    monkeypatch.setattr(asyncio, "to_thread", inline)  # no thread survives its process
    for length in range(200):
        home = tmp_path / str(length)
        home.mkdir()
        stage, world, ids = await held_by(home)
        stage.store.dead = True
        stage.fuse.light(length)
        try:
            await pull(world, "carol", S.EVERYTHING)
            stage.store.dead = False
            await tend(world.services)
            stage.fuse.replace()
            is_over = True
        except ProcessDiedError:
            is_over = False
        stage.fuse.replace()
        stage.store.dead = False
        fresh = with_home(stage.node(), home)
        kept = list((home / "tombstones").glob("*.json"))
        done = await tend(fresh.services)
        assert len(done.merged) == len(kept)
        if told(stage.state, ev.TombstoneMerged):
            assert {(await fresh.get(key)).end_reason for key in ids.values()} == {EndReason.KILLED}
        assert len(told(stage.state, ev.TombstoneMerged)) <= 1
        stage.clock.advance(timedelta(seconds=61))
        await sweep.sweep(fresh.services)
        await reconcile.reconcile(fresh.services)
        check_settled(stage.state, stage.targets)
        if is_over:
            return
    raise AssertionError("the fuse was never long enough")


async def test_an_order_that_nobody_could_keep_or_name_is_refused(tmp_path):
    """A scope without its name, and a body that fits into no entry of the log."""
    _, world, _ = await held_by(tmp_path)
    with pytest.raises(RequestError, match="needs a name"):
        await pull(world, "bob", S.TARGET)
    with pytest.raises(RequestError, match="at most"):
        await pull(world, "bob", S.TARGET, "x" * 5000)
    assert world.services.node.tombstones.unmerged() == ()
