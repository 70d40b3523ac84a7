"""A world in which reads through the gateway are answered beside their record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from callpoint.domain.allowance import Allowance
from callpoint.domain.configuration import Configuration
from callpoint.domain.gateway import Evidence
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.authority import Arrival, Opened
from callpoint.ports.grants import Grants
from tests.fakes.behind import GATEWAY, SOURCE, behind, connect
from tests.fakes.world import World, eligibility, make_world


def beside(rules: Configuration) -> Configuration:
    """As ``behind``, with ``evidence = "with"`` on every target."""
    made = behind(rules)
    targets = {
        name: msgspec.structs.replace(target, evidence=Evidence.WITH)
        for name, target in made.targets.items()
    }
    return msgspec.structs.replace(made, targets=targets)


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[asyncio.Task[None]]:
    """Let it run; its task, for a test that kills it."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(recorder.run(stop))
        await asyncio.sleep(0)
        try:
            yield task
        finally:
            stop.set()


@dataclass
class Lax:
    """One activation on such a target, and its authority."""

    world: World
    activation: str
    recorder: Recorder
    authority: GatewayAuthority

    async def open(self) -> Opened:
        """One more session."""
        made = await connect(self.world, self.activation)
        return await self.authority.open_session(Arrival(made.connection.id, SOURCE, GATEWAY))

    async def settled(self) -> None:
        """Let the recorder have its turns."""
        for _ in range(20):
            await asyncio.sleep(0)


async def lax(
    allowance: Allowance | None = None, grants: Grants | None = None, **changes: Any
) -> Lax:
    """Its recorder is yet to be started (``running``); ``changes`` are of the eligibility."""
    rule = eligibility(allowance=allowance or Allowance(), **changes)
    world = await make_world(rule, adapt=beside)
    await world.incident()
    recorder = Recorder(world.services)
    authority = GatewayAuthority(world.services, GATEWAY, recorder, grants)
    return Lax(world, (await world.active()).id, recorder, authority)
