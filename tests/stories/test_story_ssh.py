"""A host that is repaired, as people live it: the real program, a real sshd, the real host side."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callpoint.cli.demo.repaired_host import RepairedHost, repaired_host
from callpoint.domain.errors import UnavailableError
from tests.servers import missing
from tests.stories.secrecy import found
from tests.stories.town import Town

ELIGIBILITY = """
[eligibilities.worker-repair]
lane = "break-glass"
mode = "human"
who = ["group:oncall"]
opens = ["worker-host:repair"]
for = "30m"
incident = { severity = ["sev1"], must_name_target = true }
approval = { quorum = 2, from = ["group:commanders"], within = "10m" }
budget = { incidents = 9, per = "90d" }
review = { by = ["group:security"], triage = "24h", close = "5d" }
accept_residual = true
"""
CUT_WITHIN = 15.0
CUT_STATUS = (255, 128 + signal.SIGTERM)
"""The connection ended; or its command, which was asked to end at the same moment, did so first."""


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RepairedHost]:
    """Where the owner keeps keys is no place of Callpoint's, so it is not below the town."""
    if sys.platform != "linux":
        pytest.skip("the host side needs Linux")
    try:
        with repaired_host(tmp_path_factory.mktemp("owner") / "host") as made:
            yield made
    except UnavailableError as error:
        missing(str(error))


def active(town: Town) -> str:
    """Alice asks for the host, carol and dave approve, alice takes it up."""
    activation = town.asked(eligibility="worker-repair")
    town("carol", "approve", activation, "--yes")
    town("dave", "approve", activation, "--yes")
    town("alice", "request", "--resume", activation, "--wait")
    return activation


def copied(town: Town, activation: str) -> Path:
    """A file with key and certificate, as somebody could keep it."""
    file = town.root / f"{activation}.credential"
    town("alice", "credentials", activation, "--file", file)
    return file


def with_copy(town: Town, file: Path) -> "subprocess.CompletedProcess[str]":
    """Log in with the copy and OpenSSH alone, as nobody of Callpoint's would."""
    (sealed,) = json.loads(file.read_text())
    inner, endpoint = sealed["credential"], sealed["credential"]["endpoint"]
    folder = town.root / "state" / "copy"
    folder.mkdir(parents=True, exist_ok=True)
    key, known = folder / "key", folder / "known"
    key.touch(0o600)
    key.write_text(inner["secret"])
    (folder / "key-cert.pub").write_text(endpoint["certificate"] + "\n")
    known.write_text(f"[{endpoint['host']}]:{endpoint['port']} {endpoint['host_key']}\n")
    options = ("-F", "none", "-i", key, "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes")
    where = ("-p", endpoint["port"], f"{inner['username']}@{endpoint['host']}", "status")
    return subprocess.run(
        ["ssh", *options, *where],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def is_refused(town: Town, file: Path) -> bool:
    """Sshd refuses the key: neither the network nor the command failed."""
    done = with_copy(town, file)
    return done.returncode == 255 and "Permission denied (publickey)" in done.stderr


@pytest.mark.timeout(180)
def test_a_host_is_repaired_and_every_way_in_dies(town: Town, host: RepairedHost):
    """In scope, out of scope, returned and refused; then a live session that the cord cuts."""
    town.more.update(host.secrets())
    town.build(host.target() + ELIGIBILITY)
    host.prepare(json.loads(town.installation.read_text())["id"])
    with town.serving():
        says = ("--severity", "sev1", "--target", "worker-host", "--title", "the worker hangs")
        town("frank", "incident", "declare", "inc-7", *says)
        town("gina", "incident", "confirm", "inc-7")
        returned(town, host)
        killed(town, host)
    town.said.append(host.sshd.log())
    keys = {name: line for name, key in host.secrets().items() for line in key.splitlines()[3:4]}
    assert found(town, b"", **keys) == []


def returned(town: Town, host: RepairedHost) -> None:
    """One command works, another is not run; after the return the certificate is dead."""
    activation = active(town)
    alice = ("connect", activation, "--keep", "--")
    assert "worker: restarted" in town("alice", *alice, "restart worker")
    assert host.worker.read_text() == "running\n"
    assert "not in scope: id" in town("alice", *alice, "id", code=126)
    file = copied(town, activation)
    assert with_copy(town, file).stdout == "running\n"
    town("alice", "return", activation, "--used")
    assert is_refused(town, file)
    (lease,) = town.json("alice", "status", activation)["leases"]
    assert lease["evidence"] == "absent, refused"
    assert f"ID {lease['account']} (serial" in host.sshd.log()


def killed(town: Town, host: RepairedHost) -> None:
    """Bob pulls the cord while alice follows the worker: her session ends, and nothing is left."""
    activation = active(town)
    file = copied(town, activation)
    with subprocess.Popen(
        [sys.executable, "-m", "callpoint", "connect", activation, "--keep", "--", "follow"],
        env=town.environment("alice"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == "worker: following\n"
        assert session.poll() is None
        since = time.monotonic()
        assert "0 credentials not proven dead" in town(
            "bob", "kill", "activation", activation, "--yes"
        )
        assert session.wait(CUT_WITHIN) in CUT_STATUS
        assert time.monotonic() - since < CUT_WITHIN
    assert is_refused(town, file)
