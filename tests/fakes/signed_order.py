"""Kill orders that people sign, and nodes with a home folder of their own."""

from dataclasses import replace
from pathlib import Path

import msgspec

from callpoint.adapters.identity.signatures import SignedOrderJudge
from callpoint.adapters.node.files import FilePicture, FileShelf
from callpoint.cli.signing import sign_request
from callpoint.domain.kill import Killed, Scope
from callpoint.domain.tombstone import SignedOrder, Tombstone, offline_origin, tombstone_id
from callpoint.lifecycle.kill_without_store import kill_without_store
from callpoint.lifecycle.node import Node, Picture, Tombstones
from callpoint.ports.tombstones import Waiting
from tests.fakes.face import ADDRESS, private_key
from tests.fakes.stage import BOTH, Deciders, Stage, make_stage
from tests.fakes.world import INSTALLATION, World

DECIDERS = Deciders()
OFFLINE = offline_origin(INSTALLATION)


def with_home(world: World, home: Path) -> World:
    """The same process with what it keeps in a folder; once more, and it was restarted."""
    services = world.services
    node = Node(
        Picture(FilePicture(home / "known-leases.jsonl")),
        Tombstones(FileShelf(home / "tombstones")),
        SignedOrderJudge(INSTALLATION, (ADDRESS,), services.clock),
    )
    return replace(world, services=replace(services, node=node))


class MemoryShelf:
    """Implements ``ports.tombstones.TombstoneShelf``: a node's disk that outlives its process."""

    def __init__(self) -> None:
        self.kept: dict[str, Tombstone] = {}
        self.refused: dict[str, Tombstone] = {}

    def put(self, tombstone: Tombstone) -> None:
        self.kept[tombstone.id] = tombstone

    def waiting(self) -> tuple[Waiting, ...]:
        return tuple(Waiting(key, self.kept[key]) for key in sorted(self.kept))

    def retire(self, key: str) -> None:
        self.kept.pop(key, None)

    def set_aside(self, key: str) -> None:
        self.refused[key] = self.kept.pop(key)

    def aside(self) -> tuple[str, ...]:
        return tuple(sorted(self.refused))


def with_shelf(world: World, shelf: MemoryShelf) -> World:
    """A process that was just started, with the tombstones of the ones before it."""
    services = world.services
    judge = SignedOrderJudge(INSTALLATION, (ADDRESS,), services.clock)
    node = Node(Picture(), Tombstones(shelf), judge)
    return replace(world, services=replace(services, node=node))


def signed_order(
    world: World, who: str, scope: str, about: str = "", *, origin: str = OFFLINE
) -> SignedOrder:
    """A kill request, signed now with the key of ``who``."""
    body = msgspec.json.encode({"scope": str(scope), "about": about})
    services = world.services
    signed = sign_request(
        "POST",
        f"{origin}/v1/kill",
        body,
        principal=who,
        key=private_key(who),
        now=services.clock.now(),
        nonce=services.random.token(16),
    )
    return SignedOrder("POST", f"{origin}/v1/kill", signed, body, (origin,))


def tombstone(world: World, who: str, scope: str, about: str = "", **changes: object) -> Tombstone:
    """What a node would keep of such an order."""
    order = signed_order(world, who, scope, about)
    now = world.services.clock.now()
    made = Tombstone(tombstone_id(order.headers), now, who, scope, about, order)
    return msgspec.structs.replace(made, **changes)


async def pull(world: World, who: str, scope: Scope, about: str = "") -> Killed:
    """The kill switch without the store."""
    order = signed_order(world, who, scope, about)
    return await kill_without_store(world.services, world.caller(who), scope, about, order)


async def held_by(home: Path) -> tuple[Stage, World, dict[str, str]]:
    """Live access of several principals, known to a node that then loses its store."""
    stage = await make_stage(idle=None, deciders=DECIDERS)
    world = with_home(stage.node(), home)
    for name in ("inc-7", "inc-8"):
        await world.incident(name, targets=BOTH)
    ids = {
        "alice": (await world.active()).id,
        "bob": (await world.active("bob", opens=("orders-db:repair",))).id,
        "fixer": (await world.active("fixer", incident="inc-8", opens=("billing-db:repair",))).id,
    }
    return stage, world, ids


def alive(stage: Stage) -> set[str]:
    """Activations that an account on a target still serves."""
    return {a.handle[6:18] for t in stage.targets.values() for a in t.accounts.values()}
