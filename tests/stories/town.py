"""A whole installation of processes: a PostgreSQL target, ``callpoint serve``, people at shells.

Alice and bob are on call, with the agent ``fixer`` (alice answers for it); carol and dave command
incidents; erin and frank are security; gina and hugo govern.
"""

import base64
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.fakes.keys import Signer
from tests.servers import FreshDatabase

SOURCE = Path(__file__).parents[2] / "src"
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank", "gina", "hugo")
GOVERNORS = ("gina", "hugo")
TOKEN = "token-of-a-story"
WORDS = "the primary is down and only a manual repair brings it back"
STARTS_WITHIN = 40.0
DIES_WITHIN = 30.0
PASSWORD = "broker-of-a-story"

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
fixer = {{ kind = "agent", answers = ["alice"], key = "{fixer}" }}

[groups]
oncall = {{ members = ["alice", "bob"] }}
commanders = {{ members = ["carol", "dave"] }}
security = {{ members = ["erin", "frank"] }}

[targets.orders-db]
connector = "postgresql"
dsn = {{ env = "ORDERS_BROKER_DSN" }}
environment = "production"
databases = ["{database}"]
roles.repair = {{ parent = "{parent}" }}

[eligibilities.orders-repair]
lane = "break-glass"
mode = "human"
who = ["group:oncall"]
opens = ["orders-db:repair"]
for = "30m"
incident = {{ severity = ["sev1"], must_name_target = true }}
approval = {{ quorum = 2, from = ["group:commanders"], within = "10m" }}
budget = {{ incidents = 9, per = "90d" }}
review = {{ by = ["group:security"], triage = "24h", close = "5d" }}
accept_residual = true

[sources.alertmanager]
kind = "alertmanager"
token_sha256 = "{token}"
severity = {{ critical = "sev1" }}
targets = {{ orders = ["orders-db"] }}
"""

ASSISTED = """
[eligibilities.orders-assist]
lane = "break-glass"
mode = "assisted"
who = ["fixer"]
opens = ["orders-db:repair"]
for = "15m"
incident = { severity = ["sev1"], must_name_target = true }
approval = { quorum = 1, from = ["group:commanders"], within = "10m" }
budget = { incidents = 9, per = "90d" }
review = { by = ["group:security"], triage = "24h", close = "5d" }
accept_residual = true
"""


@dataclass
class Town:
    """Everything of one story.

    Attributes:
        root: Its folder: key files, configuration, home.
        database: The target; also where a PostgreSQL store may lie.
        more: Further environment of every process.
        address: Of the server, the same after each restart.
        said: What every command printed.
    """

    root: Path
    database: FreshDatabase
    more: dict[str, str] = field(default_factory=dict)
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    said: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def rules(self) -> Path:
        """The governed file."""
        return self.config / "callpoint.toml"

    @property
    def installation(self) -> Path:
        """The public file that an outsider trusts."""
        return self.home / "installation.json"

    @property
    def parent(self) -> str:
        return f"repair_{self.database.name}"

    def key(self, who: str) -> Path:
        return self.root / f"{who}.json"

    def __call__(self, who: str, *words: object, code: int = 0) -> str:
        """Somebody types ``callpoint words``; what stdout said."""
        done = self.run(who, *words)
        said = f"{who}: callpoint {' '.join(map(str, words))}\n{done.stdout}{done.stderr}"
        assert done.returncode == code, said
        return done.stdout + (done.stderr if code else "")

    def run(self, who: str, *words: object) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            _command(*words),
            env=self.environment(who),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        self.said.append(done.stdout + done.stderr)
        return done

    def begin(self, who: str, *words: object) -> "subprocess.Popen[bytes]":
        """The same, not waited for; what it says goes nowhere."""
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(
            _command(*words), env=self.environment(who), stdout=nowhere, stderr=nowhere
        )

    def json(self, who: str, *words: object) -> Any:
        return json.loads(self(who, *words, "-o", "json"))

    def environment(self, who: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CALLPOINT")}
        return {
            **kept,
            "PYTHONPATH": str(SOURCE),
            "CALLPOINT_SERVER": f"http://{self.address}",
            "CALLPOINT_KEY": str(self.key(who)),
            "CALLPOINT_STATE": str(self.root / "state" / who),
            "ORDERS_BROKER_DSN": self.database.url(f"broker_{self.database.name}", PASSWORD),
            **self.more,
        }

    def build(self, rules: str = "", *store: str) -> None:
        """Keys, configuration, ``init`` signed by both governors, and the prepared target."""
        self.config.mkdir()
        for who in (*PEOPLE, "fixer"):
            seed = base64.b64encode(hashlib.sha256(who.encode()).digest()).decode()
            self.key(who).write_text(json.dumps({"principal": who, "key": seed}))
            self.key(who).chmod(0o600)
        self.rules.write_text(self._text() + rules)
        signs = [word for g in GOVERNORS for word in ("--sign", self.key(g))]
        self("gina", "init", "--home", self.home, "--config", self.config, *signs, *store)
        self.execute(
            f"CREATE ROLE broker_{self.database.name} LOGIN NOINHERIT PASSWORD '{PASSWORD}';"
            f"CREATE ROLE {self.parent} NOLOGIN;"
            "CREATE TABLE orders (id int PRIMARY KEY, state text NOT NULL);"
            "INSERT INTO orders SELECT n, 'stuck' FROM generate_series(1, 10) n;"
            f"GRANT SELECT, UPDATE ON orders TO {self.parent}"
        )
        prepare = ("target", "prepare", "orders-db", "--config", self.config, "--home", self.home)
        self.execute(self("gina", *prepare))

    def _text(self) -> str:
        keys = {p: Signer(p).public for p in PEOPLE}
        return _RULES.format(
            governors="\n".join(f'{g} = "{keys[g]}"' for g in GOVERNORS),
            persons="\n".join(f"{p} = {{}}" for p in PEOPLE),
            principals="\n".join(
                f'{p} = {{ kind = "human", person = "{p}", key = "{k}" }}' for p, k in keys.items()
            ),
            fixer=Signer("fixer").public,
            database=self.database.name,
            parent=self.parent,
            token=hashlib.sha256(TOKEN.encode()).hexdigest(),
        )

    def execute(self, statements: str, where: str = "") -> None:
        """As the owner of the target, or of another database; the server's log has none of it."""
        place, quiet = where or self.database.owner_url, "-c log_statement=none"
        with psycopg.connect(place, autocommit=True, options=quiet) as owner:
            owner.execute(statements.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.owner_url, autocommit=True) as owner:
            return owner.execute(query.encode()).fetchall()

    def accounts(self) -> list[str]:
        """Roles of this installation on the target."""
        mine = json.loads(self.installation.read_text())["id"]
        query = f"SELECT rolname FROM pg_roles WHERE starts_with(rolname::text, 'cp_{mine}')"
        return [row[0] for row in self.rows(query)]

    def incident(self, name: str = "inc-7") -> None:
        """Frank declares, gina confirms."""
        says = ("--severity", "sev1", "--target", "orders-db", "--title", "orders is down")
        self("frank", "incident", "declare", name, *says)
        self("gina", "incident", "confirm", name)

    def asked(
        self, who: str = "alice", eligibility: str = "orders-repair", incident: str = "inc-7"
    ) -> str:
        view = self.json(who, "request", eligibility, "--incident", incident, "--because", WORDS)
        return str(view["id"])

    def active(self, incident: str = "inc-7") -> str:
        """Alice asks, carol and dave approve, alice takes it up."""
        activation = self.asked(incident=incident)
        self("carol", "approve", activation, "--yes")
        self("dave", "approve", activation, "--yes")
        self("alice", "request", "--resume", activation, "--wait")
        return activation

    def session(self, activation: str, who: str = "alice") -> "psycopg.Connection[Any]":
        """A login with the credential, as its holder."""
        file = self.root / f"{activation}.credential"
        if not file.exists():
            self(who, "credentials", activation, "--file", file)
        (sealed,) = json.loads(file.read_text())
        found = sealed["credential"]
        wanted = {k: found["endpoint"][k] for k in ("host", "port", "dbname", "options")}
        return psycopg.connect(
            **wanted, user=found["username"], password=found["secret"], connect_timeout=5
        )

    def is_dead(self, activation: str) -> bool:
        """The credential is refused by the database."""
        try:
            self.session(activation).close()
        except psycopg.OperationalError:
            return True
        return False

    def await_no_account(self) -> None:
        """Whatever lives is revoked, soon."""
        deadline = time.monotonic() + DIES_WITHIN
        while self.accounts():
            assert time.monotonic() < deadline, f"{self.accounts()} outlived {DIES_WITHIN} s"
            time.sleep(0.1)

    def verify_log(self, name: str, *more: object, code: int = 0) -> str:
        """An outsider checks the whole log with the installation's file."""
        export = self.root / name
        self("erin", "log", "export", export)
        return self(
            "bob", "verify", "log", export, "--installation", self.installation, *more, code=code
        )

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[bytes]"]:
        """``callpoint serve`` until the block ends, or the story kills it."""
        log = self.root / "serve.log"
        with log.open("ab") as written:
            process = subprocess.Popen(
                _command("serve", "--home", self.home, "--listen", self.address),
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                env=self.environment("gina"),
            )
        try:
            self._await_ready(process, log)
            yield process
            if process.poll() is None:
                process.terminate()
                assert process.wait(STARTS_WITHIN) == 0, log.read_text()[-3000:]
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _await_ready(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://{self.address}/healthz", trust_env=False).is_success:
                    return
            time.sleep(0.05)
        raise AssertionError(f"`callpoint serve` does not answer:\n{log.read_text()[-3000:]}")

    def kill_server(self, process: "subprocess.Popen[bytes]") -> None:
        """``kill -9``."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def signatures(self, statement: Path, *who: str) -> list[Path]:
        """Each of them signs on their own machine."""
        made = []
        for governor in who:
            file = self.root / f"{statement.stem}.{governor}.signature"
            file.write_text(self(governor, "sign", statement, "--key", self.key(governor)))
            made.append(file)
        return made

    def alert(self, name: str, status: str = "firing") -> str:
        """Alertmanager posts; the incident that it opened or resolved."""
        alert = {
            "status": status,
            "labels": {"alertname": name, "service": "orders", "severity": "critical"},
            "annotations": {"summary": "orders are stuck"},
            "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-01-01T01:00:00Z",
            "generatorURL": "http://prometheus.example",
            "fingerprint": hashlib.sha256(name.encode()).hexdigest()[:16],
        }
        answer = httpx.post(
            f"http://{self.address}/v1/webhooks/alertmanager",
            json={
                "version": "4",
                "groupKey": "{}",
                "truncatedAlerts": 0,
                "status": status,
                "receiver": "callpoint",
                "groupLabels": {},
                "commonLabels": {},
                "commonAnnotations": {},
                "externalURL": "http://alertmanager.example",
                "alerts": [alert],
            },
            headers={"authorization": f"Bearer {TOKEN}"},
            trust_env=False,
        )
        assert answer.is_success, answer.text
        (incident,) = answer.json()["incidents"]
        return str(incident)

    def remove_roles(self) -> None:
        """Roles belong to the whole server, so they do not go with the database."""
        with psycopg.connect(self.database.owner_url, autocommit=True) as owner:
            for role in (*self.accounts(), f"broker_{self.database.name}", self.parent):
                owner.execute(
                    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                    " WHERE usename = %s",
                    (role,),
                )
                owner.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "callpoint", *map(str, words)]


def free_port() -> int:
    """Nobody listens there at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
