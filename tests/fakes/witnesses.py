"""Witnesses in this process: a world that is watched, desks that cosign, ways between them."""

from collections.abc import Callable
from datetime import timedelta

import msgspec

from callpoint.audit.cosignature import Cosigner
from callpoint.audit.submission import OutdatedError, SubmissionError
from callpoint.domain.errors import UnavailableError
from callpoint.domain.witnessing import Witness, WitnessedLog, Witnessing
from callpoint.lifecycle.cosign import WitnessDesk
from callpoint.ports.witnesses import Remembered, Reply
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.memory_store import MemoryStore
from tests.fakes.world import INSTALLATION, ORIGIN, World, assemble, found_world

LOG_KEY = MemoryLogSigner(ORIGIN).verifier_key
THIS_LOG = WitnessedLog("watched", ORIGIN, (LOG_KEY,))


def cosigner(name: str) -> Cosigner:
    """The key of the witness of that name."""
    return Cosigner(f"{name}.example/w", name.encode().ljust(32, b"."))


def witness(name: str) -> Witness:
    """Its entry in the configuration of a log."""
    return Witness(name, f"http://{name}", cosigner(name).public.format())


def watched_by(*names: str, quorum: int = 0, within: timedelta = timedelta(hours=1)) -> Witnessing:
    """The configuration of a log that these see."""
    return Witnessing(quorum, within, {name: witness(name) for name in names})


async def make_watched(watching: Witnessing, *, clock: SimulatedClock | None = None) -> World:
    """A founded world with these witnesses."""
    clock = clock or SimulatedClock(auto=True)
    store = MemoryStore(
        signer=MemoryLogSigner(ORIGIN), clock=clock, origin=ORIGIN, installation=INSTALLATION
    )
    world = assemble(store=store, clock=clock, random=SeededRandom(1), targets={})
    rules = msgspec.structs.replace(world.bundle.configuration, witnessing=watching)
    world.bundle = msgspec.structs.replace(world.bundle, configuration=rules)
    await found_world(world)
    await world.services.rules.current()
    return world


class MemoryKey:
    """Implements ``ports.witnesses.CosigningKey``.

    Attributes:
        signed: Texts that it signed.
        die: Called before each signature.
    """

    def __init__(self, name: str) -> None:
        self._key = cosigner(name)
        self.signed: list[str] = []
        self.die: Callable[[], None] = lambda: None

    @property
    def public(self) -> str:
        return self._key.public.format()

    def cosign(self, text: str, time: int) -> str:
        self.die()
        self.signed.append(text)
        return self._key.cosign(text, time).line().removesuffix("\n")


class Notebook:
    """Implements ``ports.witnesses.WitnessMemory``.

    Attributes:
        trees: What is in it.
        is_full: Nothing can be written.
    """

    def __init__(self) -> None:
        self.trees: dict[str, Remembered] = {}
        self.is_full = False

    def latest(self, origin: str) -> Remembered | None:
        return self.trees.get(origin)

    def remember(self, origin: str, tree: Remembered) -> None:
        if self.is_full:
            raise UnavailableError("the disk is full")
        self.trees[origin] = tree


async def make_desk(
    name: str = "north",
    *,
    logs: tuple[WitnessedLog, ...] = (THIS_LOG,),
    clock: SimulatedClock | None = None,
) -> tuple[WitnessDesk, World, MemoryKey, Notebook]:
    """A witness that knows these logs."""
    world = await make_watched(Witnessing(logs={log.id: log for log in logs}), clock=clock)
    key, memory = MemoryKey(name), Notebook()
    return WitnessDesk(world.services, key, memory), world, key, memory


class Streets:
    """Implements ``ports.witnesses.Witnesses`` over desks in this process.

    Attributes:
        desks: By name.
        silent: Names that do not answer.
        replies: Names that answer this instead.
        asked: Names in the order of being asked.
    """

    def __init__(self, **desks: WitnessDesk) -> None:
        self.desks = desks
        self.silent: set[str] = set()
        self.replies: dict[str, Reply] = {}
        self.asked: list[str] = []

    async def add_checkpoint(self, url: str, submission: bytes) -> Reply:
        name = url.removeprefix("http://")
        self.asked.append(name)
        if name in self.silent:
            raise UnavailableError(f"no answer from {url}")
        if name in self.replies:
            return self.replies[name]
        try:
            return Reply(200, (await self.desks[name].add_checkpoint(submission)).encode())
        except OutdatedError as error:
            return Reply(409, f"{error.size}\n".encode())
        except SubmissionError as error:
            return Reply(error.status, f"{error}\n".encode())
