"""`callpoint connect` where a gateway is in front of the target, with the real application."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from callpoint.domain.connection import Connection
from callpoint.lifecycle.connection import greet
from tests.fakes.behind import GATEWAY, MOCK_KEY, SOURCE, behind, fits, spent
from tests.fakes.clock import SimulatedClock
from tests.fakes.machine import Shell
from tests.fakes.running_app import RunningApp, running_world
from tests.fakes.world import WORDS, World, make_world


@pytest.fixture
def place() -> Iterator[tuple[World, RunningApp]]:
    """An installation whose targets are behind a gateway, with an open incident."""
    with running_world(lambda: make_world(adapt=behind)) as (world, running):
        running.do(world.incident())
        yield world, running


def approved(place: tuple[World, RunningApp], tmp_path: Path) -> tuple[Shell, str]:
    """Alice's shell, and the id of what she asked for and others approved."""
    world, running = place
    # As in the real thing the clocks of both are the same.
    alice = Shell(tmp_path, "alice", running, SimulatedClock(world.clock.now()))
    asked = alice.run("request", "orders-repair", "--incident", "inc-7", "--because", WORDS)
    assert asked.exit_code == 0, asked.stderr
    (activation,) = alice.keyring.names()
    for who in ("carol", "dave"):
        running.do(world.vote(who, activation))
    return alice, activation


def login(alice: Shell) -> dict[str, str]:
    """What the last program had about PostgreSQL in its environment."""
    arguments, around = alice.machine.ran[-1]
    found = {name: value for name, value in around.items() if name.startswith("PG")}
    assert not any(found["PGPASSWORD"] in argument for argument in arguments)
    return found


def test_psql_is_led_through_the_gateway(place: tuple[World, RunningApp], tmp_path: Path):
    """It gets the gateway's place and a secret for once; the credential stays where it is."""
    world, running = place
    alice, activation = approved(place, tmp_path)
    told = alice.run("connect", activation, "--source", SOURCE, "--", "-c", "SELECT 1")
    assert told.exit_code == 0, told.stderr
    assert alice.machine.ran[-1][0] == ["/usr/bin/psql", "-c", "SELECT 1"]
    found = login(alice)
    assert {name: found[name] for name in ("PGHOST", "PGPORT", "PGSSLMODE")} == {
        "PGHOST": "gateway.example",
        "PGPORT": "6432",
        "PGSSLMODE": "verify-full",
    }
    assert "PGOPTIONS" not in found
    assert f"through {GATEWAY}" in told.stderr
    assert found["PGPASSWORD"] not in told.output
    greeting = running.do(greet(world.services, found["PGUSER"], MOCK_KEY))
    assert fits(greeting, found["PGPASSWORD"])
    assert not any(account in found.values() for account in world.target.accounts)
    running.do(spent(world, found["PGUSER"]))


def test_each_connect_gets_another_secret(place: tuple[World, RunningApp], tmp_path: Path):
    """A second login, after the first or beside it, is a secret of its own."""
    world, running = place
    alice, activation = approved(place, tmp_path)
    for _ in range(2):
        assert alice.run("connect", activation, "--keep", "--source", SOURCE).exit_code == 0
    users = [around["PGUSER"] for _, around in alice.machine.ran]
    assert len(set(users)) == 2
    assert running.do(world.get(activation)).uses == 2


def test_another_client_takes_the_same_environment(place: tuple[World, RunningApp], tmp_path: Path):
    """--with runs what speaks libpq's variables; what is not installed is said before take-up."""
    _, running = place
    world = place[0]
    alice, activation = approved(place, tmp_path)
    told = alice.run("connect", activation, "--with", "pgbench", "--source", SOURCE)
    assert (told.exit_code, "pgbench is not installed" in told.stderr) == (2, True)
    assert running.do(world.get(activation)).state == "approved"
    alice.machine.programs["pgbench"] = "/usr/bin/pgbench"
    told = alice.run(
        "connect", activation, "--with", "pgbench", "--source", SOURCE, "--logins", 2, "--", "-S"
    )
    assert told.exit_code == 0, told.stderr
    for _ in range(2):
        running.do(spent(world, login(alice)["PGUSER"]))
    assert alice.machine.ran[-1][0] == ["/usr/bin/pgbench", "-S"]
    assert login(alice)["PGHOST"] == "gateway.example"


def test_the_servers_view_of_the_address_is_no_use_behind_a_proxy(
    place: tuple[World, RunningApp], tmp_path: Path
):
    """Then the option is asked for; nothing was handed out."""
    world, running = place
    alice, activation = approved(place, tmp_path)
    told = alice.run("connect", activation)
    assert (told.exit_code, "--source ADDRESS" in told.stderr) == (2, True)
    assert alice.machine.ran == []
    assert running.do(world.get(activation)).uses == 0


@pytest.mark.parametrize("option", [(), ("--show-secret",)])
def test_the_credential_is_shown_to_nobody(
    place: tuple[World, RunningApp], tmp_path: Path, option: tuple[str, ...]
):
    """`credentials` says how to connect instead, and so does --print."""
    alice, activation = approved(place, tmp_path)
    told = alice.run("credentials", activation, *option)
    assert told.exit_code == 3, told.stderr
    assert f"stays in the gateway {GATEWAY}" in told.stderr
    assert f"callpoint connect {activation}" in told.stderr
    printed = alice.run("-o", "json", "connect", activation, "--print")
    assert json.loads(printed.stdout) == {
        "activation": activation,
        "target": "orders-db",
        "gateway": GATEWAY,
    }


def test_when_it_is_over_there_is_no_further_secret(
    place: tuple[World, RunningApp], tmp_path: Path
):
    """After `return` the same command says that a new request is needed."""
    alice, activation = approved(place, tmp_path)
    assert alice.run("connect", activation, "--source", SOURCE, "--return").exit_code == 0
    told = alice.run("connect", activation, "--source", SOURCE)
    assert (told.exit_code, "callpoint request" in told.stderr) == (4, True)


def test_a_late_login_is_told_apart(place: tuple[World, RunningApp], tmp_path: Path):
    """Ten minutes later the row still says whose it was, and opens nothing."""
    world, running = place
    alice, activation = approved(place, tmp_path)
    alice.run("connect", activation, "--source", SOURCE)
    user = login(alice)["PGUSER"]
    world.clock.advance(timedelta(minutes=10))
    row = running.do(world.services.store.read(lambda view: view.get(Connection, user)))
    assert (row.principal, row.spent_at) == ("alice", None)
    with pytest.raises(Exception, match="too old"):
        running.do(spent(world, user))
