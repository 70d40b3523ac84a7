"""Tombstones: judged again before they are merged; a forged one ends nothing and blocks nothing."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState
from callpoint.domain.errors import AuthenticationError, UnavailableError
from callpoint.domain.kill import Scope
from callpoint.domain.tombstone import tombstone_id
from callpoint.lifecycle.merge import tend
from tests.fakes.invariants import told
from tests.fakes.signed_order import alive, held_by, signed_order, tombstone

S = Scope


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"principal": "bob"}, "another kill"),
        ({"scope": S.ACTIVATION, "about": "zzzzzzzzzzzz"}, "not the kill that it says"),
        ({"about": "alice"}, "another kill"),
        ({"id": "0" * 32}, "name of another order"),
        ({"at": timedelta(minutes=-5)}, "in the future"),
        ({"at": timedelta(days=1)}, "ago"),
        ({"origins": ("https://other.callpoint.invalid",)}, "not ours"),
        ({"origins": ("http://localhost:1",)}, "does not verify"),
        ({"url": "http://x/v1/configuration"}, "does not verify"),
        ({"body": b"{}"}, "SHA-256"),
        ({"headers": {"signature": "x"}}, "its fields"),
    ],
)
async def test_a_forged_tombstone_is_refused_aloud_and_blocks_nothing_afterwards(
    tmp_path, changes, why
):
    """Whoever writes to the disk without a person's key ends nothing, and is in the log."""
    stage, world, ids = await held_by(tmp_path)
    made = tombstone(world, "carol", S.EVERYTHING)
    order = {k: v for k, v in changes.items() if k in {"origins", "url", "body", "headers"}}
    rest = {k: v for k, v in changes.items() if k not in order}
    if isinstance(rest.get("at"), timedelta):
        rest["at"] = made.at + rest["at"]
    made = msgspec.structs.replace(made, order=msgspec.structs.replace(made.order, **order), **rest)
    if "id" not in rest:
        made = msgspec.structs.replace(made, id=tombstone_id(made.order.headers))
    world.services.node.tombstones.hold(made)
    assert (await tend(world.services)).refused == (made.id,)
    (refused,) = told(stage.state, ev.TombstoneRefused)
    assert why in refused.reason
    assert alive(stage) == set(ids.values())
    assert world.services.node.tombstones.refused() == (made.id,)
    assert stage.notices.said[-1].kind == "tombstone:refused"
    world.services.node.tombstones.must_be_merged()
    assert told(stage.state, ev.KillOrdered) == []


async def test_what_is_no_tombstone_is_set_aside_and_an_order_by_nobody_is_not_struck(tmp_path):
    """A damaged file blocks giving until the store hears of it; a stranger's order kills nobody."""
    stage, world, ids = await held_by(tmp_path)
    folder = tmp_path / "tombstones"
    folder.mkdir()
    (folder / "torn.json").write_text('{"id":')
    (folder / ".draft.json").write_text("left by a crash")
    made = tombstone(world, "carol", S.EVERYTHING)
    world.services.node.tombstones.hold(msgspec.structs.replace(made, principal="erin"))
    stage.store.dead = True
    assert len((await tend(world.services)).errors) == 2
    assert alive(stage) == set(ids.values())
    with pytest.raises(UnavailableError):
        world.services.node.tombstones.must_be_merged()
    stage.store.dead = False
    assert set((await tend(world.services)).refused) == {"torn", made.id}
    world.services.node.tombstones.must_be_merged()
    assert (folder / "refused" / "torn.json").exists()


async def test_a_true_order_counts_after_a_forged_copy_of_it_was_refused(tmp_path):
    """Whoever spoils the file cannot have its order forgotten: brought again it is merged."""
    stage, world, _ = await held_by(tmp_path)
    made = tombstone(world, "carol", S.EVERYTHING)
    tombstones = world.services.node.tombstones
    for _ in range(2):
        tombstones.hold(msgspec.structs.replace(made, principal="erin"))
        assert (await tend(world.services)).refused == (made.id,)
    assert len(told(stage.state, ev.TombstoneRefused)) == 1
    tombstones.hold(made)
    assert (await tend(world.services)).merged == (made.id,)
    assert len(told(stage.state, ev.KillOrdered)) == 1


async def test_what_is_no_scope_and_what_a_machine_may_not_is_refused(tmp_path):
    """Signed as it should be, it is still no order; a tombstone gives nobody more rights."""
    stage, world, ids = await held_by(tmp_path)
    for who, scope in (("carol", "galaxy"), ("fixer", S.EVERYTHING)):
        world.services.node.tombstones.hold(tombstone(world, who, scope))
        stage.store.dead = who == "carol"
        await tend(world.services)
        stage.store.dead = False
        await tend(world.services)
    first, second = told(stage.state, ev.TombstoneRefused)
    assert "nothing like a galaxy" in first.reason
    assert "can only end its own" in second.reason
    assert alive(stage) == set(ids.values())


async def test_a_folder_full_of_rubbish_delays_no_order(tmp_path, monkeypatch):
    """A store that hangs is waited for once in a pass, however many files wait."""
    stage, world, ids = await held_by(tmp_path)
    limits = replace(world.services.limits, store_within=timedelta(milliseconds=500))
    services = replace(world.services, limits=limits)
    for who in ("mallory", *("erin",) * 20):
        made = tombstone(world, "carol", S.EVERYTHING, principal=who)
        services.node.tombstones.hold(made)
    services.node.tombstones.hold(tombstone(world, "carol", S.EVERYTHING))
    begun = time.monotonic()
    with monkeypatch.context() as patched:

        async def hang(store, work, **_):
            await asyncio.sleep(3600)

        patched.setattr(type(stage.store), "transact", hang)
        patched.setattr(type(stage.store), "read", hang)
        done = await tend(services)
    assert len(done.errors) == 22
    assert time.monotonic() - begun < 6, "22 times half a second would be more"
    assert alive(stage) == set(), "the one true order goes on at the targets"
    assert len((await tend(world.services)).merged) == 1
    assert ids


async def test_one_order_is_merged_once_whoever_brings_it_again(tmp_path):
    """A tombstone that was merged, copied and put back ends nothing that began since."""
    stage, world, _ = await held_by(tmp_path)
    made = tombstone(world, "carol", S.EVERYTHING)
    world.services.node.tombstones.hold(made)
    assert (await tend(world.services)).merged == (made.id,)
    again = await world.active("bob", incident="inc-8", opens=("orders-db:repair",))
    for _ in range(2):
        world.services.node.tombstones.hold(made)
        assert (await tend(world.services)).merged == (made.id,)
        assert len(told(stage.state, ev.KillOrdered)) == 1
    assert (await world.get(again.id)).state is ActivationState.ACTIVE


async def test_an_order_for_another_address_of_ours_is_judged_by_it(tmp_path):
    """Public addresses and loopback ones count; that the server moved to another port does not."""
    _, world, _ = await held_by(tmp_path)
    judge = world.services.node.judge
    assert judge is not None
    made = tombstone(world, "carol", S.EVERYTHING)
    configuration = world.bundle.configuration
    for origin in ("http://127.0.0.1:8750", "http://[::1]:9", "https://callpoint.example"):
        order = signed_order(world, "carol", S.EVERYTHING, origin=origin)
        moved = with_order(made, order)
        if origin.startswith("https"):
            with pytest.raises(AuthenticationError, match="not ours"):
                judge.judge(moved, configuration)
        else:
            assert judge.judge(moved, configuration).principal.id == "carol"


def with_order(made, order):
    return msgspec.structs.replace(made, order=order, id=tombstone_id(order.headers))
