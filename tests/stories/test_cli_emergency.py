"""One emergency as people live it: the real program, a real server process, a real PostgreSQL."""

import json
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from callpoint.bootstrap.home import Home
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.config.default_policies import default_pack
from tests.fakes.homestead import Homestead, Running, serving
from tests.servers import FreshDatabase, fresh_database

FREEZE = """
@id("frozen")
@reason("{target} is frozen until the migration is over; ask a commander")
forbid (principal, action == Action::"activation:request", resource in Target::"orders-db")
unless { principal in Group::"commanders" };
"""
BROKER, PARENT, PASSWORD = "broker_story", "orders_repair", "broker-of-a-story"


@pytest.fixture
def database(postgres_newest: ThrowawayPostgres):
    with fresh_database(postgres_newest) as fresh:
        yield fresh


@pytest.fixture
async def owner(database: FreshDatabase) -> AsyncIterator[Any]:
    """The owner of the target, with a broker and a table; whatever was made goes in the end."""
    connection = await asyncpg.connect(database.owner_url)
    await connection.execute(
        f"CREATE ROLE {BROKER} LOGIN NOINHERIT PASSWORD '{PASSWORD}';"
        f"CREATE ROLE {PARENT} NOLOGIN;"
        f"CREATE TABLE orders (id int, state text); ALTER TABLE orders OWNER TO {PARENT};"
        "CREATE TABLE billing (id int);"
    )
    yield connection
    rows = await connection.fetch(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'cp\\_%' OR rolname = ANY($1)",
        [BROKER, PARENT],
    )
    for row in rows:
        await connection.execute(
            f'REASSIGN OWNED BY "{row["rolname"]}" TO CURRENT_USER;'
            f'DROP OWNED BY "{row["rolname"]}"; DROP ROLE "{row["rolname"]}"'
        )
    await connection.close()


class People:
    """The people of a homestead, each with an own state folder, calling one server."""

    def __init__(self, here: Homestead, server: Running) -> None:
        self.here = here
        self.server = server

    def say(self, who: str, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
        """Run a verb as somebody; its JSON."""
        options = ("--server", self.server.address, "--key", self.here.key(who), "-o", "json")
        done = self.here.run(
            *arguments, *options, environment={"CALLPOINT_STATE": str(self.here.root / who)}
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
        return found


async def test_an_emergency_on_a_real_database(  # noqa: PLR0915 -- a story, read in one piece
    tmp_path: Path, owner: Any, database: FreshDatabase
):
    """Asked, approved twice, used in scope, refused out of scope, returned, dead, reviewed."""
    here = Homestead(tmp_path)
    here.found()
    dsn = {"ORDERS_BROKER_DSN": database.url(BROKER, PASSWORD)}
    prepare = ("target", "prepare", "orders-db", "--config", here.config, "--home", here.home)
    script = here.run(*prepare, environment=dsn)
    assert script.returncode == 0, script.stderr
    await owner.execute(script.stdout)
    for _ in range(3):  # the owner's timer has been seen often enough to bound what is residual
        await owner.execute("SELECT callpoint.reap()")
    with serving(here, **dsn) as server:
        people = People(here, server)
        people.say("frank", "incident", "declare", "INC-7", "--severity", "sev1",
                   "--target", "orders-db", "--title", "orders is down")  # fmt: skip
        people.say("erin", "incident", "confirm", "inc-7")
        asked = people.say("alice", "request", "orders-repair", "--incident", "inc-7",
                           "--because", "the table is locked, only a repair frees it")  # fmt: skip
        activation = str(_find(asked, "id"))
        people.say("carol", "approve", activation, "--yes")
        people.say("dave", "approve", activation, "--yes")
        resumed = people.say("alice", "request", "--resume", activation, "--show-secret")
        credential = _find(resumed, "credential")
        where = credential["endpoint"]
        login = {
            "host": where["host"],
            "port": int(where["port"]),
            "database": where["dbname"],
            "user": credential["username"],
            "password": credential["secret"],
            "server_settings": {"options": where.get("options", "")},
        }
        session = await asyncpg.connect(**login)
        await session.execute("INSERT INTO orders VALUES (1, 'repaired')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute("SELECT * FROM billing")
        people.say("alice", "return", activation, "--used")
        with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
            await session.execute("SELECT 1")
        session.terminate()
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(**login)
        people.say("erin", "review", activation, "--triage")
        people.say("erin", "review", activation, "--verdict", "justified")
        bundle = here.root / "evidence.json"
        people.say("erin", "evidence", activation, "--out", bundle)
        assert bundle.exists()
        shown = people.say("bob", "status", activation)
        assert _find(shown, "state") == "reviewed"
        _decided_again(people)
        assert server.end(signal.SIGTERM) == 0
    own = f"cp_{Home(here.home).installation().id}"  # other tests share the server
    left = await owner.fetchval(
        "SELECT count(*) FROM pg_roles WHERE starts_with(rolname::text, $1)", own
    )
    assert left == 0
    assert await owner.fetchval("SELECT count(*) FROM orders") == 1


def _decided_again(people: People) -> None:
    """The same policy says the same; a proposed freeze would have refused this one request."""
    here = people.here
    trusted = ("--installation", here.home / "installation.json")
    same = people.say("erin", "policy", "replay", *trusted)
    # Declared, confirmed, asked, approved twice, issued, revealed, triaged, reviewed.
    assert (same["decided"], same["differing"], same["not_decided"]) == (9, 0, {})
    export, proposal = here.root / "export", here.root / "proposal"
    people.say("erin", "log", "export", export)
    shutil.copytree(here.config, proposal)
    (proposal / "policies").mkdir()
    for name, text in {**default_pack(), "freeze.cedar": FREEZE}.items():
        (proposal / "policies" / name).write_text(text)
    with_it = ("policy", "replay", "--log", export, *trusted, "--since", "1d", "--with", proposal)
    found = people.say("bob", *with_it, code=4)
    (change,) = found["changes"]
    assert (change["principal"], change["action"]) == ("alice", "activation:request")
    assert (change["resource"], change["incident"]) == ("orders-db:repair", "inc-7")
    assert (change["old"]["effect"], change["new"]["effect"]) == ("allow", "deny")
    assert change["new"]["policies"] == ["frozen"]
    frozen = {"policy": "frozen", "change": "allow -> deny", "count": 1}
    assert (found["by_policy"], found["decided"], found["differing"]) == ([frozen], 9, 0)


def _find(document: Any, key: str) -> Any:
    """The first value of that name, however deep: what it is wrapped in is the CLI's business."""
    if isinstance(document, dict):
        if key in document:
            return document[key]
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            found = _find(part, key)
            if found is not None:
                return found
    return None
