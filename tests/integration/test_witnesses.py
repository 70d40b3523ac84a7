"""Two installations witness each other, as processes, over HTTP, with the commands people type."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from callpoint.audit.checkpoint import open_checkpoint
from callpoint.audit.cosignature import WitnessKey, cosigned
from callpoint.audit.note import Verifier, parse_note
from tests.fakes.homestead import Homestead
from tests.fakes.neighbours import Neighbour, found_neighbour, free_port, serve_all

PAIR = tuple[Neighbour, Neighbour]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PAIR]:
    """North and south: each sees the other, and issues nothing that the other has not seen."""
    root = tmp_path_factory.mktemp("pair")
    north, south = found_neighbour(root, "north"), found_neighbour(root, "south")
    with serve_all(north, south):
        north.watched_by(south, quorum=1)
        south.watched_by(north, quorum=1)
        yield north, south


def test_each_cosigns_the_others_log(pair: PAIR):
    """What outsiders are shown carries the neighbour's cosignature, and the status says so."""
    asked_of = {one.name: one.json("erin", "log", "witness") for one in pair}
    for one, other in (pair, pair[::-1]):
        asked = asked_of[one.name]
        assert asked["answers"] == {other.name: "cosigned"}
        note = httpx.get(f"{one.address}/tlog/{one.origin}/checkpoint").content
        opened = open_checkpoint(note, [Verifier.parse(one.log_key)], one.origin)
        (seen,) = cosigned(parse_note(note), [WitnessKey.parse(other.witness_key)])
        assert abs(seen.time - time.time()) < 60
        status = one.json("alice", "log", "status")
        assert status["cosigned_by"] == [other.name]
        assert status["published"] == opened.size == asked["size"]
        assert status["kept"] == status["size"]
        assert status["logs"] == {other.origin: other.json("alice", "log", "status")["size"]}
        text = one.call("alice", "log", "status")
        assert "witnesses: 1 of 1 needed have seen it within 15m" in text
        assert "!" not in text


def test_a_proof_is_checked_offline_with_the_witness(pair: PAIR, tmp_path: Path):
    """A tlog-proof file holds without any server, and only with the witness that was asked for."""
    north, south = pair
    north.json("erin", "log", "witness")
    file = tmp_path / "first.tlog-proof"
    told = north.json("alice", "log", "proof", "1", "--out", file)
    assert file.read_text().startswith("c2sp.org/tlog-proof@v1\nextra ")
    facts = north.site.home / "installation.json"
    check = ("verify", "proof", file, "--installation", facts)
    assert json.loads(north.run(*check, "--witness", south.witness_key, "-o", "json"))["ok"]
    north.run(*check, "--witness", north.witness_key, status=7)
    again = north.json(
        "alice", "log", "proof", "--entry-hash", str(told["leaf_hash"]), "--out", tmp_path / "again"
    )
    assert again["index"] == 1
    damaged = file.read_text().replace("index 1", "index 2")
    file.write_text(damaged)
    judged = json.loads(north.run(*check, "-o", "json", status=7))
    assert judged["findings"][0]["code"] == "not-included"


def test_a_whole_log_is_checked_with_the_witness(pair: PAIR, tmp_path: Path):
    """An export carries the cosignatures on its checkpoint, and a checkpoint that is kept too."""
    north, south = pair
    north.json("erin", "log", "witness")
    kept, whole = tmp_path / "kept", tmp_path / "whole"
    north.call("alice", "log", "checkpoint", "--out", kept)
    assert cosigned(parse_note(kept.read_bytes()), [WitnessKey.parse(south.witness_key)])
    north.call("erin", "log", "export", whole)
    facts = north.site.home / "installation.json"
    check = ("verify", "log", whole, "--installation", facts, "--earlier", kept)
    told = north.run(*check, "--witness", south.witness_key)
    assert f"cosigned by {south.witness_key.partition('+')[0]}" in told
    north.run(*check, "--witness", north.witness_key, status=7)


def test_a_fork_of_the_log_is_refused_and_shown(pair: PAIR, tmp_path: Path):
    """A second database under the same key: the witness signs neither its fork nor its rollback."""
    north, south = pair
    north.json("erin", "log", "witness")
    copy = Homestead(tmp_path)
    shutil.copytree(north.site.home, copy.home)
    with closing(sqlite3.connect(copy.home / "callpoint.sqlite3")) as database, database:
        # Who holds the files can hide that it is a copy.
        database.execute("UPDATE head SET place = ''")
    forked = Neighbour("forked", copy, free_port())
    forked.facts = north.facts
    # The real log goes on and is seen; the copy then writes another history.
    declare(north, "inc-real")
    north.json("erin", "log", "witness")
    with forked.serve():
        before = forked.json("erin", "log", "witness", status=6)
        assert "rolled back" in str(before["answers"])
        for name in ("inc-a", "inc-b"):
            declare(forked, name)
        after = forked.json("erin", "log", "witness", status=6)
        assert "forked" in str(after["answers"])
        status = forked.call("alice", "log", "status")
        assert "south CONTRADICTS this log" in status
        assert "log:contradicted" in (copy.root / "log").read_text()
    assert north.json("erin", "log", "witness")["answers"] == {south.name: "cosigned"}


def declare(one: Neighbour, incident: str) -> None:
    """Somebody declares an incident: an entry in the log."""
    one.call(
        *("alice", "incident", "declare", incident, "--severity", "sev1"),
        *("--target", "orders-db"),
    )
