"""An installation as production builds it: file keys, the real log, rules and connectors.

Nobody sits in front of a benchmark, so it makes the persons' signatures itself, with real keys:
`alice` asks, `carol` approves (a quorum of one), `frank` declares and `gina` confirms the incident.
"""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.keys.files import (
    AgeSealer,
    Ed25519Verifier,
    FileLogSigner,
    FileVault,
    create_keys,
    public_keys,
)
from callpoint.adapters.stores.postgresql import PostgresStore
from callpoint.adapters.stores.sql.store import SqlStore
from callpoint.adapters.stores.sqlite import SqliteStore
from callpoint.adapters.targets.postgresql.connector import PostgresqlConnector
from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings
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
from callpoint.domain.gateway import Evidence, Gateway
from callpoint.domain.governance import Bundle, Installation
from callpoint.domain.lease import Lease
from callpoint.domain.principal import Person, Principal, PrincipalKind
from callpoint.domain.request import Ask
from callpoint.lifecycle import approve, found, give_back, incidents, issue, use
from callpoint.lifecycle.ending import leases
from callpoint.lifecycle.landmark import Landmark
from callpoint.lifecycle.pep import Pep
from callpoint.lifecycle.request import request
from callpoint.lifecycle.rules import RuleBook
from callpoint.lifecycle.services import Services
from callpoint.policy import pap
from callpoint.ports.clock import Clock
from callpoint.ports.decider import Decider
from callpoint.ports.identity import Caller
from callpoint.ports.notifiers import Notice
from callpoint.ports.targets import Connector

INSTALLATION = "bench0"
ORIGIN = f"callpoint/{INSTALLATION}"
INCIDENT = "inc-1"
PEOPLE = ("alice", "carol", "erin", "frank", "gina")
_WORDS = "the primary is down and only a manual repair brings it back"
_MANY = 10**9


class Silence:
    """Implements ``ports.notifiers.Notifier``: nobody is told."""

    async def notify(self, notice: Notice) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Installed:
    """The installation, and what its people do."""

    services: Services
    bundle: Bundle
    keys: Mapping[str, Ed25519PrivateKey]
    recipient: str

    def caller(self, person: str) -> Caller:
        """An authenticated principal."""
        return Caller(self.bundle.configuration.principals[person], key_id=person)

    def rules_from(self, landmark: Landmark | None) -> RuleBook:
        """As another process would read them that begins there."""
        services = self.services
        return RuleBook(
            services.installation,
            services.store,
            build_decider,
            verifier=Ed25519Verifier(),
            landmark=landmark,
        )

    async def open_incident(self, name: str = INCIDENT) -> None:
        """Declared by one person, confirmed by another; names every target."""
        targets = tuple(sorted(self.bundle.configuration.targets))
        said = Declaration(name, Severity.SEV1, targets, "orders is down")
        await incidents.declare(self.services, self.caller("frank"), said)
        await incidents.confirm(self.services, self.caller("gina"), name)

    async def ask(self, target: str = "all", incident: str = INCIDENT) -> Activation:
        """Request; the credential will be sealed to a key of the benchmark's."""
        ask = Ask(f"repair-{target}", incident, _WORDS, self.recipient)
        return await request(self.services, self.caller("alice"), ask)

    async def approve(self, activation: str) -> Activation:
        """What the server shows is signed by carol's key and sent."""
        caller = self.caller("carol")
        shown = await approve.statement(self.services, caller, activation, Verdict.APPROVE)
        signature = base64.b64encode(self.keys["carol"].sign(shown.message())).decode()
        return await approve.approve(
            self.services, caller, activation, Vote(shown.body(), signature)
        )

    async def activate(self, target: str = "all", incident: str = INCIDENT) -> Activation:
        """From the request to the credential on the target, which nobody has fetched."""
        made = await self.ask(target, incident)
        await self.approve(made.id)
        await issue.issue(self.services, self.caller("alice"), made.id)
        return made

    async def credential(self, target: str = "all", incident: str = INCIDENT) -> Activation:
        """From the request to the sealed credential in hand."""
        made = await self.activate(target, incident)
        await use.reveal_all(self.services, self.caller("alice"), made.id)
        return made

    async def give_back(self, activation: str) -> None:
        """Returned; on return it has been tried to prove it dead."""
        await give_back.give_back(self.services, self.caller("alice"), activation)

    async def leases(self, activation: str) -> tuple[Lease, ...]:
        """Its leases as stored."""
        return await self.services.store.read(lambda view: leases(view, activation))


@dataclass(frozen=True)
class Behind:
    """That every target is behind one gateway, and when what is done there is durable."""

    gateway: Gateway
    evidence: Mapping[str, Evidence]


def configuration(
    people: Mapping[str, str], targets: tuple[str, ...], behind: Behind | None = None
) -> Configuration:
    """One eligibility for each target and one for all; budget and review as generous as can be."""
    day = timedelta(days=1)
    opened = {target: (target,) for target in targets} | {"all": targets}
    eligibilities = [
        Eligibility(
            id=f"repair-{name}",
            lane=Lane.BREAK_GLASS,
            mode=Mode.HUMAN,
            who=("group:oncall",),
            opens=tuple(Opening(target, "repair") for target in those),
            ttl=timedelta(hours=1),
            incident=IncidentRule((Severity.SEV1,)),
            approval=ApprovalRule(1, ("group:commanders",), timedelta(minutes=10)),
            budget=BudgetRule(_MANY, 90 * day),
            review=ReviewRule(("group:security",), 300 * day, 600 * day),
            accept_residual=True,
        )
        for name, those in opened.items()
    ]
    groups = {"oncall": ("alice",), "commanders": ("carol",), "security": ("erin",)}
    return Configuration(
        governance=Governance({"gina": people["gina"]}, 1, ("group:security",)),
        persons={name: Person(name) for name in people},
        groups={name: Group(name, members) for name, members in groups.items()},
        principals={
            name: Principal(name, PrincipalKind.HUMAN, (name,), key) for name, key in people.items()
        },
        targets={
            name: Target(
                name,
                "postgresql",
                "production",
                (TargetRole("repair", {"parent": "orders_repair"}),),
                settings={"dsn_env": name.upper().replace("-", "_") + "_DSN"},
                gateway=behind.gateway.id if behind else msgspec.UNSET,
                evidence=behind.evidence[name] if behind else msgspec.UNSET,
            )
            for name in targets
        },
        gateways={behind.gateway.id: behind.gateway} if behind else msgspec.UNSET,
        eligibilities={eligibility.id: eligibility for eligibility in eligibilities},
    )


def build_decider(bundle: Bundle) -> Decider:
    """The PDP over the bundle's policies."""
    return pap.decider(bundle.policies, bundle.configuration)


@asynccontextmanager
async def installed(
    folder: Path,
    targets: tuple[PostgresqlSettings, ...],
    *,
    store_dsn: str = "",
    clock: Clock | None = None,
    connectors: Mapping[str, Connector] | None = None,
    behind: Behind | None = None,
) -> AsyncIterator[Installed]:
    """Keys, store, genesis and the first signed configuration; or what stands there already.

    Args:
        folder: Of keys, checkpoint file and, without ``store_dsn``, the SQLite store.
        targets: What the connectors manage.
        store_dsn: Keep state and log on PostgreSQL instead.
        clock: The SQLite store's clock.
        connectors: Instead of those that ``targets`` say.
        behind: The gateway that all of them are reached through; None: requesters connect.
    """
    clock, random = clock or SystemClock(), SystemRandom()
    keys = folder / "keys"
    if not keys.exists():
        create_keys(keys, log_name=ORIGIN)
    store = await _open_store(folder, store_dsn, clock)
    made = connectors or {s.name: PostgresqlConnector(s, SystemClock(), random) for s in targets}
    people = {
        name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in PEOPLE
    }
    public = {name: _public(key) for name, key in people.items()}
    rules = configuration(public, tuple(sorted(made)), behind)
    bundle = Bundle(INSTALLATION, 1, "", rules, default_pack())
    installation = _installation(keys, public)
    services = Services(
        installation=installation,
        store=store,
        rules=RuleBook(installation, store, build_decider, verifier=Ed25519Verifier()),
        pep=Pep(store),
        clock=clock,
        random=random,
        notifier=Silence(),
        sealer=AgeSealer(),
        vault=FileVault(keys),
        verifier=Ed25519Verifier(),
        targets=made,
    )
    try:
        if not await store.read(lambda view: view.checkpoint()):
            signature = base64.b64encode(people["gina"].sign(bundle.message())).decode()
            signed = (SignatureRecord("gina", public["gina"], signature),)
            await found.found(installation, store, services.verifier, bundle, signed)
        recipient = str(pyrage.x25519.Identity.generate().to_public())
        yield Installed(services, bundle, people, recipient)
    finally:
        await store.close()


async def _open_store(folder: Path, store_dsn: str, clock: Clock) -> SqlStore:
    signer, checkpoint_file = FileLogSigner(folder / "keys"), folder / "checkpoint"
    if store_dsn:
        return await PostgresStore.open(
            store_dsn,
            signer=signer,
            checkpoint_file=checkpoint_file,
            origin=ORIGIN,
            installation=INSTALLATION,
        )
    return await SqliteStore.open(
        folder / "state.db",
        signer=signer,
        clock=clock,
        checkpoint_file=checkpoint_file,
        origin=ORIGIN,
        installation=INSTALLATION,
    )


def _installation(keys: Path, people: Mapping[str, str]) -> Installation:
    public = public_keys(keys)
    return Installation(
        id=INSTALLATION,
        origin=ORIGIN,
        log_key=public.log_key,
        seal_recipient=public.seal_recipient,
        token_key=public.token_key,
        governors={"gina": people["gina"]},
        quorum=1,
    )


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()
