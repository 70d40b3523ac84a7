"""Two nodes of one installation, each with its own home folder, on one PostgreSQL store."""

import shutil
import time
from dataclasses import replace

import psycopg
import pytest

from tests.servers import FreshDatabase
from tests.stories.town import DIES_WITHIN, Town, free_port

SHORTEST_CLAIM = '\n[workers]\nclaim = "10s"\n'


def second_node(town: Town) -> Town:
    """The same people and installation, and another server, with a home folder of its own."""
    root = town.root / "second"
    shutil.copytree(town.home, root / "home")
    for file in town.root.glob("*.json"):
        shutil.copy(file, root)
    return replace(town, root=root, address=f"127.0.0.1:{free_port()}")


def test_what_one_node_gave_the_other_takes_away(town: Town, store: FreshDatabase):
    """Killed through the other node it is dead; what a dead node had begun the other finishes."""
    town.more["STORE_DSN"] = store.owner_url
    town.build("", "--store-env", "STORE_DSN")
    with (town.home / "server.toml").open("a") as file:
        file.write(SHORTEST_CLAIM)
    other = second_node(town)
    with town.serving() as first, other.serving():
        town.incident()
        given = town.active()
        town.session(given).close()
        assert "0 credentials not proven dead" in other("bob", "kill", "activation", given)
        assert town.is_dead(given)

        given = town.active()
        living = town.session(given)
        (account,) = town.accounts()
        with psycopg.connect(town.database.owner_url) as owner:
            # The first node's revocation waits for this row, in the middle of its work.
            owner.execute(f'ALTER ROLE "{account}" CONNECTION LIMIT 3'.encode())
            returning = town.begin("alice", "return", given, "--used")
            _await_lock(town)
            town.kill_server(first)
            owner.rollback()
        assert returning.wait(DIES_WITHIN) == 6
        assert account in town.accounts()  # the dead node's claim on it still counts
        town.await_no_account()
        assert town.is_dead(given)
        with pytest.raises(psycopg.OperationalError):
            living.execute("SELECT 1")
        living.close()
        assert "verify: ok" in other.verify_log("log")


def _await_lock(town: Town) -> None:
    """The broker's session waits."""
    query = (
        f"SELECT 1 FROM pg_stat_activity WHERE usename = 'broker_{town.database.name}'"
        " AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + DIES_WITHIN
    while not town.rows(query):
        assert time.monotonic() < deadline, "the revocation has not begun"
        time.sleep(0.02)
