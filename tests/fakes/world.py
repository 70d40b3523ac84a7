"""A whole installation for tests: real rules, real log, real signatures, simulated targets.

People: alice and bob are on call (alice may ask), carol and dave command incidents (they approve),
erin and frank are security (they review, and supply the added approver), gina and hugo govern.
``fixer`` is an agent that alice answers for; ``deployer`` is a workload that bob answers for.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec
import pyrage

from callpoint.config.default_policies import default_pack
from callpoint.domain.activation import Activation
from callpoint.domain.approval import Verdict, Vote
from callpoint.domain.configuration import Configuration, Governance, Group, Target, TargetRole
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import (
    ApprovalRule,
    BudgetRule,
    Eligibility,
    IncidentRule,
    Lane,
    Mode,
    Opening,
    ReviewRule,
    Severity,
)
from callpoint.domain.event import SignatureRecord
from callpoint.domain.governance import Bundle, Installation
from callpoint.domain.incident import Incident
from callpoint.domain.lease import Lease
from callpoint.domain.principal import Person, Principal, PrincipalKind
from callpoint.domain.request import Ask
from callpoint.lifecycle import approve, found, incidents, issue, use
from callpoint.lifecycle.ending import leases
from callpoint.lifecycle.pep import Pep
from callpoint.lifecycle.request import request
from callpoint.lifecycle.rules import RuleBook
from callpoint.lifecycle.services import Limits, Services
from callpoint.policy.pdp import Pdp
from callpoint.policy.policy_set import PolicySet
from callpoint.ports.box import SealedCredential
from callpoint.ports.clock import Clock, Random
from callpoint.ports.decider import Decider
from callpoint.ports.identity import Caller
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Store
from callpoint.ports.targets import Connector
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.keys import AgeSealer, Ed25519Checker, MemoryLogSigner, MemoryVault, Signer
from tests.fakes.memory_store import MemoryStore
from tests.fakes.simulated_target import SimulatedTarget

INSTALLATION = "tstinc"
ORIGIN = f"callpoint/{INSTALLATION}"
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank", "gina", "hugo")
WORDS = "the primary is down and only a manual repair brings it back"


class Notices:
    """Implements ``ports.notifiers.Notifier``; keeps what was said."""

    def __init__(self) -> None:
        self.said: list[Notice] = []

    async def notify(self, notice: Notice) -> None:
        self.said.append(notice)


def eligibility(**changes: object) -> Eligibility:
    """Break glass on orders-db: two incident commanders approve, security reviews."""
    made = Eligibility(
        id="orders-repair",
        lane=Lane.BREAK_GLASS,
        mode=Mode.ASSISTED,
        who=("group:oncall",),
        opens=(Opening("orders-db", "repair"),),
        ttl=timedelta(minutes=30),
        incident=IncidentRule(severity=(Severity.SEV1, Severity.SEV2)),
        approval=ApprovalRule(2, ("group:commanders",), timedelta(minutes=10)),
        budget=BudgetRule(incidents=2, per=timedelta(days=90)),
        review=ReviewRule(("group:security",), timedelta(hours=24), timedelta(days=5)),
    )
    return msgspec.structs.replace(made, **changes)


def configuration(*eligibilities: Eligibility, targets: tuple[str, ...] = ()) -> Configuration:
    """The people above, and the given eligibilities (or the usual one)."""
    chosen = eligibilities or (eligibility(),)
    names = {o.target for e in chosen for o in e.opens} | set(targets)
    principals = [Principal(p, PrincipalKind.HUMAN, (p,), Signer(p).public) for p in PEOPLE]
    principals += [
        Principal("fixer", PrincipalKind.AGENT, ("alice",), Signer("fixer").public),
        Principal("deployer", PrincipalKind.WORKLOAD, ("bob",), Signer("deployer").public),
    ]
    groups = {
        "oncall": ("alice", "bob", "fixer", "deployer"),
        "commanders": ("bob", "carol", "dave"),
        "security": ("erin", "frank"),
    }
    roles = tuple(TargetRole(r, {"parent": f"orders_{r}"}) for r in ("read", "repair"))
    return Configuration(
        governance=Governance(
            {g: Signer(g).public for g in ("gina", "hugo")}, 2, ("group:security",)
        ),
        persons={p: Person(p) for p in PEOPLE},
        groups={name: Group(name, members) for name, members in groups.items()},
        principals={p.id: p for p in principals},
        targets={
            n: Target(n, "postgresql", "production", roles, settings=_settings(n))
            for n in sorted(names)
        },
        eligibilities={e.id: e for e in chosen},
    )


def _settings(target: str) -> dict[str, str | int | bool | tuple[str, ...]]:
    """What a file that names only the DSN says: publishing takes nothing that no file can say."""
    variable = target.upper().replace("-", "_") + "_DSN"
    return {
        "dsn_env": variable,
        "connection_limit": 5,
        "mode": "functions",
        "schema": "callpoint",
    }


def build_decider(bundle: Bundle) -> Decider:
    """The real PDP over the bundle's policies."""
    policies = PolicySet.load(bundle.policies, bundle.configuration)
    return Pdp(policies, bundle.configuration)


def installation() -> Installation:
    """Two governors, both must sign what widens."""
    return Installation(
        id=INSTALLATION,
        origin=ORIGIN,
        log_key=MemoryLogSigner(ORIGIN).verifier_key,
        seal_recipient="",
        token_key="",
        governors={g: Signer(g).public for g in ("gina", "hugo")},
        quorum=2,
    )


def signed(bundle: Bundle, *governors: str) -> tuple[SignatureRecord, ...]:
    """The bundle's signatures by these governors."""
    return tuple(
        SignatureRecord(g, Signer(g).public, Signer(g).sign(bundle.message())) for g in governors
    )


@dataclass
class World:
    """An installation and shortcuts for what people do with it."""

    services: Services
    ticking: Clock
    notices: Notices
    bundle: Bundle
    keys: dict[str, pyrage.x25519.Identity] = field(default_factory=dict)

    @property
    def clock(self) -> SimulatedClock:
        """The clock, when it is simulated."""
        assert isinstance(self.ticking, SimulatedClock)
        return self.ticking

    @property
    def store(self) -> MemoryStore:
        """The store, when it is the one in memory."""
        assert isinstance(self.services.store, MemoryStore)
        return self.services.store

    @property
    def target(self) -> SimulatedTarget:
        """The first target, when it is simulated."""
        found = next(iter(self.services.targets.values()))
        assert isinstance(found, SimulatedTarget)
        return found

    def caller(self, principal: str) -> Caller:
        """An authenticated principal."""
        return Caller(self.bundle.configuration.principals[principal], key_id=principal)

    async def incident(self, name: str = "inc-7", **changes: object) -> Incident:
        """Declared by frank, confirmed by gina: none of them asks or approves."""
        said = Declaration(name, Severity.SEV1, ("orders-db",), "orders is down")
        said = msgspec.structs.replace(said, **changes)
        await incidents.declare(self.services, self.caller("frank"), said)
        return await incidents.confirm(self.services, self.caller("gina"), name)

    async def ask(
        self, who: str = "alice", incident: str = "inc-7", **changes: object
    ) -> Activation:
        """Ask for the usual eligibility with a fresh one-time key."""
        key = pyrage.x25519.Identity.generate()
        ask = Ask("orders-repair", incident, WORDS, str(key.to_public()))
        made = await request(
            self.services, self.caller(who), msgspec.structs.replace(ask, **changes)
        )
        self.keys[made.id] = key
        return made

    async def vote(
        self, who: str, activation: str, verdict: Verdict = Verdict.APPROVE
    ) -> Activation:
        """Sign what the server shows and send it."""
        caller = self.caller(who)
        shown = await approve.statement(self.services, caller, activation, verdict)
        vote = Vote(shown.body(), Signer(who).sign(shown.message()))
        act = approve.approve if verdict is Verdict.APPROVE else approve.deny
        return await act(self.services, caller, activation, vote)

    async def approved(self, who: str = "alice", **changes: object) -> Activation:
        """Asked, and approved by carol and dave."""
        made = await self.ask(who, **changes)  # type: ignore[arg-type]  # members of Ask
        await self.vote("carol", made.id)
        return await self.vote("dave", made.id)

    async def active(self, who: str = "alice", **changes: object) -> Activation:
        """Approved, and issued."""
        made = await self.approved(who, **changes)
        return await issue.issue(self.services, self.caller(who), made.id)

    async def leases(self, activation: str) -> tuple[Lease, ...]:
        """The leases of an activation."""
        return await self.services.store.read(lambda view: leases(view, activation))

    async def credential(self, activation: str, who: str = "alice") -> SealedCredential:
        """Fetch and open the first credential."""
        lease = (await self.leases(activation))[0]
        box = await use.reveal(self.services, self.caller(who), lease.id)
        opened = pyrage.decrypt(_bytes(box.box), [self.keys[activation]])
        return msgspec.json.decode(opened, type=SealedCredential)

    async def get(self, activation: str) -> Activation:
        """The activation as stored."""
        return await self.services.store.read(lambda view: view.get(Activation, activation))

    def with_decider(self, build: Callable[[Bundle], Decider]) -> "World":
        """The same world with another PDP."""
        return replace(self, services=replace(self.services, rules=self.rule_book(build)))

    def rule_book(
        self,
        build: Callable[[Bundle], Decider] | None = None,
        *,
        pinned: Bundle | None = None,
    ) -> RuleBook:
        """As a process that starts now makes one."""
        services = self.services
        return RuleBook(
            services.installation,
            services.store,
            build or build_decider,
            verifier=services.verifier,
            pinned=pinned,
        )


def _bytes(box: str) -> bytes:
    return base64.b64decode(box)


async def make_world(
    *eligibilities: Eligibility,
    store: Store | None = None,
    clock: SimulatedClock | None = None,
    targets: dict[str, Connector] | None = None,
    seed: int = 1,
    adapt: Callable[[Configuration], Configuration] | None = None,
) -> World:
    """Found an installation and publish its first configuration, adapted where a test says how."""
    clock = clock or SimulatedClock(auto=True)
    random = SeededRandom(seed)
    store = store or MemoryStore(
        signer=MemoryLogSigner(ORIGIN), clock=clock, origin=ORIGIN, installation=INSTALLATION
    )
    world = assemble(
        *eligibilities,
        store=store,
        clock=clock,
        random=random,
        targets=targets or {},
        adapt=adapt,
    )
    await found_world(world)
    return world


async def found_world(world: World) -> None:
    """Genesis and the first configuration, signed by both governors."""
    services = world.services
    await found.found(
        services.installation,
        services.store,
        services.verifier,
        world.bundle,
        signed(world.bundle, "gina", "hugo"),
    )


def assemble(
    *eligibilities: Eligibility,
    store: Store,
    clock: Clock,
    random: Random,
    targets: dict[str, Connector],
    vault: MemoryVault | None = None,
    limits: Limits | None = None,
    adapt: Callable[[Configuration], Configuration] | None = None,
) -> World:
    """The services of one process over a store that exists; targets are simulated unless given."""
    rules = configuration(*eligibilities, targets=tuple(targets))
    rules = adapt(rules) if adapt else rules
    bundle = Bundle(INSTALLATION, 1, "", rules, default_pack())
    made = installation()
    notices = Notices()
    services = Services(
        installation=made,
        store=store,
        rules=RuleBook(made, store, build_decider, verifier=Ed25519Checker()),
        pep=Pep(store, notices),
        clock=clock,
        random=random,
        notifier=notices,
        sealer=AgeSealer(),
        vault=vault or MemoryVault(),
        verifier=Ed25519Checker(),
        targets=targets
        or {n: SimulatedTarget(n, clock, random, INSTALLATION) for n in rules.targets},
        limits=limits or Limits(),
    )
    return World(services, clock, notices, bundle)
