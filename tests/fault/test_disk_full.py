"""The disk of the server fills up, at every point of an emergency: nothing is given, all is taken.

Full means that no file of this process takes another byte (RLIMIT_FSIZE), so every write fails
that comes after: the database and its log, the checkpoint, the picture, the tombstone, the pinned
rules, the server's own log. Points are found by running: before and after each transaction, each
signature, each call of a target, and each file that is brought to the disk.
"""

import os
import resource
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from callpoint.adapters.notifiers.log import LogNotifier
from callpoint.adapters.stores.sqlite.store import SqliteStore
from callpoint.audit.verify import verify_log
from callpoint.bootstrap.home import Home
from callpoint.domain.activation import EndReason
from callpoint.domain.errors import CallpointError
from callpoint.domain.kill import Scope
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle import issue, reconcile, sweep
from callpoint.lifecycle.kill_without_store import kill_anyhow
from callpoint.lifecycle.merge import tend
from callpoint.lifecycle.rules import RuleBook
from callpoint.ports.stores import View, Where
from tests.crash.fuse import Fuse, FusedConnector, FusedSigner, FusedStore
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.keys import MemoryLogSigner, MemoryVault
from tests.fakes.signed_order import signed_order, with_home
from tests.fakes.simulated_target import SimulatedTarget
from tests.fakes.stage import Deciders
from tests.fakes.world import INSTALLATION, ORIGIN, World, assemble, found_world

DECIDERS = Deciders()
VAULT = MemoryVault()
_ALL = 10**6

T = TypeVar("T")


class Disk(Fuse):
    """Full from the n-th point on; 0 never."""

    def __init__(self, length: int) -> None:
        super().__init__(0)
        self._at = length
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.is_full = False

    def burn(self) -> None:
        self.burnt += 1
        if self.burnt == self._at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._before[1]))
            self.is_full = True

    def make_room(self) -> None:
        """From now on it takes everything, and never fills again."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
        self._at, self.is_full = 0, False


@dataclass
class Scene:
    """One server on one disk, and the target, which is elsewhere."""

    world: World
    target: SimulatedTarget
    disk: Disk
    home: Path


async def play(scene: Scene) -> str:
    """Ask, approve, issue, fetch and use; returns the activation, or nothing.

    Whatever was begun with a full disk must not have been given.
    """
    world, disk = scene.world, scene.disk
    made = ""
    with suppress(CallpointError):
        made = (await world.ask()).id
        await world.vote("carol", made)
        await world.vote("dave", made)
        await given(disk, issue.issue(world.services, world.caller("alice"), made))
        sealed = await given(disk, world.credential(made))
        scene.target.open_session(sealed.credential.username, sealed.credential.secret)
        await world.services.node.picture.follow(world.services.store)
    return made


async def given(disk: Disk, work: Awaitable[T]) -> T:
    """What was given; with a disk that was full before, nothing may be."""
    was_full = disk.is_full
    got = await work
    assert not was_full, "given while nothing could be written"
    return got


async def prepare(home: Path) -> None:
    """A founded installation with an open incident, to begin from again and again."""
    home.mkdir()  # noqa: ASYNC240 -- a test has time
    async with on_disk(home, 0) as scene:
        await found_world(scene.world)
        await scene.world.incident()


@asynccontextmanager
async def on_disk(home: Path, length: int) -> AsyncIterator[Scene]:
    """The server on this folder, whose disk fills up at a point."""
    clock, random, disk = SimulatedClock(auto=True), SeededRandom(length), Disk(length)
    target = SimulatedTarget("orders-db", clock, random, INSTALLATION)
    store = await SqliteStore.open(
        home / "callpoint.sqlite3",
        signer=FusedSigner(MemoryLogSigner(ORIGIN), disk),
        clock=clock,
        checkpoint_file=home / "checkpoint",
        origin=ORIGIN,
        installation=INSTALLATION,
    )
    fused = FusedStore(store, disk)
    world = assemble(
        store=fused,
        clock=clock,
        random=random,
        targets={"orders-db": FusedConnector(target, disk)},
        vault=VAULT,
    )
    services = world.services
    with (home / "log").open("a") as stream:
        rules = RuleBook(
            services.installation,
            fused,
            DECIDERS,
            verifier=services.verifier,
            on_load=Home(home).pin,
        )
        services = replace(services, rules=rules, notifier=LogNotifier(clock, stream))
        try:
            yield Scene(with_home(replace(world, services=services), home), target, disk, home)
        finally:
            disk.make_room()
            await store.close()


@pytest.mark.timeout(180)
async def test_a_disk_that_fills_up_at_any_point_gives_nothing_and_keeps_nothing_alive(
    tmp_path, monkeypatch
):
    """The kill works at once, with or without a tombstone; with room the evidence is whole."""
    home, template = tmp_path / "home", tmp_path / "template"
    await prepare(home)
    shutil.copytree(home, template)
    ways: set[tuple[bool, bool]] = set()
    for length in range(1, 500):
        shutil.rmtree(home)
        shutil.copytree(template, home)  # the same place: a copy elsewhere would be held
        async with on_disk(home, length) as scene:
            with watched(monkeypatch, scene.disk):
                made = await play(scene)
                ways.add(await kill_everything(scene))
            was_full = scene.disk.is_full
            scene.disk.make_room()
            await settle(scene, made)
        if not was_full:
            assert ways == {(False, False), (True, False)}, "in the store, and without"
            assert length > 60, "fewer points than an emergency has"
            return
    raise AssertionError("it never came to an end")


async def test_a_database_that_somebody_else_has_locked_holds_up_no_kill(tmp_path):
    """The kill waits for it only so long; what it began in the store is merged all the same."""
    home = tmp_path / "home"
    await prepare(home)
    async with on_disk(home, 0) as scene:
        made = await play(scene)
        limits = replace(scene.world.services.limits, store_within=timedelta(milliseconds=100))
        services = replace(scene.world.services, limits=limits)
        scene.world = replace(scene.world, services=services)
        with closing(sqlite3.connect(home / "callpoint.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert await kill_everything(scene) == (True, True)
            other.execute("ROLLBACK")
        await settle(scene, made)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch, disk: Disk) -> Iterator[None]:
    """Each file that is brought to the disk is a point, too."""

    def counted(usual: Callable[[int], None]) -> Callable[[int], None]:
        def flush(handle: int) -> None:
            disk.burn()
            usual(handle)

        return flush

    with monkeypatch.context() as patched:
        for name in ("fsync", "fdatasync"):
            patched.setattr(os, name, counted(getattr(os, name)))
        yield


async def kill_everything(scene: Scene) -> tuple[bool, bool]:
    """It never fails, and nothing is alive when it answers.

    Returns:
        Whether it went without the store, and whether its tombstone could be written.
    """
    world = scene.world
    order = signed_order(world, "bob", Scope.EVERYTHING)
    caller = world.caller("bob")
    killed = await kill_anyhow(
        world.services, caller, Scope.EVERYTHING, "", order, store_answers=True
    )
    assert killed.alive == ()
    assert scene.target.accounts == {}
    assert scene.target.live_sessions() == []
    if killed.without_store:
        with pytest.raises(CallpointError):
            world.services.node.tombstones.must_be_merged()
        assert bool(killed.tombstone) != bool(killed.trouble)
    return killed.without_store, bool(killed.tombstone)


async def settle(scene: Scene, made: str) -> None:
    """There is room again: all that was done is in the store, with its evidence."""
    services = scene.world.services
    done = await tend(services)
    assert done.errors == ()
    assert services.node.tombstones.unmerged() == ()
    scene.world.clock.advance(services.limits.claim_for)
    await sweep.sweep(services)
    await reconcile.reconcile(services)
    await services.node.picture.follow(services.store)
    services.node.picture.must_be_kept()
    assert await services.store.merge_spool() == 0
    await services.store.read(lambda view: must_be_whole(view, scene))
    if made and (found := await scene.world.get(made)).not_after is not None:
        assert found.end_reason in {EndReason.KILLED, EndReason.ISSUE_FAILED}


def must_be_whole(view: View, scene: Scene) -> None:
    """Every lease is proven dead, and the whole log verifies against the checkpoint outside."""
    leases = view.select(Lease, Where(limit=_ALL))
    assert {lease.state for lease in leases} <= {LeaseState.ENDED}
    report = verify_log(
        [entry.leaf for entry in view.log_slice(0, _ALL)],
        view.checkpoint().encode(),
        MemoryLogSigner(ORIGIN).verifier_key,
        earlier=(scene.home / "checkpoint").read_bytes(),
        origin=ORIGIN,
    )
    assert report.ok, report.findings
