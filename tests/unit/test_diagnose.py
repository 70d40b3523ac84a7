"""`lifecycle.diagnose`: each symptom from a real cause, and none on a healthy installation."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from callpoint.adapters.node.files import FileShelf
from callpoint.domain.errors import (
    DeniedError,
    UnavailableError,
)
from callpoint.domain.tombstone import SignedOrder, Tombstone
from callpoint.lifecycle import give_back, publish
from callpoint.lifecycle.diagnose import diagnose
from callpoint.lifecycle.node import Node, Tombstones
from callpoint.lifecycle.sweep import sweep
from callpoint.lifecycle.symptoms.checks import CHECKS
from callpoint.lifecycle.symptoms.observed import Observed
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom
from callpoint.ports.targets import Check, SelfTest
from tests.fakes.doctor import codes, look, only
from tests.fakes.simulated_target import SimulatedTarget
from tests.fakes.world import (
    INSTALLATION,
    configuration,
    eligibility,
    make_world,
    signed,
)


async def test_a_healthy_installation_has_no_symptom():
    """An activation that is active, and one that was reviewed, are nothing to tell of."""
    world = await make_world()
    await world.incident()
    await world.active()
    told = await look(world)
    assert (told.ok, told.symptoms, told.hidden) == (True, (), 0)
    assert told.looked == tuple(CHECKS)
    assert told.targets == ("orders-db",)


async def test_a_credential_that_does_not_die_says_where_it_is_stuck_and_since_when():
    """The first line is the access that is still alive, with the attempts and the last error."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.target.down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    world.clock.advance(timedelta(minutes=41))
    await sweep(world.services)
    told = await look(world)
    stuck = only(told, Code.LEASE_STUCK)
    assert told.symptoms[0] == stuck
    assert stuck.severity is Severity.URGENT
    assert "41 min after its end" in stuck.text
    assert "stuck at disable: orders-db does not answer" in stuck.text
    assert "`callpoint target selftest orders-db`" in stuck.next_step
    silent = only(told, Code.TARGET_SILENT)
    assert silent.severity is Severity.URGENT
    assert "while 1 credential is not proven dead" in silent.text
    for _ in range(10):
        world.clock.advance(timedelta(minutes=2))
        await sweep(world.services)
    lost = only(await look(world), Code.LEASE_STUCK)
    assert f"`callpoint attest {(await world.leases(made.id))[0].id}`" in lost.next_step


async def test_time_that_nobody_looks_at_is_told():
    """What has expired and was taken up by no worker means that no worker runs."""
    world = await make_world()
    await world.incident()
    await world.active()
    world.clock.advance(timedelta(hours=1))
    found = only(await look(world), Code.LEASE_UNATTENDED)
    assert "(live) was due 30 min ago" in found.text


class Hanging(SimulatedTarget):
    """Its server takes the connection and never says a word."""

    async def selftest(self, *, trial: bool = True) -> SelfTest:
        self.calls.append(("selftest", f"trial={trial}"))
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


async def test_a_dead_target_holds_up_no_other():
    """One never returns and is given up after the time limit; the other's answer is there."""
    world = await make_world()
    services = world.services
    dead = Hanging("dead-db", world.clock, services.random, INSTALLATION)
    targets = {"dead-db": dead, **services.targets}
    rules = configuration(targets=("dead-db",))
    bundle = msgspec.structs.replace(
        world.bundle, number=2, previous=world.bundle.digest(), configuration=rules
    )
    await publish.publish(
        services, world.caller("gina"), bundle, signed(bundle, "gina", "hugo"), lambda _: None
    )
    here = replace(world, services=replace(services, targets=targets))
    told = await look(here, within=timedelta(milliseconds=50))
    assert (told.targets, codes(told)) == (("dead-db", "orders-db"), [Code.TARGET_SILENT])
    assert "no answer within 0.05 s" in told.symptoms[0].text
    assert dead.calls == [("selftest", "trial=False")]


async def test_what_a_target_reports_is_told_by_kind():
    """Too powerful a broker, a failed check, a clock that is off, and no reaper: four symptoms."""
    world = await make_world()
    target = world.target
    target.failing = (
        Check("broker's powers", ok=False, detail="superuser", way_out="take it away", excess=True),
        Check("parent roles", ok=False, detail="missing: orders_repair", way_out="make them"),
    )
    target.offset = timedelta(seconds=-8)
    target.reaper = None
    told = await look(world)
    assert set(codes(told)) == {
        Code.BROKER_POWERS,
        Code.TARGET_SELFTEST,
        Code.TARGET_SKEW,
        Code.REAPER_MISSING,
    }
    assert "can do more than its task: superuser" in only(told, Code.BROKER_POWERS).text
    assert "8.0 s behind the server's" in only(told, Code.TARGET_SKEW).text
    reaper = only(told, Code.REAPER_MISSING)
    assert (reaper.severity, "refused until then: orders-repair" in reaper.text) == (
        Severity.WARNING,
        True,
    )
    assert "`callpoint target prepare orders-db`" in reaper.next_step


async def test_a_residual_that_was_accepted_is_only_said():
    """Governors signed for it: nothing is wrong, and everybody may know."""
    world = await make_world(eligibility(accept_residual=True))
    world.target.reaper = None
    told = await look(world)
    assert (told.ok, codes(told)) == (True, [Code.REAPER_MISSING])


async def test_a_target_without_a_connector_is_told_with_the_reason():
    """The reason names the variable, so that somebody can set it."""
    world = await make_world()
    why = {"orders-db": "the environment variable ORDERS_DB_DSN is not set"}
    told = await diagnose(world.services, world.caller("erin"), why)
    assert "ORDERS_DB_DSN" in only(told, Code.TARGET_UNUSABLE).text


async def test_a_diagnosis_is_for_people():
    """An agent is told to ask a person: symptoms name persons and what is broken."""
    world = await make_world()
    with pytest.raises(DeniedError, match="a diagnosis is for people"):
        await look(world, "fixer")


async def test_a_check_that_fails_keeps_no_other_from_its_work():
    """It becomes a symptom itself; what the process adds comes first by its severity."""
    world = await make_world()

    def broken(_: Observed) -> Iterator[Symptom]:
        raise UnavailableError("no answer", way_out="wait")

    beside = symptom(Severity.URGENT, Code.DISK_FULL, "/", "the disk is full", "free space")
    told = await look(world, beside=lambda: (beside,), checks={"moon": broken})
    assert codes(told) == [Code.DISK_FULL, Code.CHECK_FAILED]
    assert not told.ok


def test_every_code_is_on_the_page():
    """The page of operations explains each code once, and no other."""
    page = Path(__file__).parents[2] / "docs" / "operations" / "doctor.md"
    rows = re.findall(r"^\| `([a-z][a-z-]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(Code)


async def test_a_no_of_a_target_is_told_apart_from_silence():
    """Somebody can repair a no: its words and its way out are shown."""
    world = await make_world()
    world.target.fail("selftest", "refused")
    refused = only(await look(world), Code.TARGET_REFUSES)
    assert refused.severity is Severity.WARNING


async def test_a_trial_says_so():
    """One governor alone is no trouble, and stands on every diagnosis."""
    world = await make_world()
    alone = msgspec.structs.replace(world.services.installation, quorum=1)
    here = replace(world, services=replace(world.services, installation=alone))
    told = await look(here)
    assert (told.ok, codes(told)) == (True, [Code.TRIAL])


async def test_a_kill_that_is_not_merged_and_one_that_nobody_signed(tmp_path: Path):
    """The first stops giving and is soon merged, the second is evidence; neither is passed over."""
    world = await make_world()
    shelf = FileShelf(tmp_path / "tombstones")
    for name in ("aa", "bb"):
        order = SignedOrder("POST", "/v1/kill", {}, b"{}", ())
        shelf.put(Tombstone(name * 16, world.clock.now(), "alice", "everything", "", order))
    shelf.set_aside("bb" * 16)
    node = Node(tombstones=Tombstones(shelf))
    here = replace(world, services=replace(world.services, node=node))
    told = await look(here)
    assert codes(told) == [Code.TOMBSTONE_REFUSED, Code.TOMBSTONE_WAITING]
    shutil.rmtree(tmp_path / "tombstones")
    (tmp_path / "tombstones").write_text("no folder")
    assert codes(await look(here)) == [Code.NODE_MEMORY]
