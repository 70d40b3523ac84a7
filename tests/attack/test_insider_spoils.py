"""A row that an insider spoils keeps nothing else alive: what takes away passes it over."""

from datetime import timedelta
from pathlib import Path

import pytest

from callpoint.domain.kill import Scope
from callpoint.lifecycle import kill
from callpoint.lifecycle.reconcile import reconcile
from callpoint.lifecycle.sweep import sweep
from tests.attack.quarry import Quarry
from tests.fakes.world import World, found_world


async def killed(world: World) -> None:
    await kill.kill(world.services, world.caller("carol"), Scope.EVERYTHING)


async def expired(world: World) -> None:
    world.clock.advance(timedelta(hours=2))
    await sweep(world.services)


@pytest.mark.parametrize("ended", [killed, expired])
@pytest.mark.parametrize("kind", ["activation", "lease", "incident"])
async def test_a_spoilt_row_keeps_nothing_else_alive(tmp_path: Path, kind: str, ended):
    """Bob's credential dies on a kill and in its time, though a row of alice's does not parse."""
    quarry = Quarry(tmp_path / "quarry")
    quarry.folder.mkdir()
    async with quarry.world() as world:
        await found_world(world)
        await world.incident()
        hers, his = await world.active(), await world.active("bob")
        (lease,) = await world.leases(hers.id)
        (other,) = await world.leases(his.id)
        key = {"activation": hers.id, "lease": lease.id, "incident": "inc-7"}[kind]
        spoil = "UPDATE records SET body = x'7b7d' WHERE kind = ? AND key = ?"
        quarry.execute(spoil, (kind, key))
        await ended(world)
        assert other.plan.account not in world.target.accounts
        if kind == "activation":  # its lease says enough to be found and removed
            assert not world.target.accounts
        if kind == "lease":  # nothing explains her account any more, so it is an unknown one
            await reconcile(world.services)
            assert not world.target.accounts
