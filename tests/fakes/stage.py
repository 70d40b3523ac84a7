"""Two targets, several nodes over one store, a source of incidents, people with two keys.

Besides the people of ``world``: alice and carol have a second key each (``alice-phone``,
``carol-phone``), and ``pager`` reports incidents.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec

from callpoint.config.default_policies import default_pack
from callpoint.domain.activation import Activation
from callpoint.domain.configuration import Configuration, IncidentSource
from callpoint.domain.eligibility import Opening, Severity
from callpoint.domain.governance import Bundle
from callpoint.domain.lease import Lease
from callpoint.domain.principal import Principal, PrincipalKind
from callpoint.lifecycle import found
from callpoint.lifecycle.pep import Pep
from callpoint.lifecycle.rules import RuleBook
from callpoint.lifecycle.services import Services
from callpoint.ports.decider import Decider
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.keys import AgeSealer, Ed25519Checker, MemoryLogSigner, MemoryVault, Signer
from tests.fakes.memory_store import State
from tests.fakes.mortal import Fuse, MortalStore, MortalTarget
from tests.fakes.world import (
    INSTALLATION,
    ORIGIN,
    Notices,
    World,
    build_decider,
    configuration,
    eligibility,
    installation,
    signed,
)

OPENS = (Opening("billing-db", "repair"), Opening("orders-db", "repair"))
IDLE = timedelta(minutes=10)
PAGER = IncidentSource("pager", "alertmanager", "0" * 64, {}, {}, stale_after=timedelta(minutes=20))


def rules(idle: timedelta | None = IDLE) -> Configuration:
    """The usual people, second keys, a source, and an eligibility that opens two targets."""
    made = configuration(eligibility(opens=OPENS, idle=idle))
    seconds = {
        f"{who}-phone": Principal(
            f"{who}-phone", PrincipalKind.HUMAN, (who,), Signer(f"{who}-phone").public
        )
        for who in ("alice", "carol")
    }
    return msgspec.structs.replace(
        made, principals={**made.principals, **seconds}, sources={"pager": PAGER}
    )


class Deciders:
    """The real PDP, built once for each bundle: tests make many worlds of the same rules."""

    def __init__(self) -> None:
        self._built: dict[str, Decider] = {}

    def __call__(self, bundle: Bundle) -> Decider:
        digest = bundle.digest()
        if digest not in self._built:
            self._built[digest] = build_decider(bundle)
        return self._built[digest]


@dataclass
class Stage:
    """Everything outside a node, and how a node is started on it."""

    clock: SimulatedClock
    fuse: Fuse
    random: SeededRandom
    store: MortalStore
    targets: dict[str, MortalTarget]
    bundle: Bundle
    vault: MemoryVault
    notices: Notices
    deciders: Deciders = field(default_factory=Deciders)

    @property
    def state(self) -> State:
        """What the store holds."""
        return self.store.state

    def node(self) -> World:
        """A process that was just started: nothing in memory but its keys and settings."""
        made = installation()
        services = Services(
            installation=made,
            store=self.store,
            rules=RuleBook(made, self.store, self.deciders, verifier=Ed25519Checker()),
            pep=Pep(self.store),
            clock=self.clock,
            random=self.random,
            notifier=self.notices,
            sealer=AgeSealer(),
            vault=self.vault,
            verifier=Ed25519Checker(),
            targets=self.targets,
        )
        return World(services, self.clock, self.notices, self.bundle)

    def activations(self) -> list[Activation]:
        """Every activation, by id."""
        found = [r for (kind, _), (r, _) in self.state.records.items() if kind is Activation]
        return sorted((a for a in found if isinstance(a, Activation)), key=lambda a: a.id)

    def leases(self, activation: str | None = None) -> list[Lease]:
        """Every lease (of an activation), by handle."""
        found = [r for (kind, _), (r, _) in self.state.records.items() if kind is Lease]
        chosen = (x for x in found if isinstance(x, Lease))
        return sorted((x for x in chosen if activation in (None, x.activation)), key=lambda x: x.id)

    def heal(self) -> None:
        """Everything answers again, nothing fails any more, and clocks are right."""
        self.fuse.replace()
        self.store.dead = self.store.log_down = False
        for target in self.targets.values():
            target.down, target.offset = False, timedelta(0)
            target.stubborn.clear()
            target.delays.clear()
            target.forget_faults()
        high = self.state.high_water
        if high is not None and high > self.clock.now():
            self.clock.jump(high - self.clock.now())


async def make_stage(
    *, seed: int = 1, idle: timedelta | None = IDLE, deciders: Deciders | None = None
) -> Stage:
    """Found the installation."""
    clock, random, fuse = SimulatedClock(auto=True), SeededRandom(seed), Fuse()
    store = MortalStore(
        fuse,
        signer=MemoryLogSigner(ORIGIN),
        clock=clock,
        origin=ORIGIN,
        installation=INSTALLATION,
    )
    targets = {o.target: MortalTarget(fuse, o.target, clock, random, INSTALLATION) for o in OPENS}
    bundle = Bundle(INSTALLATION, 1, "", rules(idle), default_pack())
    stage = Stage(clock, fuse, random, store, targets, bundle, MemoryVault(), Notices())
    stage = replace(stage, deciders=deciders or Deciders())
    signatures = signed(bundle, "gina", "hugo")
    await found.found(installation(), store, Ed25519Checker(), bundle, signatures)
    return stage


BOTH = ("billing-db", "orders-db")
"""An incident that names both targets."""

SEVERE = Severity.SEV1
