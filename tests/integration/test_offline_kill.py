"""`callpoint kill --offline` on a server's machine, and a server that starts without its store.

Nothing answers at the target of this installation: what must be said then is what is tested here.
"""

import asyncio
import io
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from callpoint.bootstrap.home import Home
from callpoint.bootstrap.offline_kill import address_of, kill_offline
from callpoint.bootstrap.outside import Outside
from callpoint.bootstrap.process import open_process
from callpoint.cli.signing import sign_request
from callpoint.config.settings import load_settings
from callpoint.domain.errors import AuthenticationError, StoreUnavailableError
from callpoint.domain.event import TombstoneMerged
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.kill import Killed, Scope
from callpoint.domain.tombstone import SignedOrder
from callpoint.lifecycle.merge import tend
from callpoint.lifecycle.proof import proven
from tests.fakes.face import private_key
from tests.fakes.homestead import Homestead

NOBODY = "postgresql://nobody@127.0.0.1:1/none?sslmode=disable"
BROKER = "ORDERS_BROKER_DSN"


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Homestead:
    made = Homestead(tmp_path_factory.mktemp("offline"))
    made.found()
    return made


@pytest.fixture
def here(founded: Homestead) -> Iterator[Homestead]:
    """As it was founded, after each test too."""
    pin = (founded.home / "in-force.json").read_bytes()
    yield founded
    (founded.home / "in-force.json").write_bytes(pin)
    (founded.home / "server.toml").unlink(missing_ok=True)
    shutil.rmtree(founded.home / "tombstones", ignore_errors=True)


async def kill(here: Homestead, who: str, as_whom: str = "", **environment: str) -> Killed:
    """Everything, signed with the key of ``who``."""
    origin = address_of(here.home)
    url, body = f"{origin}/v1/kill", msgspec.json.encode({"scope": "everything", "about": ""})
    headers = sign_request(
        "POST",
        url,
        body,
        principal=as_whom or who,
        key=private_key(who),
        now=datetime.now(UTC),
        nonce=secrets.token_bytes(16),
    )
    order = SignedOrder("POST", url, headers, body, (origin,))
    outside = Outside(environment, stream=io.StringIO())
    return await kill_offline(here.home, as_whom or who, Scope.EVERYTHING, "", order, outside)


async def test_what_cannot_be_looked_at_is_told(here: Homestead):
    """A secret that this shell lacks, and a target that does not answer, are no success."""
    killed = await kill(here, "alice")
    assert killed.unreachable == ("orders-db",)
    assert f"the environment variable {BROKER} is not set" in killed.trouble[0]
    killed = await kill(here, "alice", **{BROKER: NOBODY})
    assert (killed.unreachable, killed.trouble) == (("orders-db",), ())
    assert len(list(Home(here.home).tombstones.glob("*.json"))) == 2


async def test_only_who_is_configured_may(here: Homestead):
    """Another key, and a name that nobody has, leave no order and ask no target."""
    for who, as_whom in (("mallory", "alice"), ("mallory", "mallory")):
        with pytest.raises(AuthenticationError):
            await kill(here, who, as_whom)
    assert not Home(here.home).tombstones.exists()


async def test_the_next_server_merges_it_before_anything_else(here: Homestead):
    """The order of a person at the machine is in the log, with the signature that carries it."""
    killed = await kill(here, "alice")
    outside = Outside({}, stream=io.StringIO())
    async with open_process(load_settings(here.home), outside) as process:
        services = process.services
        assert [one.id for one in services.node.tombstones.unmerged()] == [killed.tombstone]
        assert (await tend(services)).merged == (killed.tombstone,)
        events = await services.store.read(
            lambda view: proven(view, services.installation, [INSTALLATION_STREAM])
        )
    (merged,) = [
        item.event
        for item in events[INSTALLATION_STREAM]
        if isinstance(item.event, TombstoneMerged)
    ]
    assert (merged.actor, merged.origins) == ("alice", (address_of(here.home),))


async def test_only_silence_lets_a_server_start_without_its_store(here: Homestead):
    """It finds the store when it is there; a store that answers no, or no rules, is an error."""
    (here.home / "server.toml").write_text(
        '[store]\nkind = "postgresql"\ndsn = { env = "STORE_DSN" }\n'
    )
    settings = load_settings(here.home)
    outside = Outside({"STORE_DSN": NOBODY}, stream=io.StringIO())
    async with open_process(settings, outside) as process:
        assert process.late is not None
        with pytest.raises(StoreUnavailableError, match="not there yet"):
            await process.services.store.read(lambda view: view.now())
        assert (await process.services.rules.refresh()).principals
        stop = asyncio.Event()
        stop.set()
        await process.find_store(stop)
    (here.home / "in-force.json").unlink()
    with pytest.raises(StoreUnavailableError, match="PostgreSQL, the store, failed"):
        async with open_process(settings, outside):
            pass
