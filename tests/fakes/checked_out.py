"""An installation that opens a static account, on a store and a target that can die at any call."""

import base64
from dataclasses import replace

import msgspec

from callpoint.config.default_policies import default_pack
from callpoint.domain.configuration import Configuration, KnownAccount, TargetRole
from callpoint.domain.eligibility import Opening
from callpoint.domain.governance import Bundle
from callpoint.domain.static_secret import StaticSecret, static_secret_key
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.keys import MemoryLogSigner, MemoryVault
from tests.fakes.mortal import Fuse, MortalStore, MortalTarget
from tests.fakes.simulated_static import SimulatedStatic
from tests.fakes.stage import Deciders, Stage
from tests.fakes.world import (
    INSTALLATION,
    ORIGIN,
    Notices,
    World,
    configuration,
    eligibility,
    found_world,
)

TARGET, ROLE, ACCOUNT = "orders-db", "legacy", "legacy_admin"
DECIDERS = Deciders()


def rules(accounts: dict[str, KnownAccount] | None = None) -> Configuration:
    """The usual eligibility opens the static account, and nothing else."""
    made = configuration(eligibility(opens=(Opening(TARGET, ROLE),), idle=None))
    target = made.targets[TARGET]
    role = TargetRole(ROLE, {"account": ACCOUNT, "kind": "checked_out", "between": "locked"})
    target = msgspec.structs.replace(
        target, roles=(*target.roles, role), accounts=accounts or msgspec.UNSET
    )
    return msgspec.structs.replace(made, targets={**made.targets, TARGET: target})


async def make_place(
    *,
    asks_old: bool = False,
    locks: bool = True,
    fences: bool = True,
    accounts: dict[str, KnownAccount] | None = None,
) -> Stage:
    """Found it, with an open incident."""
    clock, random, fuse = SimulatedClock(auto=True), SeededRandom(1), Fuse()
    store = MortalStore(
        fuse,
        signer=MemoryLogSigner(ORIGIN),
        clock=clock,
        origin=ORIGIN,
        installation=INSTALLATION,
    )
    target = MortalTarget(fuse, TARGET, clock, random, INSTALLATION, checked_out={ROLE: ACCOUNT})
    target.static.asks_old, target.static.locks, target.static.fences = asks_old, locks, fences
    bundle = Bundle(INSTALLATION, 1, "", rules(accounts), default_pack())
    stage = Stage(clock, fuse, random, store, {TARGET: target}, bundle, MemoryVault(), Notices())
    stage = replace(stage, deciders=DECIDERS)
    await found_world(stage.node())
    await stage.node().incident()
    return stage


def static_of(stage: Stage) -> SimulatedStatic:
    """The target's side of its static accounts."""
    return stage.targets[TARGET].static


def row_of(stage: Stage) -> StaticSecret | None:
    """What the store holds of the account."""
    found = stage.state.records.get((StaticSecret, static_secret_key(TARGET, ACCOUNT)))
    return found[0] if found else None  # type: ignore[return-value]  # keyed by its class


def stored_secrets(world: World, stage: Stage) -> list[str]:
    """Every secret of the account that the installation could still open, oldest first."""
    row = row_of(stage)
    boxes = [c.box for c in row.candidates] if row else []
    return [world.services.vault.open(base64.b64decode(box)).decode() for box in boxes]


def in_force(stage: Stage) -> str | None:
    """The secret that the target has now."""
    return stage.targets[TARGET].accounts[ACCOUNT].secret
