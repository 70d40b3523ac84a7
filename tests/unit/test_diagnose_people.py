"""`lifecycle.diagnose`: requests, reviews, sources, rules, clocks and the log."""

import contextlib
import hashlib
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec

from callpoint.domain.configuration import IncidentSource
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import ApprovalRule, ReviewRule
from callpoint.domain.eligibility import Severity as Badness
from callpoint.domain.errors import (
    StoreUnavailableError,
    TamperError,
    UnavailableError,
)
from callpoint.domain.governance import Bundle
from callpoint.lifecycle import give_back, incidents, publish
from callpoint.lifecycle.diagnose import judged, observe
from callpoint.lifecycle.rules import RuleBook
from callpoint.lifecycle.symptoms.observed import LogSeen
from callpoint.lifecycle.symptoms.symptom import Code, Severity
from callpoint.ports.incidents import Report
from tests.fakes.clock import SimulatedClock
from tests.fakes.doctor import codes, look, only
from tests.fakes.face import open_sqlite
from tests.fakes.world import (
    World,
    build_decider,
    eligibility,
    make_world,
    signed,
)


async def test_a_request_says_for_whom_it_waits_and_turns_loud_near_its_end():
    """Waiting is no trouble at first; in the last quarter of its time it is."""
    world = await make_world()
    await world.incident()
    made = await world.ask()
    await world.vote("carol", made.id)
    told = await look(world)
    waits = only(told, Code.REQUEST_WAITING)
    assert (told.ok, waits.severity) == (True, Severity.NOTICE)
    assert "waits for 1 more" in waits.text
    assert waits.next_step == f"one of bob, dave runs `callpoint approve {made.id}`"
    world.clock.advance(timedelta(minutes=8))
    told = await look(world)
    assert (told.ok, only(told, Code.REQUEST_WAITING).severity) == (False, Severity.WARNING)
    await world.vote("dave", made.id)
    assert (
        f"`callpoint credentials {made.id}`"
        in only(await look(world), Code.APPROVED_NOT_ISSUED).next_step
    )


async def test_a_request_that_nobody_can_save_is_told_at_once():
    """Who confirmed the incident does not count: with quorum 3 of 3 nobody is left."""
    world = await make_world(
        eligibility(approval=ApprovalRule(3, ("group:commanders",), timedelta(minutes=10)))
    )
    said = Declaration("inc-7", Badness.SEV1, ("orders-db",), "orders is down")
    await incidents.declare(world.services, world.caller("frank"), said)
    assert only(await look(world), Code.INCIDENT_UNCONFIRMED).severity is Severity.NOTICE
    await incidents.confirm(world.services, world.caller("carol"), "inc-7")
    made = await world.ask()
    told = await look(world)
    stranded = only(told, Code.REQUEST_STRANDED)
    assert (stranded.severity, stranded.about) == (Severity.URGENT, made.id)
    assert "3 more must, and only bob, dave can" in stranded.text
    short = only(told, Code.QUORUM_SHORT)
    assert "asked for by bob, deployer" in short.text


async def test_a_request_under_replaced_rules_is_told():
    """A configuration published meanwhile voids its votes, so it must be asked again."""
    world = await make_world()
    await world.incident()
    made = await world.ask()
    old = world.bundle
    rules = msgspec.structs.replace(
        old.configuration, eligibilities={"orders-repair": eligibility(ttl=timedelta(minutes=5))}
    )
    new = msgspec.structs.replace(old, number=2, previous=old.digest(), configuration=rules)
    await publish.publish(
        world.services, world.caller("gina"), new, signed(new, "gina", "hugo"), lambda _: None
    )
    assert only(await look(world), Code.REQUEST_OUTDATED).about == made.id


def with_source(world: World) -> tuple[Bundle, IncidentSource]:
    source = IncidentSource(
        id="prom",
        kind="alertmanager",
        token_sha256=hashlib.sha256(b"token").hexdigest(),
        severity={"page": Badness.SEV1},
        targets={"orders": ("orders-db",)},
    )
    rules = msgspec.structs.replace(world.bundle.configuration, sources={"prom": source})
    old = world.bundle
    return (
        msgspec.structs.replace(old, number=2, previous=old.digest(), configuration=rules),
        source,
    )


async def test_a_feed_that_fell_silent_is_told_apart_from_one_without_alerts():
    """Silence with nothing open is a notice; silence over an open incident is a warning."""
    world = await make_world()
    bundle, source = with_source(world)
    signatures = signed(bundle, "gina", "hugo")
    await publish.publish(world.services, world.caller("gina"), bundle, signatures, lambda _: None)
    told = await look(world)
    assert (told.ok, "none was reported within 8h" in only(told, Code.FEED_SILENT).text) == (
        True,
        True,
    )
    fires = Report("prom-1", True, Badness.SEV1, ("orders-db",), world.clock.now(), "down")
    await incidents.report(world.services, source, (fires,), b"{}")
    assert codes(await look(world)) == []
    world.clock.advance(timedelta(hours=9))
    stale = only(await look(world), Code.FEED_STALE)
    assert "has not reported for 9 h" in stale.text
    assert "/v1/webhooks/prom" in stale.next_step
    over = msgspec.structs.replace(fires, firing=False)
    await incidents.report(world.services, source, (over,), b"{}")
    assert codes(await look(world)) == [Code.FEED_SILENT]


async def test_clocks_that_differ_are_told_with_what_that_stops():
    """The store's clock went back: nothing is issued; the node's is ahead of the store's."""
    world = await make_world()
    await look(world)
    ahead = SimulatedClock(start=world.clock.now() + timedelta(seconds=9))
    here = replace(world, services=replace(world.services, clock=ahead))
    assert "9.0 s ahead of the store's" in only(await look(here), Code.NODE_SKEW).text
    world.clock.advance(-timedelta(seconds=30))
    told = await look(world)
    assert "30.0 s behind what it said before" in only(told, Code.STORE_CLOCK).text
    assert "`callpoint clock accept`" in only(told, Code.STORE_CLOCK).next_step


async def test_a_log_that_does_not_work_is_the_first_to_know():
    """Down with revocations waiting; once it works again there is nothing to tell."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.store.log_down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    told = await look(world)
    down = only(told, Code.LOG_DOWN)
    assert down.severity is Severity.URGENT
    assert "events of revocations wait for a number" in down.text
    world.store.log_down = False
    assert Code.LOG_DOWN not in codes(await look(world))


async def test_late_reviews_name_who_can_do_them():
    """And one that nobody is left for is told as that."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert codes(await look(world)) == []
    world.clock.advance(timedelta(hours=25))
    late = only(await look(world), Code.REVIEW_LATE)
    assert "was due 60 min ago" in late.text or "was due 1 h ago" in late.text
    assert late.next_step == f"one of erin, frank runs `callpoint review {made.id}`"


async def test_a_review_that_nobody_is_left_for():
    """The only reviewers approved it."""
    world = await make_world(
        eligibility(
            review=ReviewRule(("carol", "dave"), timedelta(hours=24), timedelta(days=5)),
        )
    )
    await world.incident()
    made = await world.active()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    assert only(await look(world), Code.REVIEW_STRANDED).about == made.id


async def test_rules_that_another_node_published_and_this_one_cannot_follow():
    """The pin on this machine's full disk keeps the older ones in use: both numbers are told."""
    world = await make_world()

    def full(bundle: Bundle) -> None:
        if bundle.number > 1:
            raise StoreUnavailableError("in-force.json cannot be written: No space left on device")

    services = world.services
    book = RuleBook(
        services.installation,
        services.store,
        build_decider,
        verifier=services.verifier,
        on_load=full,
    )
    await book.current()
    new, _ = with_source(world)  # published by the other node
    await publish.publish(
        world.services, world.caller("gina"), new, signed(new, "gina", "hugo"), lambda _: None
    )
    here = replace(world, services=replace(world.services, rules=book))
    told = await look(here, "gina")
    found = only(told, Code.RULES_NOT_FOLLOWED)
    assert "configuration 2 is published, and this server works by 1" in found.text
    assert "No space left" in found.text


async def test_rules_that_do_not_load_stop_everything_and_are_told():
    """The PDP cannot be built: governors read the rest, others what concerns no activation."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.target.down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)

    def broken(_: Bundle) -> object:
        raise UnavailableError("the policies do not load", way_out="publish others")

    book = world.rule_book(broken, pinned=world.bundle)  # type: ignore[arg-type]  # it never returns
    here = replace(world, services=replace(world.services, rules=book))
    told = await look(here)
    assert only(told, Code.RULES_UNUSABLE).next_step == "publish others"
    assert (Code.LEASE_STUCK in codes(told), told.hidden) == (False, 1)
    assert Code.LEASE_STUCK in codes(await look(here, "gina"))


async def test_a_row_that_was_changed_by_hand_is_told(tmp_path: Path):
    """Rows that parse are judged all the same."""
    clock = SimulatedClock(auto=True)
    store = await open_sqlite(tmp_path, clock)
    world = await make_world(store=store, clock=clock)
    await world.incident()
    await world.ask()
    made = await world.ask(who="bob")
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("UPDATE records SET body = ? WHERE key = ?", (b"{}", made.id))
        connection.commit()
    told = await look(world)
    assert only(told, Code.ROW_SPOILT).about == "activation"
    assert Code.REQUEST_WAITING in codes(told)
    await store.close()


async def test_events_that_wait_although_the_log_works():
    """The worker that numbers them is named; a checkpoint that is not believed is told as well."""
    world = await make_world()
    seen = await observe(world.services, {})
    error = TamperError("the newest checkpoint does not verify")
    (waits,) = judged(replace(seen, log=LogSeen(works=True, waiting=3)))
    (wrong,) = judged(replace(seen, log=LogSeen(works=True, waiting=0, error=error)))
    assert (waits.code, "worker `spool`" in waits.next_step) == (Code.SPOOL_WAITING, True)
    assert (wrong.code, wrong.text) == (Code.CHECKPOINT_INVALID, error.message)
