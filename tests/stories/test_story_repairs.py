"""The installation itself is repaired: keys replaced, a database restored from an older copy."""

import base64
import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.stories.town import DIES_WITHIN, WORDS, Town

ASKS = ("request", "orders-repair", "--incident", "inc-7", "--because", WORDS)


@pytest.mark.timeout(240)
def test_keys_are_replaced_under_load(town: Town):
    """What lives, what waits to be revoked and what is approved go on under the new keys.

    What was sealed to the former key still opens; old checkpoints count with the former key.
    """
    town.build()
    signed: dict[str, list[object]] = {}
    with town.serving():
        town.incident()
        activation, queued = town.active(), town.active()
        approved = town.asked()
        for who in ("carol", "dave"):
            town(who, "approve", approved, "--yes")
        town.execute(f"ALTER ROLE broker_{town.database.name} NOLOGIN")
        told = town("bob", "kill", "activation", queued, code=5)
        assert "1 credential not proven dead" in told
        kept = town.root / "kept"
        town("erin", "log", "checkpoint", "--out", kept)
        for use in ("log", "seal"):
            town("gina", "key", "stage", use, "--home", town.home)
            files = town.signatures(town.home / f"rotation-{use}.json", "gina", "hugo")
            signed[use] = [word for file in files for word in ("--signatures", file)]
        assert "another Callpoint has" in _rotate(town, "log", signed, code=6)
    before = json.loads(town.installation.read_text())
    for use in ("log", "seal"):
        _rotate(town, use, signed)
    now = json.loads(town.installation.read_text())
    assert now["former_log_keys"] == [before["log_key"]] != [now["log_key"]]
    assert len(town.accounts()) == 2
    town.execute(f"ALTER ROLE broker_{town.database.name} LOGIN")
    with town.serving():
        town("alice", "request", "--resume", approved, "--wait")
        _await_accounts(town, 2)  # the queued one is gone, two live
        (lease,) = town.json("alice", "status", queued)["leases"]
        assert lease["evidence"] == "absent, refused"
        town("alice", "return", activation, "--used")
        # The control attempt needs the probe's secret, which was sealed to the former key.
        (lease,) = town.json("alice", "status", activation)["leases"]
        assert lease["evidence"] == "absent, refused"
        second = town.asked()
        assert "another log key" in town("carol", "approve", second, "--yes", code=7)
        for who in ("carol", "dave"):
            town(who, "approve", second, "--yes", "--installation", town.installation)
        town("alice", "request", "--resume", second, "--wait")
        town.session(second).close()
        assert "verify: ok" in town.verify_log("log", "--earlier", kept)
        _verify_by_keys(town, now["log_key"], before["log_key"], kept)
        town("bob", "kill", "everything", "--yes")


def _await_accounts(town: Town, count: int) -> None:
    deadline = time.monotonic() + DIES_WITHIN
    while len(town.accounts()) != count:
        assert time.monotonic() < deadline, town.accounts()
        time.sleep(0.1)


def _rotate(town: Town, use: str, signed: dict[str, list[object]], code: int = 0) -> str:
    return town("gina", "key", "rotate", use, "--home", town.home, *signed[use], code=code)


def _verify_by_keys(town: Town, key: str, former: str, kept: Path) -> None:
    """Without the new file: the verifier says what is missing, and takes it."""
    look = ("verify", "log", town.root / "log", "--log-key", key, "--earlier", kept)
    assert "--former-key" in town("bob", *look, code=7)
    town("bob", *look, "--former-key", former)
    other = key.rpartition("+")[0] + "+" + former.rpartition("+")[2]
    assert town.run("bob", *look, "--former-key", other).returncode != 0


def test_a_database_from_an_older_copy_is_refused_and_recovered(town: Town):
    """Nothing is given on it, all is taken away, and the loss stands in the log for ever."""
    town.build()
    with town.serving():
        town.incident()
    _copy(town, town.root / "older.sqlite3")
    with town.serving() as server:
        lost = town.active()
        forgotten = town.session(lost)
        kept = town.root / "kept"
        town("erin", "log", "checkpoint", "--out", kept)
        town.kill_server(server)
    _restore(town, town.root / "older.sqlite3")

    recover = ("log", "recover", "--home", town.home, "--reason", "disk lost", "--as", "gina")
    with town.serving():
        # Nobody's sweep knows the account any more: the comparison at the start removes it.
        town.await_no_account()
        with pytest.raises(psycopg.OperationalError):
            forgotten.execute("SELECT 1")
        assert "callpoint log recover" in town("bob", *ASKS, code=6)
        town("bob", "kill", "everything", "--yes")
        town("gina", *recover, code=6)
    forgotten.close()

    assert "entries are left" in town("gina", *recover)
    assert "nothing to recover from" in town("gina", *recover, code=4)
    with town.serving():
        activation = town.active()
        town.session(activation).close()
        town("alice", "return", activation, "--used")
        assert town.is_dead(activation)
        assert "verify: ok" in town.verify_log("log")
        assert "  fork: " in town.verify_log("again", "--earlier", kept, code=7)
        _removed_before_anything_ended(town.root / "log" / "entries.jsonl")


def _removed_before_anything_ended(export: Path) -> None:
    """In the log, the unknown account comes before whatever a lease came to afterwards (I8)."""
    leaves = [
        base64.b64decode(json.loads(line)["leaf"]) for line in export.read_text().splitlines()
    ]
    types = [json.loads(leaf)["type"] for leaf in leaves]
    assert "account:unknown" in types
    assert types.index("log:recovered") < types.index("account:unknown")
    assert types.index("account:unknown") < min(
        index for index, name in enumerate(types) if name.startswith("lease:")
    )


def test_a_lost_configuration_comes_back_by_its_governors(town: Town):
    """A newer configuration than the restored one is not forgotten, and not believed unsigned."""
    town.build()
    with town.serving():
        town.incident()
    _copy(town, town.root / "older.sqlite3")
    proposal = town.root / "tighter.json"
    with town.serving():
        town.rules.write_text(town.rules.read_text().replace('for = "30m"', 'for = "20m"'))
        town("gina", "publish", "propose", "--config", town.config, "--out", proposal)
        town("gina", "publish", "submit", proposal, *town.signatures(proposal, "gina"))
    _restore(town, town.root / "older.sqlite3")

    recover = ("log", "recover", "--home", town.home, "--reason", "disk lost", "--as", "gina")
    assert "LOST: configuration 2" in town("gina", *recover)
    with town.serving():
        assert "an older configuration (1)" in town("alice", *ASKS, code=7)
    lost = town.home / "lost-configuration.json"
    gina, hugo = town.signatures(lost, "gina", "hugo")
    town("gina", *recover, "--signatures", gina, code=3)
    told = town("gina", *recover, "--signatures", gina, "--signatures", hugo)
    assert "LOST" not in told
    assert not lost.exists()
    with town.serving():
        view = town.json("alice", *ASKS)
        assert view["request"]["ttl"] == "PT1200S"
        assert "verify: ok" in town.verify_log("log")


def _copy(town: Town, file: Path) -> None:
    with closing(sqlite3.connect(town.home / "callpoint.sqlite3")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(town.home / "callpoint.sqlite3", file)


def _restore(town: Town, file: Path) -> None:
    for suffix in ("-wal", "-shm"):
        (town.home / f"callpoint.sqlite3{suffix}").unlink(missing_ok=True)
    shutil.copy(file, town.home / "callpoint.sqlite3")
