"""A configuration directory and key files on disk, and the commands that work on them."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.keys import Signer

ROOT = Path(__file__).parents[2]
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank")
GOVERNORS = ("erin", "frank")
STOPS_WITHIN = 20.0

_TEXT = """\
[governance]
quorum = {quorum}
security = ["group:security"]
[governance.governors]
{governors}

[persons]
{persons}

[principals]
{principals}

[groups]
oncall = {{ members = ["alice", "bob"] }}
commanders = {{ members = ["carol", "dave"] }}
security = {{ members = ["erin", "frank"] }}

[targets.orders-db]
connector = "postgresql"
dsn = {{ env = "ORDERS_BROKER_DSN" }}
environment = "production"
roles.repair = {{ parent = "orders_repair" }}

[eligibilities.orders-repair]
lane = "break-glass"
mode = "human"
who = ["group:oncall"]
opens = ["orders-db:repair"]
for = "30m"
incident = {{ severity = ["sev1"], must_name_target = true }}
approval = {{ quorum = 2, from = ["group:commanders"], within = "10m" }}
budget = {{ incidents = 2, per = "90d" }}
review = {{ by = ["group:security"], triage = "24h", close = "5d" }}
"""


class Homestead:
    """Everything under one folder.

    Attributes:
        config: The configuration directory.
        home: Where the installation will be.
    """

    def __init__(self, root: Path, *, governors: tuple[str, ...] = GOVERNORS, quorum: int = 2):
        self.root = root
        self.config = root / "config"
        self.home = root / "home"
        self.config.mkdir()
        keys = {person: Signer(person).public for person in PEOPLE}
        text = _TEXT.format(
            quorum=quorum,
            governors="\n".join(f'{g} = "{keys[g]}"' for g in governors),
            persons="\n".join(f"{p} = {{}}" for p in PEOPLE),
            principals="\n".join(
                f'{p} = {{ kind = "human", person = "{p}", key = "{k}" }}' for p, k in keys.items()
            ),
        )
        (self.config / "callpoint.toml").write_text(text)
        for person in PEOPLE:
            self.key(person).write_text(_key_file(person))
            self.key(person).chmod(0o600)

    def key(self, person: str) -> Path:
        """A person's key file."""
        return self.root / f"{person}.json"

    def command(self, *arguments: str | Path) -> list[str]:
        """The program's command line."""
        return [sys.executable, "-m", "callpoint", *map(str, arguments)]

    def run(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """An environment without anybody's Callpoint settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CALLPOINT")}
        return {**kept, "PYTHONPATH": str(ROOT / "src"), "HOME": str(self.root), **(more or {})}

    def found(self, *more: str, **environment: str) -> None:
        """``callpoint init``, signed by both governors; ``more`` names another store."""
        signers = [part for g in GOVERNORS for part in ("--sign", self.key(g))]
        init = ("init", "--home", self.home, "--config", self.config, *signers, *more)
        done = self.run(*init, environment=environment)
        assert done.returncode == 0, done.stderr


class Running:
    """A server process and the address that it said."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self.log = log
        assert process.stdout is not None
        first = process.stdout.readline()
        assert " listens on " in first, log.read_text()
        self.address = first.split(" listens on ")[1].strip()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOPS_WITHIN)


@contextmanager
def serving(homestead: Homestead, *more: str, **environment: str) -> Iterator[Running]:
    log = homestead.root / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            homestead.command("serve", "--home", homestead.home, "--listen", "127.0.0.1:0", *more),
            env=homestead.environment(environment),
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _key_file(person: str) -> str:
    seed = hashlib.sha256(person.encode()).digest()
    return json.dumps({"principal": person, "key": base64.b64encode(seed).decode()})
