"""Servers of one installation as real processes, and its people as clients of their API.

`alice` asks, `carol` approves (a quorum of one), `frank` declares and `gina` confirms the incident.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyrage

from benchmarks.report import fail, must
from callpoint.api.connection_messages import ConnectionView, ConnectionWish
from callpoint.api.messages import KillOrder
from callpoint.cli.ballot import cast
from callpoint.cli.client import Client
from callpoint.cli.keyring import PrincipalKey, load_principal_key, save_principal_key
from callpoint.cli.loopback import free_port
from callpoint.cli.machine import ThisMachine
from callpoint.domain.approval import Verdict
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import Severity
from callpoint.domain.kill import Killed, Scope
from callpoint.domain.request import Ask

PEOPLE = ("alice", "carol", "erin", "frank", "gina", "hugo")
GOVERNORS = ("gina", "hugo")
TARGET, INCIDENT, GATEWAY = "orders-db", "inc-1", "front"
_WORDS = "the primary is down and only a manual repair brings it back"
_STARTS_WITHIN = 40.0
_STOPS_WITHIN = 30.0

_RULES = """\
[governance]
quorum = 2
security = ["group:security"]
[governance.governors]
{governors}

[persons]
{persons}

[principals]
{principals}

[groups]
oncall = {{ members = ["alice"] }}
commanders = {{ members = ["carol"] }}
security = {{ members = ["erin", "frank"] }}

[gateways.front]
protocol = "postgresql"
advertise_host = "127.0.0.1"
advertise_port = {port}
sslmode = "disable"

[targets.orders-db]
connector = "postgresql"
dsn = {{ env = "ORDERS_BROKER_DSN" }}
environment = "production"
gateway = "front"
databases = ["{database}"]
roles.repair = {{ parent = "{parent}" }}

[eligibilities.orders-repair]
lane = "break-glass"
mode = "human"
who = ["group:oncall"]
opens = ["orders-db:repair"]
for = "1h"
incident = {{ severity = ["sev1"], must_name_target = true }}
approval = {{ quorum = 1, from = ["group:commanders"], within = "10m" }}
budget = {{ incidents = 100, per = "90d" }}
review = {{ by = ["group:security"], triage = "24h", close = "5d" }}
accept_residual = true
"""


@dataclass(frozen=True)
class Place:
    """Where things are.

    Attributes:
        folder: Keys, configuration and homes.
        gateway: The port of the gateway.
        environment: Of every process.
    """

    folder: Path
    gateway: int
    environment: dict[str, str]

    def callpoint(self, *words: object) -> str:
        """Run it to its end; what it said."""
        done = subprocess.run(  # noqa: S603 -- our own program
            _command(*words), env=self.environment, capture_output=True, text=True, check=False
        )
        must(done.returncode == 0, f"callpoint {words[0]}: {done.stderr}")
        return done.stdout

    @property
    def installation(self) -> str:
        """Its id."""
        return str(json.loads((self.folder / "node1" / "installation.json").read_text())["id"])


def found(folder: Path, database: str, parent: str, store_env: str, more: dict[str, str]) -> Place:
    """Keys, configuration, and an installation that both governors signed.

    Args:
        folder: An empty one.
        database: The target's.
        parent: The role of the target that can be opened.
        store_env: The variable with the DSN of its store; empty for SQLite.
        more: Of the environment.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CALLPOINT")}
    place = Place(folder, free_port(), {**kept, "HOME": str(folder), **more})
    keys = {who: save_principal_key(folder / f"{who}.json", who, os.urandom(32)) for who in PEOPLE}
    (folder / "config").mkdir()
    (folder / "config" / "callpoint.toml").write_text(
        _RULES.format(
            governors="\n".join(f'{g} = "{keys[g].public_key}"' for g in GOVERNORS),
            persons="\n".join(f"{who} = {{}}" for who in PEOPLE),
            principals="\n".join(
                f'{who} = {{ kind = "human", person = "{who}", key = "{key.public_key}" }}'
                for who, key in keys.items()
            ),
            port=place.gateway,
            database=database,
            parent=parent,
        )
    )
    signs = [word for g in GOVERNORS for word in ("--sign", folder / f"{g}.json")]
    store = ("--store-env", store_env) if store_env else ()
    home, config = folder / "node1", folder / "config"
    place.callpoint("init", "--home", home, "--config", config, *signs, *store)
    return place


def second_node(place: Place) -> None:
    """A home for another server of the same installation."""
    shutil.copytree(place.folder / "node1", place.folder / "node2")


def with_gateway(place: Place, node: str) -> None:
    """That server runs the gateway."""
    with (place.folder / node / "server.toml").open("a") as file:
        file.write(
            f'\n[gateway.postgresql]\nname = "{GATEWAY}"\nlisten = "127.0.0.1:{place.gateway}"\n'
        )


@contextmanager
def serving(place: Place, node: str) -> Iterator[str]:
    """``callpoint serve``; gives the address."""
    log = place.folder / f"{node}.log"
    port = free_port()
    with log.open("wb") as written:
        process = subprocess.Popen(  # noqa: S603 -- our own program
            _command("serve", "--home", place.folder / node, "--listen", f"127.0.0.1:{port}"),
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _await(process, address, log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{address}/healthz", trust_env=False).is_success:
                return
        time.sleep(0.05)  # noqa: TID251 -- for a process
    fail(f"`callpoint serve` does not answer:\n{log.read_text()[-2000:]}")


class People:
    """What they do, each through a server."""

    def __init__(self, place: Place, address: str) -> None:
        self._keys: dict[str, PrincipalKey] = {
            who: load_principal_key(place.folder / f"{who}.json") for who in PEOPLE
        }
        machine = ThisMachine()
        self._clients = {who: Client(address, key, machine) for who, key in self._keys.items()}
        self._seal_to = str(pyrage.x25519.Identity.generate().to_public())

    def open_incident(self) -> None:
        """Declared by one person, confirmed by another."""
        said = Declaration(INCIDENT, Severity.SEV1, (TARGET,), "orders is down")
        self._clients["frank"].declare(said)
        self._clients["gina"].confirm(INCIDENT)

    def active(self) -> str:
        """Asked for, approved, taken up."""
        alice, carol = self._clients["alice"], self._clients["carol"]
        made = alice.request(Ask("orders-repair", INCIDENT, _WORDS, self._seal_to))
        ballot = carol.statement(made.id, Verdict.APPROVE)
        carol.vote(made.id, Verdict.APPROVE, cast(ballot, self._keys["carol"], ""))
        alice.issue(made.id)
        return made.id

    def connection(self, activation: str) -> ConnectionView:
        """A connection secret for this machine."""
        wish = ConnectionWish(source="127.0.0.1")
        return self._clients["alice"].connection(activation, wish)

    def kill(self, activation: str) -> Killed:
        """Carol ends it."""
        return self._clients["carol"].kill(KillOrder(Scope.ACTIVATION, activation))


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "callpoint", *map(str, words)]
