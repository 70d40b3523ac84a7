"""What one doomed process does: an emergency from request to end, or what a worker does."""

import asyncio
import sys
from enum import StrEnum

import asyncpg
import msgspec

from callpoint.domain.errors import CallpointError
from callpoint.domain.kill import Scope
from callpoint.lifecycle import give_back, kill, reconcile, sweep
from callpoint.ports.box import SealedCredential
from tests.crash.fuse import Fuse
from tests.crash.site import Site, open_world
from tests.fakes.world import World


class Scenario(StrEnum):
    """How the process would have ended its work."""

    RETURN = "return"
    KILL = "kill"
    LEAVE = "leave"
    SWEEP = "sweep"


class Order(msgspec.Struct, frozen=True):
    """What an executed process is told on standard input."""

    site: Site
    scenario: Scenario
    fuse: int


async def play(order: Order) -> int:
    """Do it; returns how many points were passed, when the fuse was too long to kill."""
    fuse = Fuse(order.fuse)
    world = await open_world(order.site, fuse)
    session = None
    try:
        if order.scenario is Scenario.SWEEP:
            await reconcile.reconcile(world.services)
            await sweep.sweep(world.services)
            return fuse.burnt
        made = await world.active()
        session = await _use(await world.credential(made.id))
        await _end(world, order.scenario, made.id)
    except CallpointError as error:
        # Another process's worker may have ended it first; that is a lawful end.
        sys.stderr.write(f"{order.scenario}: {error}\n")
    finally:
        if session is not None:
            session.terminate()
        await world.services.store.close()
    return fuse.burnt


async def _end(world: World, scenario: Scenario, activation: str) -> None:
    match scenario:
        case Scenario.RETURN:
            await give_back.give_back(world.services, world.caller("alice"), activation)
        case Scenario.KILL:
            scope = Scope.ACTIVATION
            await kill.kill(world.services, world.caller("bob"), scope, activation)
        case Scenario.LEAVE | Scenario.SWEEP:
            return  # time ends it


async def _use(sealed: SealedCredential) -> asyncpg.Connection:
    """A live session, which is what a crash may leave behind."""
    where = sealed.credential.endpoint
    session = await asyncpg.connect(
        host=where["host"],
        port=int(where["port"]),
        database=where["dbname"],
        user=sealed.credential.username,
        password=sealed.credential.secret,
        server_settings={"options": where["options"]},
    )
    await session.execute("INSERT INTO orders VALUES (1)")
    return session


def main() -> None:
    """An executed process: the order comes on standard input."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    asyncio.run(play(order))


if __name__ == "__main__":
    main()
