"""Two installations that witness each other, as processes."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from click.testing import CliRunner

from callpoint.cli.machine import ThisMachine
from callpoint.cli.program import program
from callpoint.cli.transport import Address, Answer, Network, Request, Transport
from tests.fakes.homestead import GOVERNORS, Homestead, Running, serving


class ClosingTransport:
    """Implements ``cli.transport.Transport`` with one connection a request, which it closes."""

    def carry(self, request: Request) -> Answer:
        place = urlsplit(request.url)
        network = Network(Address(place.scheme, place.hostname or "", place.port or 80))
        try:
            return network.carry(request)
        finally:
            network.close()

    def close(self) -> None:
        """There is none left."""


class Shell(ThisMachine):
    """This machine, with connections that somebody closes: a command's process just ends."""

    transport: Transport | None = ClosingTransport()


@dataclass
class Neighbour:
    """One of them.

    Attributes:
        name: For files and configuration.
        site: Its folders and commands.
        port: Where it listens, also after a restart.
        witness_key: With which it cosigns.
    """

    name: str
    site: Homestead
    port: int
    witness_key: str = ""
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return str(self.facts["origin"])

    @property
    def log_key(self) -> str:
        return str(self.facts["log_key"])

    @contextmanager
    def serve(self) -> Iterator[Running]:
        """Its server."""
        with serving(self.site, "--listen", f"127.0.0.1:{self.port}") as running:
            yield running

    def call(self, person: str, *words: str | Path, status: int = 0) -> str:
        """A person's command, in this process; it must end with this status."""
        key = self.site.key(person)
        return self.run(*words, "--server", self.address, "--key", key, status=status)

    def run(self, *words: str | Path, status: int = 0) -> str:
        """A command that needs no server; what it says on standard output."""
        done = CliRunner().invoke(
            program,
            [str(word) for word in words],
            env={"CALLPOINT_STATE": str(self.site.root / "state")},
            obj=Shell(),
        )
        assert done.exit_code == status, f"{words}: {done.exit_code} {done.stderr}"
        return done.stdout

    def json(self, person: str, *words: str | Path, status: int = 0) -> dict[str, object]:
        """What the command says as JSON."""
        found: dict[str, object] = json.loads(
            self.call(person, *words, "-o", "json", status=status)
        )
        return found

    def publish(self, text: str) -> None:
        """Add to the configuration, sign it with both governors, and put it in force."""
        with (self.site.config / "callpoint.toml").open("a") as file:
            file.write(text)
        bundle = self.site.root / "proposal.json"
        self.call("erin", "publish", "propose", "--config", self.site.config, "--out", bundle)
        signatures = []
        for governor in GOVERNORS:
            place = self.site.root / f"{governor}.signature"
            place.write_text(self.run("sign", bundle, "--key", self.site.key(governor)))
            signatures.append(place)
        self.call("alice", "publish", "submit", bundle, *signatures)

    def watched_by(self, other: "Neighbour", *, quorum: int, within: str = "15m") -> None:
        """The other sees this log, and this one sees the other's."""
        self.publish(
            f"""
[witnessing]
quorum = {quorum}
within = "{within}"
[witnessing.witnesses.{other.name}]
url = "{other.address}/witness"
key = "{other.witness_key}"
[witnessing.logs.{other.name}]
origin = "{other.origin}"
keys = ["{other.log_key}"]
"""
        )


def free_port() -> int:
    """One that nobody listens on now; the other's configuration names it before the server runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def found_neighbour(root: Path, name: str) -> Neighbour:
    """An installation with a witness key."""
    folder = root / name
    folder.mkdir()
    site = Homestead(folder)
    site.found()
    facts = json.loads((site.home / "installation.json").read_text())
    made = Neighbour(name, site, free_port(), facts=facts)
    told = json.loads(made.run("key", "witness", "--home", site.home, "-o", "json"))
    made.witness_key = told["witness_key"]
    return made


@contextmanager
def serve_all(*neighbours: Neighbour) -> Iterator[None]:
    """Their servers, together."""
    with ExitStack() as stack:
        for one in neighbours:
            stack.enter_context(one.serve())
        yield
