"""The store dies in an emergency: the kill works all the same, and the store learns of it later."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callpoint.audit.entry import Entry, parse_entry
from callpoint.cli.throwaway import ThrowawayPostgres
from tests.servers import fifteen, running_server
from tests.stories.town import DIES_WITHIN, Town

pytestmark = pytest.mark.server("postgresql")


@pytest.fixture
def own() -> Iterator[ThrowawayPostgres]:
    """A server for the store alone, so that it can die while the target lives."""
    with running_server(fifteen, "PostgreSQL 15") as server:
        yield server


def test_a_kill_needs_no_store(town: Town, own: ThrowawayPostgres):
    """The live session is cut; a server that starts without its store merges before it gives."""
    town.more["STORE_DSN"] = own.superuser_url()
    town.build("", "--store-env", "STORE_DSN")
    with town.serving() as server:
        town.incident()
        given = town.active()
        living = town.session(given)
        waiting = town.asked(incident="inc-7")
        own.halt()
        said = town("bob", "kill", "everything", "--yes")
        assert "1 credential proven dead, 0 not; 0 targets not looked at" in said
        assert "tombstone " in said
        must_be_cut(living)
        assert town.accounts() == []
        assert town.is_dead(given)
        refused = town("alice", "request", "--resume", waiting, "--wait", code=6)
        assert "the store" in refused
        town.kill_server(server)

    with town.serving():
        log = (town.root / "serve.log").read_text()
        assert "TROUBLE: the store does not answer: only `callpoint kill` works" in log
        own.resume()
        await_killed(town, given)
        assert town.json("alice", "status", waiting)["state"] == "withdrawn"
        town.session(town.active()).close()
        assert "verify: ok" in town.verify_log("export")
    assert list((town.home / "tombstones").glob("*.json")) == []
    must_be_in_order(entries(town.root / "export"))


def must_be_in_order(told: list[Entry]) -> None:
    """Nothing is given before a merge, and what was killed has its whole evidence."""
    (merged,) = [n for n, e in enumerate(told) if e.type == "tombstone:merged"]
    issued = [n for n, e in enumerate(told) if e.type == "lease:issued"]
    assert issued[0] < merged < issued[1]
    ended = [e.data for e in told if e.type == "lease:ended"]
    assert {(e["evidence"], e["control"]) for e in ended} == {("absent, refused", "refused")}


def must_be_cut(session: "psycopg.Connection[object]") -> None:
    """Its holder finds it ended by the server."""
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    session.close()


def await_killed(town: Town, activation: str) -> None:
    """The server finds its store by itself, and merges what was ordered meanwhile."""
    deadline = time.monotonic() + DIES_WITHIN
    while time.monotonic() < deadline:
        done = town.run("alice", "status", activation, "-o", "json")
        if done.returncode == 0:
            view = json.loads(done.stdout)
            if view["state"] == "ended" and view["leases"][0]["state"] == "ended":
                assert view["end_reason"] == "killed"
                return
        time.sleep(0.3)
    raise AssertionError("it is not merged")


def entries(export: Path) -> list[Entry]:
    """The whole log, in order."""
    lines = (export / "entries.jsonl").read_bytes().splitlines()
    return [parse_entry(base64.b64decode(json.loads(line)["leaf"])) for line in lines]
