"""Which accounts exist on targets, and what is wrong with them: the use case and its command."""

import json
from datetime import timedelta

import pytest

from callpoint.domain.configuration import KnownAccount
from callpoint.domain.errors import DeniedError, NotFoundError
from callpoint.domain.event import AccessRefused
from callpoint.lifecycle import give_back
from callpoint.lifecycle.posture import Fault, Kind, posture
from callpoint.ports.inventory import NEVER, UNKNOWN, Account, Moment
from tests.fakes.checked_out import ACCOUNT, TARGET, make_place
from tests.fakes.clock import START
from tests.fakes.invariants import told
from tests.fakes.machine import Shell
from tests.fakes.running_app import running_world
from tests.fakes.simulated_target import SimulatedTarget
from tests.fakes.stage import make_stage
from tests.fakes.world import INSTALLATION

LONG_AGO = Moment(known=True, at=START - timedelta(days=400))
RECENT = Moment(known=True, at=START - timedelta(days=3))


async def faults(stage, *accounts):
    """The faults of accounts that are on the target, by name."""
    target = stage.targets[TARGET]
    target.others[:] = accounts
    world = stage.node()
    found = await posture(world.services, world.caller("erin"), {}, target=TARGET)
    (one,) = found.targets
    return {row.account.name: set(row.faults) for row in one.accounts}


async def test_each_fault_is_told_and_what_is_unknown_is_none():
    """Powers, age, use and owner are judged by what is known, and only by that."""
    stage = await make_stage()
    found = await faults(
        stage,
        Account("root-like", can_log_in=True, powers=("superuser",)),
        Account("old", can_log_in=True, secret_changed=LONG_AGO, last_used=RECENT),
        Account("idle", can_log_in=True, secret_changed=RECENT, last_used=NEVER),
        Account("blurred"),
        Account("closed", can_log_in=False, secret_changed=LONG_AGO, last_used=LONG_AGO),
        Account("group", can_log_in=False, powers=("createrole",)),
        Account("callpoint", can_log_in=True, is_broker=True, secret_changed=RECENT),
    )
    assert found == {
        "root-like": {Fault.PRIVILEGED, Fault.UNOWNED},
        "old": {Fault.UNROTATED, Fault.UNOWNED},
        "idle": {Fault.UNUSED, Fault.UNOWNED},
        "blurred": {Fault.UNOWNED},
        "closed": set(),
        "group": {Fault.PRIVILEGED, Fault.UNOWNED},
        "callpoint": set(),
    }


async def test_our_own_accounts_are_leases_or_left_over():
    """What an open lease explains is no fault; a handle that none explains is one."""
    stage = await make_stage()
    world = stage.node()
    await world.incident(targets=("orders-db", "billing-db"))
    made = await world.active()
    stage.targets[TARGET].plant(f"{INSTALLATION}zzzzzzzzzzzz00", lifetime=timedelta(hours=1))
    found = await posture(world.services, world.caller("gina"), {}, target=TARGET)
    rows = {row.kind: row for row in found.targets[0].accounts}
    assert rows[Kind.LEASE].lease == next(
        lease.id for lease in stage.leases(made.id) if lease.plan.target == TARGET
    )
    assert rows[Kind.LEASE].faults == ()
    assert rows[Kind.LEFTOVER].faults == (Fault.LEFTOVER,)


async def test_a_checked_out_account_knows_its_age_and_who_is_on_it_without_a_lease():
    """Its secret's age is ours to tell; a session at rest is a finding, one while out is none."""
    stage = await make_place()
    world, target = stage.node(), stage.targets[TARGET]
    before = await posture(world.services, world.caller("erin"), {})
    (row,) = before.targets[0].accounts
    assert (row.kind, row.account.secret_changed) == (Kind.CHECKED_OUT, UNKNOWN)
    made = await world.active()
    given = (await world.credential(made.id)).credential
    target.open_session(ACCOUNT, given.secret)
    out = await posture(world.services, world.caller("erin"), {})
    (row,) = out.targets[0].accounts
    assert (row.faults, row.lease) == ((), stage.leases(made.id)[0].id)
    assert row.account.secret_changed.known
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    target.accounts[ACCOUNT].enabled = True
    target.open_session(ACCOUNT, target.accounts[ACCOUNT].secret or "")
    after = await posture(world.services, world.caller("erin"), {})
    assert after.targets[0].accounts[0].faults == (Fault.USED_UNLEASED,)


async def test_a_named_owner_answers_for_an_account():
    """By the configuration in force; powers are then a fact and no fault."""
    account = Account("backup", can_log_in=True, powers=("replication",))
    stage = await make_place(accounts={"backup": KnownAccount("group:security", "backs up")})
    assert (await faults(stage, account))["backup"] == set()
    world = stage.node()
    (one,) = (await posture(world.services, world.caller("erin"), {})).targets
    (row,) = [row for row in one.accounts if row.account.name == "backup"]
    assert (row.owner, row.purpose) == ("group:security", "backs up")
    assert (await faults(await make_place(), account))["backup"] == {
        Fault.PRIVILEGED,
        Fault.UNOWNED,
    }


async def test_a_dead_target_and_a_broken_connector_hold_up_no_other(monkeypatch):
    """Each is told as not answered, with why; the healthy one is there."""
    stage = await make_stage()
    world = stage.node()
    stage.targets["billing-db"].down = True
    found = await posture(world.services, world.caller("erin"), {})
    assert [(t.target, t.answered) for t in found.targets] == [
        ("billing-db", False),
        ("orders-db", True),
    ]
    assert "does not answer" in found.targets[0].why

    async def broken(self):
        raise RuntimeError("a defect with details")

    monkeypatch.setattr(SimulatedTarget, "inventory", broken)
    found = await posture(world.services, world.caller("erin"), {"billing-db": "not set"})
    assert {t.why for t in found.targets} == {"its connector failed: RuntimeError"}


async def test_only_who_may_read_the_log_and_of_configured_targets_only():
    """An engineer is refused, on record; an unknown name is not found."""
    stage = await make_stage()
    world = stage.node()
    with pytest.raises(DeniedError):
        await posture(world.services, world.caller("alice"), {})
    assert not stage.targets[TARGET].calls
    assert told(stage.state, AccessRefused)[-1].actor == "alice"
    with pytest.raises(NotFoundError):
        await posture(world.services, world.caller("erin"), {}, target="nowhere")


def test_the_command_shows_a_table_and_an_exit_status(tmp_path):
    """Wrong accounts first, with what to do; 5 while something is wrong, 0 when nothing is."""
    with running_world() as (world, app):
        shell = Shell(tmp_path, "erin", app, world.clock)
        told = shell.run("posture", "targets")
        assert (told.exit_code, told.stdout.splitlines()[-1]) == (0, "posture: nothing is wrong")
        world.target.others.append(
            Account("dba\x1b[2J", can_log_in=True, powers=("superuser",), last_used=NEVER)
        )
        told = shell.run("posture", "targets")
        assert told.exit_code == 5
        assert "ACCOUNT" in told.stdout
        assert "superuser" in told.stdout
        assert "unknown" in told.stdout
        assert "name an owner: [targets.orders-db.accounts." in told.stdout
        assert "\x1b" not in told.stdout
        answer = json.loads(shell.run("posture", "targets", "-o", "json").stdout)
        assert answer["targets"][0]["accounts"][0]["faults"] == ["privileged", "unowned", "unused"]
        world.target.down = True
        told = shell.run("posture", "targets", "--target", "orders-db")
        assert (told.exit_code, "not answered" in told.stdout) == (5, True)
        refused = Shell(tmp_path, "alice", app, world.clock).run("posture", "targets")
        assert refused.exit_code == 3
