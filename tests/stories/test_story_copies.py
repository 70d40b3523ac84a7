"""A store on PostgreSQL is restored from a dump; a copy of a whole installation is started."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psycopg
import pytest

from tests.servers import FreshDatabase, fresh_database
from tests.stories.town import DIES_WITHIN, WORDS, Town, free_port


@pytest.fixture
def copies() -> Iterator[ExitStack]:
    """Databases that outlive the servers on them."""
    with ExitStack() as stack:
        yield stack


ASKS = ("request", "orders-repair", "--incident", "inc-7", "--because", WORDS)
RECOVER = ("--reason", "the disk of db-3 died", "--as", "gina")


def test_what_a_restored_backup_shows_open_is_not_given_again(town: Town, store: FreshDatabase):
    """An approval that was taken up after the dump is not taken up a second time."""
    _on_postgresql(town, store)
    with town.serving():
        town.incident()
        used = town.asked()
        for who in ("carol", "dave"):
            town(who, "approve", used, "--yes")
    with _copied(store) as copy:
        with town.serving() as server:
            town("alice", "request", "--resume", used, "--wait")
            assert len(town.accounts()) == 1
            town.kill_server(server)
        _put_back(store, copy)
    with town.serving():
        town.await_no_account()  # the copy knows nothing of it: it is compared first
        assert "callpoint log recover" in town("bob", *ASKS, code=6)

    town("gina", "log", "recover", "--home", town.home, *RECOVER)
    with town.serving():
        assert town.json("alice", "status", used)["state"] == "withdrawn"
        assert town.accounts() == []
        assert "verify: ok" in town.verify_log("log")
    (began,) = _began(town)
    assert (began["number"], began["why"], began["ended"]) == (2, "recovered", 1)


def test_a_copy_of_production_touches_nothing_until_it_is_adopted(
    town: Town, store: FreshDatabase, copies: ExitStack
):
    """Database and home elsewhere: it says that it is held; adopted after a move, it works."""
    _on_postgresql(town, store)
    with town.serving():
        town.incident()
        given = town.active()
        session = town.session(given)
        staging = _second(town, copies.enter_context(_copied(store)))
        later = town.active()  # the copy does not know of this one
        adopt = ("installation", "adopt", "--home", staging.home, *RECOVER)
        with staging.serving():
            assert '"held"' in (staging.root / "serve.log").read_text()
            told = staging("bob", "kill", "everything", "--yes", code=6)
            assert "callpoint installation adopt" in told
        assert "--other-is-off" in staging("gina", *adopt, code=2)
        session.execute("SELECT 1")
        town.session(later).close()

    # Production is off: now the copy is where the installation lives.
    assert json.loads(staging("gina", *adopt, "--other-is-off", "-o", "json"))["epoch"] == 2
    with staging.serving():
        _await_accounts(staging, 1)  # the later one is unknown here, and removed
        session.execute("SELECT 1")
        assert town.is_dead(later)
        staging("alice", "return", given, "--used")
        assert staging.accounts() == []
        assert "verify: ok" in staging.verify_log("log")
    session.close()
    assert [began["why"] for began in _began(staging)] == ["moved"]


def _on_postgresql(town: Town, store: FreshDatabase) -> None:
    town.more["STORE_DSN"] = store.owner_url
    town.build("", "--store-env", "STORE_DSN")


@contextmanager
def _copied(store: FreshDatabase) -> Iterator[FreshDatabase]:
    """A dump of this moment in a database of its own; the server may run meanwhile."""
    dump = _tool(store, "pg_dump", "--dbname", store.owner_url)
    with fresh_database(store.server) as copy:
        _tool(copy, "psql", "--quiet", "-v", "ON_ERROR_STOP=1", "-d", copy.owner_url, said=dump)
        yield copy


def _put_back(store: FreshDatabase, copy: FreshDatabase) -> None:
    """The dump in the place of what is there, as after a lost disk."""
    dump = _tool(copy, "pg_dump", "--dbname", copy.owner_url)
    with psycopg.connect(store.owner_url, autocommit=True) as owner:
        owner.execute("DROP SCHEMA callpoint CASCADE")
    _tool(store, "psql", "--quiet", "-v", "ON_ERROR_STOP=1", "-d", store.owner_url, said=dump)


def _tool(store: FreshDatabase, name: str, *words: str, said: str = "") -> str:
    program = store.server.binaries.bindir / name
    done = subprocess.run(
        [program, *words], input=said, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _second(town: Town, store: FreshDatabase) -> Town:
    """The whole home folder elsewhere, and the copy as its store."""
    root = town.root / "staging"
    shutil.copytree(town.home, root / "home")
    for file in town.root.glob("*.json"):
        shutil.copy(file, root)
    more = {**town.more, "STORE_DSN": store.owner_url}
    return replace(town, root=root, more=more, address=f"127.0.0.1:{free_port()}")


def _await_accounts(town: Town, count: int) -> None:
    deadline = time.monotonic() + DIES_WITHIN
    while len(town.accounts()) != count:
        assert time.monotonic() < deadline, town.accounts()
        time.sleep(0.1)


def _began(town: Town) -> list[dict[str, object]]:
    """Each ``epoch:began`` in the log that was exported last."""
    lines = (town.root / "log" / "entries.jsonl").read_text().splitlines()
    leaves = [json.loads(base64.b64decode(json.loads(line)["leaf"])) for line in lines]
    return [leaf["data"] for leaf in leaves if leaf["type"] == "epoch:began"]
