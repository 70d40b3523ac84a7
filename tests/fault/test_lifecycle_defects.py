"""Defects and hostile data on the way of revocation: it goes on, and its evidence fits the log."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from callpoint.audit.entry import MAX_ENTRY_SIZE
from callpoint.domain import event as ev
from callpoint.domain.errors import TargetRefusedError, TargetUnknownError
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.review import Judgement
from callpoint.lifecycle import give_back, issue, review, revoke, sweep
from callpoint.ports.targets import Attempt
from tests.fakes.invariants import check_settled, told
from tests.fakes.simulated_target import Left, SimulatedTarget
from tests.fakes.stage import BOTH, Stage, make_stage
from tests.fakes.world import World

SECRET = "hunter2"


async def staged() -> tuple[Stage, World]:
    """An open incident that names both targets."""
    stage = await make_stage(idle=None)
    world = stage.node()
    await world.incident(targets=BOTH)
    return stage, world


class Defective:
    """A connector of which one method raises what no connector may."""

    def __init__(self, inner: SimulatedTarget, method: str) -> None:
        self._inner, self._method = inner, method

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._method else getattr(self._inner, name)

    async def _fail(self, *_: object) -> None:
        raise KeyError(SECRET)


def with_defect(world: World, stage: Stage, method: str) -> World:
    orders: Any = Defective(stage.targets["orders-db"], method)
    services = replace(world.services, targets={**stage.targets, "orders-db": orders})
    return replace(world, services=services)


@pytest.mark.parametrize(
    "method", ["probe", "disable", "kill_sessions", "diff_persistence", "revoke", "verify_absent"]
)
async def test_a_defect_of_one_step_stops_no_other_step(method: str):
    """Whatever a connector raises, the credential is dead, no word leaks, and it is retried."""
    stage, world = await staged()
    made = await world.active()
    broken = with_defect(world, stage, method)
    await give_back.give_back(broken.services, world.caller("alice"), made.id)
    assert not any(t.live_credentials() or t.live_sessions() for t in stage.targets.values())
    assert SECRET not in "".join(x.last_error for x in stage.leases())
    stage.clock.advance(timedelta(seconds=61))
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)


async def test_a_defect_at_issue_ends_the_activation_and_tells_only_its_kind():
    """What a connector raises unexpectedly is named by its type; the activation is over."""
    stage, world = await staged()
    made = await world.approved()
    broken = with_defect(world, stage, "issue")
    with pytest.raises(KeyError):
        await issue.issue(broken.services, world.caller("alice"), made.id)
    (failed,) = told(stage.state, ev.LeaseFailed)
    assert failed.error == "KeyError"
    assert not any(target.accounts for target in stage.targets.values())
    check_settled(stage.state, stage.targets)


@pytest.mark.parametrize("character", ["\x01", "\U0001f525", '"', "\\", "é", "\ud800"])
async def test_what_was_left_behind_always_fits_into_the_log(character: str):
    """Names that were chosen to be long when escaped keep no lease from being buried."""
    stage, world = await staged()
    made = await world.active()
    orders = stage.targets["orders-db"]
    (lease,) = [x for x in stage.leases() if x.plan.target == "orders-db"]
    for n in range(200):
        orders.left.append(Left("function", character * 500 + str(n), lease.plan.account))
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    check_settled(stage.state, stage.targets)
    assert max(len(leaf) for leaf in stage.state.leaves) < MAX_ENTRY_SIZE
    found = (await world.get(made.id)).findings
    assert len(found) == 51
    assert found[-1].text == "and 150 more on orders-db"


@pytest.mark.parametrize("error", [TargetRefusedError, TargetUnknownError])
async def test_the_words_of_a_target_are_made_fit_for_the_log(error: type[Exception]):
    """An error text of any length, with any characters, is cut, escaped and recorded."""
    stage, world = await staged()
    made = await world.active()

    class Chatty(Defective):
        async def _fail(self, *_: object) -> None:
            raise error("\ud800\x1b[2J" * 30_000)

    orders: Any = Chatty(stage.targets["orders-db"], "verify_absent")
    services = replace(world.services, targets={**stage.targets, "orders-db": orders})
    await give_back.give_back(services, world.caller("alice"), made.id)
    (stuck,) = [x for x in stage.leases() if x.state is LeaseState.ENDING]
    assert stuck.last_error.isprintable()
    assert len(stuck.last_error) <= 500
    stage.clock.advance(timedelta(seconds=61))
    await sweep.sweep(world.services)
    check_settled(stage.state, stage.targets)


def spoil(stage: Stage, lease: Lease, probe: str) -> None:
    """A row that somebody, or a bad disk, changed."""
    _, first_at = stage.state.records[Lease, lease.id]
    stage.state.records[Lease, lease.id] = (msgspec.structs.replace(lease, probe=probe), first_at)


@pytest.mark.parametrize("probe", ["not base64!", "bm90IGFuIGFnZSBmaWxl", "é"])
async def test_a_spoilt_kept_secret_does_not_stop_revocation(probe: str):
    """Without the control attempt the evidence says so, and the credential dies all the same."""
    stage, world = await staged()
    made = await world.active()
    for lease in stage.leases():
        spoil(stage, lease, probe)
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert {x.evidence for x in stage.leases()} == {"absent, not tried"}
    check_settled(stage.state, stage.targets)


async def test_the_kept_secret_is_erased_a_day_after_expiry_although_the_target_is_dead():
    """Nothing that opens a door is kept for ever, and then the evidence reads "not tried"."""
    stage, world = await staged()
    made = await world.active()
    stage.targets["orders-db"].down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    (stuck,) = [x for x in stage.leases() if x.state is LeaseState.ENDING]
    assert stuck.probe
    stage.clock.advance(timedelta(hours=24))
    await sweep.sweep(world.services)
    assert next(x for x in stage.leases() if x.id == stuck.id).probe, "30 minutes too early"
    stage.clock.advance(timedelta(minutes=31))
    await sweep.sweep(world.services)
    assert not next(x for x in stage.leases() if x.id == stuck.id).probe
    stage.targets["orders-db"].down = False
    stage.clock.advance(timedelta(minutes=2))
    await sweep.sweep(world.services)
    assert next(x for x in stage.leases() if x.id == stuck.id).evidence == "absent, not tried"
    check_settled(stage.state, stage.targets)


async def test_the_credential_is_shown_working_before_it_is_shown_refused():
    """The control attempt is on record once, before disabling, and the refusal has a code."""
    stage, world = await staged()
    made = await world.active()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    probed = told(stage.state, ev.LeaseProbed)
    ended = told(stage.state, ev.LeaseEnded)
    assert [e.control for e in probed] == [Attempt.ACCEPTED] * 2
    assert {(e.evidence, e.control, e.code) for e in ended} == {
        ("absent, refused", "accepted", "28P01")
    }
    calls = [method for method, _ in stage.targets["orders-db"].calls]
    assert calls.index("probe") < calls.index("disable") < calls.index("kill_sessions")


async def test_a_control_attempt_that_hangs_does_not_hold_up_disabling():
    """A login that hangs is given up after the limit and reads "unknown"."""
    stage, world = await staged()
    made = await world.active()
    limits = replace(world.services.limits, probe_within=timedelta(milliseconds=1))
    stage.targets["orders-db"].delays["probe"] = 1_000_000
    services = replace(world.services, limits=limits)
    await give_back.give_back(services, world.caller("alice"), made.id)
    probed = told(stage.state, ev.LeaseProbed)
    assert sorted(e.control for e in probed) == ["accepted", "unknown"]
    check_settled(stage.state, stage.targets)


async def test_a_connector_that_hangs_keeps_neither_its_lane_nor_the_other_steps():
    """After the limit the call counts as unanswered; the next step is tried, and it is retried."""
    stage, world = await staged()
    made = await world.active()
    limits = replace(world.services.limits, step_within=timedelta(milliseconds=1))
    orders = stage.targets["orders-db"]
    orders.delays = {"disable": 1_000_000, "verify_absent": 1_000_000}
    services = replace(world.services, limits=limits)
    await give_back.give_back(services, world.caller("alice"), made.id)
    assert not orders.accounts
    (stuck,) = [x for x in stage.leases() if x.state is LeaseState.ENDING]
    assert (stuck.rung, stuck.last_error) == ("disable", "disable failed: TimeoutError")
    stage.heal()
    stage.clock.advance(timedelta(seconds=61))
    await sweep.sweep(services)
    check_settled(stage.state, stage.targets)


async def test_a_worker_that_was_overtaken_writes_nothing_into_a_closed_stream():
    """A revocation that hangs until its lease was buried and reviewed by others is forgotten."""
    stage, world = await staged()
    made = await world.active()
    for target in stage.targets.values():
        target.fail("disable", "not done")
        target.fail("verify_absent", "not done")
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    stage.clock.advance(timedelta(seconds=2))
    slow = stage.leases()[0]
    stage.targets[slow.plan.target].delays["disable"] = 500
    task = asyncio.get_running_loop().create_task(revoke.revoke(world.services, slow.id))
    for _ in range(100):
        await asyncio.sleep(0)
    stage.targets[slow.plan.target].delays.clear()
    stage.clock.advance(timedelta(seconds=61))
    other = stage.node()
    await sweep.sweep(other.services)
    _, size, root = stage.state.note.split("\n")[:3]
    said = Judgement("justified", f"{size} {root}")  # type: ignore[arg-type]  # as it arrives
    await review.close(other.services, other.caller("erin"), made.id, said)
    stage.store.log_down = True
    size_then = len(stage.state.leaves)
    await task
    assert not stage.state.spool
    assert len(stage.state.leaves) == size_then
    stage.store.log_down = False
    assert await stage.store.merge_spool() == 0
    check_settled(stage.state, stage.targets)
