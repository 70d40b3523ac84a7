"""Commands that want the server stopped, with PostgreSQL as Callpoint's own store."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from callpoint.adapters.stores.sql.store import SqlStore
from callpoint.audit.entry import format_time, parse_time
from callpoint.bootstrap.clock import accept_clock
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.outside import Outside, open_store
from callpoint.bootstrap.process import open_process
from callpoint.bootstrap.recovery import recover_log
from callpoint.bootstrap.rotation import rotate_key, stage, statement_file
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.config.settings import load_settings
from callpoint.domain.errors import ConflictError, LogUnavailableError, StoreUnavailableError
from callpoint.domain.event import (
    BundleRefused,
    KeyRotated,
    LogRecovered,
    SignatureRecord,
)
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.lifecycle.proof import newest_checkpoint, proven
from tests.contract.store_benches import PostgresBench
from tests.fakes.homestead import GOVERNORS, Homestead, serving
from tests.fakes.keys import Signer
from tests.servers import fresh_database

VARIABLE = "STORE_DSN"
_ANY = BundleRefused(actor="erin", digest="", widens=(), reason="of a test")
WAY_OUT = "stop every `callpoint serve`"


@dataclass(frozen=True)
class Place:
    """An installation whose state and log are in PostgreSQL.

    Attributes:
        here: Its folder, and the program.
        bench: What a bad day does to its database.
    """

    here: Homestead
    bench: PostgresBench

    @property
    def dsn(self) -> dict[str, str]:
        return {VARIABLE: self.bench.database.owner_url}

    @property
    def outside(self) -> Outside:
        return Outside(self.dsn, stream=io.StringIO())

    @property
    def home(self) -> Path:
        return self.here.home

    async def store(self) -> SqlStore:
        """As an offline command opens it."""
        settings = load_settings(self.home)
        return await open_store(settings, Home(self.home).installation(), self.outside, alone=True)

    async def works(self) -> list[object]:
        """A server's process starts and adds an entry; the installation's proven events."""
        async with open_process(load_settings(self.home), self.outside) as process:
            services = process.services
            await services.rules.current()
            await services.store.transact(lambda tx: tx.append(INSTALLATION_STREAM, _ANY))
            await services.store.read(lambda view: newest_checkpoint(view, services.installation))
            found = await services.store.read(
                lambda view: proven(view, services.installation, [INSTALLATION_STREAM])
            )
            return [item.event for item in found[INSTALLATION_STREAM]]


@pytest.fixture
def place(postgres_15: ThrowawayPostgres, tmp_path: Path) -> Iterator[Place]:
    with fresh_database(postgres_15) as database:
        here = Homestead(tmp_path)
        here.found("--store-env", VARIABLE, **{VARIABLE: database.owner_url})
        bench = PostgresBench(tmp_path, database)
        bench.schema = "callpoint"
        yield Place(here, bench)


def signed(place: Place, use: str) -> list[SignatureRecord]:
    """A new key is staged, and both governors sign it."""
    message = stage(place.home, use).message()
    assert statement_file(place.home, use).exists()
    return [SignatureRecord(g, Signer(g).public, Signer(g).sign(message)) for g in GOVERNORS]


@pytest.mark.parametrize("use", ["log", "seal"])
async def test_a_key_is_replaced(place: Place, use: str):
    """What was written under the former key still proves, and what is new is under the new one."""
    before = Home(place.home).installation()
    records = signed(place, use)
    done = await rotate_key(place.home, use, records, place.outside)
    now = Home(place.home).installation()
    (rotated,) = (e for e in await place.works() if isinstance(e, KeyRotated) and e.use == use)
    assert (rotated.old, rotated.new) == (done.old, done.new)
    if use == "log":
        assert (now.log_key, now.former_log_keys) == (done.new, (before.log_key,))
    else:
        assert (now.seal_recipient, before.seal_recipient) == (done.new, done.old)
    assert await rotate_key(place.home, use, records, place.outside) == done  # a repeated command


async def test_a_database_from_an_older_copy_is_recovered(place: Place):
    """The log goes on under a new origin that says how much is lost, and proves."""
    place.bench.back_up()
    kept = len(await place.works()) - 1
    place.bench.restore()
    with pytest.raises(LogUnavailableError, match="log recover"):
        await accept_clock(place.home, "no reason", "erin", place.outside)
    done = await recover_log(place.home, "disk lost", "erin", (), place.outside)
    assert done.event is not None
    assert (done.event.lost_size, done.lost) == (1, None)
    assert Home(place.home).installation().origin == done.origin
    events = await place.works()
    assert done.event in events
    assert events.index(done.event) == kept
    with pytest.raises(ConflictError, match="log is whole"):
        await recover_log(place.home, "again", "erin", (), place.outside)


async def test_a_mark_that_is_ahead_is_set_right(place: Place):
    """A clock that had jumped ahead is accepted as it is now, once, and the log says so."""
    ((mark,),) = place.bench.execute("SELECT high_water FROM head")
    ahead = format_time(parse_time(str(mark)) + timedelta(days=30))
    place.bench.execute(f"UPDATE head SET high_water = '{ahead}'")
    done = await accept_clock(place.home, "ntp was wrong", "erin", place.outside)
    assert done.ahead - done.accepted > timedelta(days=29)
    store = await place.store()
    assert await store.read(lambda view: view.skew()) == timedelta(0)
    await store.close()
    assert done in await place.works()
    with pytest.raises(ConflictError, match="nothing to accept"):
        await accept_clock(place.home, "again", "erin", place.outside)


async def test_nothing_of_it_beside_a_server(place: Place):
    """While a server runs, also one whose log is halted, each is refused and says what to stop."""
    records = signed(place, "log")
    place.bench.back_up()
    with serving(place.here, **place.dsn):
        with pytest.raises(StoreUnavailableError) as rotating:
            await rotate_key(place.home, "log", records, place.outside)
        with pytest.raises(StoreUnavailableError) as accepting:
            await accept_clock(place.home, "no reason", "erin", place.outside)
        assert WAY_OUT in rotating.value.way_out
        assert WAY_OUT in accepting.value.way_out
    await place.works()
    place.bench.restore()
    recover = ("log", "recover", "--home", place.home, "--reason", "lost", "--as", "erin")
    with serving(place.here, **place.dsn) as halted:
        refused = place.here.run(*recover, "-o", "json", environment=place.dsn)
        assert refused.returncode == 6, refused.stdout + refused.stderr
        assert WAY_OUT in json.loads(refused.stderr)["error"]["way_out"]
        halted.process.kill()
        halted.process.wait()
    done = place.here.run(*recover, "-o", "json", environment=place.dsn)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["lost_entries"] == 1
    await rotate_key(place.home, "log", records, place.outside)
    kinds = [type(event) for event in await place.works()]
    assert kinds.count(LogRecovered) == kinds.count(KeyRotated) == 1
