"""`callpoint session list | end | resume` and the doctor, with the real application."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Rate, Used
from callpoint.domain.operation import Operation
from callpoint.domain.session import Session, SessionState
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.sweep import sweep
from callpoint.lifecycle.symptoms.symptom import Code, Severity
from callpoint.ports.authority import Arrival, Cut, Deed, Opened, Outcome, Reach, Standing
from tests.fakes.behind import GATEWAY, SOURCE, behind, connect
from tests.fakes.doctor import codes, look, only
from tests.fakes.face import Face, kind_of
from tests.fakes.invariants import history
from tests.fakes.machine import Shell
from tests.fakes.running_app import RunningApp, running_world
from tests.fakes.world import World, eligibility, make_world

ALLOWANCE = Allowance(actions=2, rows=100, rate=Rate(60, timedelta(minutes=1)))
READ = Deed((Operation("sql:select", "public.items"),), "SELECT 1", "ab" * 32)


async def behind_a_gateway() -> World:
    """An installation whose targets are behind a gateway, with an open incident."""
    world = await make_world(eligibility(allowance=ALLOWANCE), adapt=behind)
    await world.incident()
    return world


async def open_session(world: World, authority: GatewayAuthority, activation: str) -> Opened:
    """As a gateway does for who knows the secret."""
    made = await connect(world, activation)
    return await authority.open_session(Arrival(made.connection.id, SOURCE, GATEWAY, "psql"))


@pytest.fixture
def place() -> Iterator[tuple[World, RunningApp]]:
    """The application in front of such an installation."""
    with running_world(behind_a_gateway) as (world, running):
        yield world, running


def at_work(place: tuple[World, RunningApp]) -> tuple[GatewayAuthority, Opened]:
    """A session in which one row was read."""
    world, running = place

    async def work() -> tuple[GatewayAuthority, Opened]:
        authority = GatewayAuthority(world.services, GATEWAY)
        opened = await open_session(world, authority, (await world.active()).id)
        verdict = await authority.decide(opened.session, READ)
        assert verdict.allowed
        await authority.report(opened.session, Outcome(verdict.number, Used(rows=7, bytes=70)))
        return authority, opened

    return running.do(work())


def shell(place: tuple[World, RunningApp], tmp_path: Path, who: str) -> Shell:
    world, running = place
    return Shell(tmp_path, who, running, world.clock)


def test_what_passes_the_gateway_is_shown(place: tuple[World, RunningApp], tmp_path: Path):
    """Who, what, through which gateway, from where, and what is spent of what was granted."""
    _, opened = at_work(place)
    carol = shell(place, tmp_path, "carol")
    told = carol.run("session", "list", opened.activation)
    assert told.exit_code == 0, told.stderr
    assert f"{opened.session}  open  alice  orders-db:repair  {GATEWAY}" in told.stdout
    assert f"from {SOURCE}, last action" in told.stdout
    assert "spent: 1 action, 7 rows of 2 actions, 100 rows, 60 actions per 1 min" in told.stdout
    shown = json.loads(carol.run("-o", "json", "session", "list", opened.activation).stdout)
    assert shown["spent"]["rows"] == 7
    assert [one["state"] for one in shown["sessions"]] == ["open"]


def test_a_session_ends_and_the_access_goes_on(place: tuple[World, RunningApp], tmp_path: Path):
    """Any person ends one; its gateway is told at once, and the requester may connect again."""
    world, running = place
    authority, opened = at_work(place)

    async def cut() -> Cut:
        async for order in world.services.live.cuts():
            if order is not None:
                return order
            ready.set()
        raise AssertionError("the line ended")

    ready = running.do(_event())
    hears = running.begin(cut())
    running.do(ready.wait())
    told = shell(place, tmp_path, "carol").run("session", "end", opened.session)
    assert told.exit_code == 0, told.stderr
    order = hears.result(timeout=10)
    assert (order.reach, order.about) == (Reach.SESSION, opened.session)
    assert running.do(authority.standing([opened.session])) == {opened.session: Standing.OVER}
    assert running.do(world.get(opened.activation)).state == "active"
    running.do(open_session(world, authority, opened.activation))
    (ended,) = [i.event for i in history(world.store.state) if isinstance(i.event, ev.SessionEnded)]
    assert (ended.actor, ended.session) == ("carol", opened.session)
    again = shell(place, tmp_path, "dave").run("session", "end", opened.session)
    assert again.exit_code == 0
    listed = shell(place, tmp_path, "erin").run("session", "list", opened.activation, "--all")
    assert f"{opened.session}  over" in listed.stdout


async def _event() -> asyncio.Event:
    return asyncio.Event()


def test_a_spent_allowance_waits_for_another_person(
    place: tuple[World, RunningApp], tmp_path: Path
):
    """The requester sees that it stands still and cannot lift it; another person can."""
    _, running = place
    authority, opened = at_work(place)
    assert running.do(authority.decide(opened.session, READ)).allowed
    assert running.do(authority.decide(opened.session, READ)).is_paused
    alice, carol = (shell(place, tmp_path, who) for who in ("alice", "carol"))
    told = alice.run("session", "list", opened.activation)
    assert f"! {opened.session}  paused" in told.stdout
    assert f"callpoint session resume {opened.activation} --because" in told.stdout
    why = ("--because", "the deletes are the ones that we agreed on")
    refused = alice.run("session", "resume", opened.activation, *why)
    assert refused.exit_code == 3, refused.stderr
    assert carol.run("session", "resume", opened.activation, "--because", "ok").exit_code == 2
    told = carol.run("session", "resume", opened.activation, *why)
    assert told.exit_code == 0, told.stderr
    assert "1 session goes on" in told.stdout
    assert running.do(authority.decide(opened.session, READ)).allowed
    assert carol.run("session", "resume", opened.activation, *why).exit_code == 4


async def test_who_may_end_a_session():
    """A machine its own alone; who has no signature nobody's; an unknown one is not found."""
    world = await behind_a_gateway()
    authority = GatewayAuthority(world.services, GATEWAY)
    opened = await open_session(world, authority, (await world.active()).id)
    async with Face(world) as face:
        place = f"/v1/sessions/{opened.session}/end"
        assert kind_of(await face.call("fixer", "POST", place)) == (403, "denied")
        assert kind_of(await face.client.post(place)) == (401, "authentication")
        assert kind_of(await face.call("bob", "POST", "/v1/sessions/x/end")) == (404, "not_found")
        assert (await authority.standing([opened.session])) == {opened.session: Standing.OPEN}
        told = await face.post("alice", place)
        assert told["state"] == SessionState.OVER
        for who in ("fixer", "deployer"):
            path = f"/v1/activations/{opened.activation}/sessions"
            assert kind_of(await face.call(who, "GET", path))[0] == 403


async def test_the_doctor_names_what_stands_still_and_which_gateway_is_silent():
    """A spent allowance waits for a person; a gateway that does not ask is told of in time."""
    world = await behind_a_gateway()
    authority = GatewayAuthority(world.services, GATEWAY)
    opened = await open_session(world, authority, (await world.active()).id)
    told = await look(world)
    assert not {Code.SESSION_PAUSED, Code.GATEWAY_SILENT} & set(codes(told))
    for _ in range(3):
        await authority.decide(opened.session, READ)
    found = only(await look(world), Code.SESSION_PAUSED)
    assert (found.severity, found.activation) == (Severity.WARNING, opened.activation)
    assert f"`callpoint session resume {opened.activation} --because WORDS`" in found.next_step
    world.clock.advance(timedelta(seconds=60))
    silent = only(await look(world), Code.GATEWAY_SILENT)
    assert f"the gateway {GATEWAY} has sessions and was not heard of for 1 min" in silent.text
    await authority.standing([opened.session])
    assert Code.GATEWAY_SILENT not in codes(await look(world))
    world.clock.advance(timedelta(seconds=120))
    await sweep(world.services)
    assert not {Code.SESSION_PAUSED, Code.GATEWAY_SILENT} & set(codes(await look(world)))
    row = await world.services.store.read(lambda view: view.get(Session, opened.session))
    assert row.state is SessionState.OVER
