"""The signed configuration as a value: who exists, what can be opened, under which rules.

It is what a bundle carries (see ``governance``) and what every rule reads. How it is written in
TOML is the business of ``callpoint.config``.
"""

import difflib
from datetime import timedelta
from typing import TypeVar

import msgspec

from callpoint.domain.eligibility import Eligibility, Opening, Severity
from callpoint.domain.errors import NotFoundError
from callpoint.domain.gateway import Evidence, Gateway, Recording
from callpoint.domain.principal import Person, Principal
from callpoint.domain.privilege import Privilege
from callpoint.domain.signal_stream import SignalStream
from callpoint.domain.witnessing import Witnessing

GROUP = "group:"
_V = TypeVar("_V")


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A static list of person ids and of workload or agent principal ids."""

    id: str
    members: tuple[str, ...]


class TargetRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One role of a target. A default is not written, so bundles of before keep their digest.

    Attributes:
        settings: The connector's (PostgreSQL: ``parent``).
        privilege: How much it can do, in the owner's word.
    """

    id: str
    settings: dict[str, str] = {}
    privilege: Privilege = Privilege.NORMAL


class KnownAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account on a target that somebody answers for.

    Attributes:
        owner: ``group:NAME``.
        purpose: What it is for, in the owner's words.
    """

    owner: str
    purpose: str = ""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system that can be opened.

    Attributes:
        id: Configured name.
        connector: The connector's name, for instance ``postgresql``.
        environment: For policy, for instance ``production``.
        roles: The roles that can be opened.
        settings: The connector's own settings. A secret is never here: ``dsn_env`` names the
            environment variable that holds it.
        owner: The group that owns the target, for posture and attestation.
        accounts: By their name on the target; ``known_accounts`` reads them.
        gateway: Through which it is reached; ``behind`` reads it.
        evidence: When actions there are durable on record; ``evidenced`` reads it.
        recording: How their texts go on record; ``recorded`` reads it.
    """

    id: str
    connector: str
    environment: str
    roles: tuple[TargetRole, ...]
    settings: dict[str, str | int | bool | tuple[str, ...]] = {}
    owner: str = ""
    # Not written while they are unset, so that bundles of before keep their digest.
    accounts: dict[str, KnownAccount] | msgspec.UnsetType = msgspec.UNSET
    gateway: str | msgspec.UnsetType = msgspec.UNSET
    evidence: Evidence | msgspec.UnsetType = msgspec.UNSET
    recording: Recording | msgspec.UnsetType = msgspec.UNSET

    @property
    def known_accounts(self) -> dict[str, KnownAccount]:
        """Accounts that somebody answers for, by name."""
        return self.accounts or {}

    @property
    def behind(self) -> str:
        """The gateway that the target is reached through; empty: actors connect to it directly."""
        return self.gateway or ""

    @property
    def evidenced(self) -> Evidence:
        """When actions are durable on record; before they are let through, unless set."""
        return self.evidence or Evidence.BEFORE

    @property
    def recorded(self) -> Recording:
        """How texts go on record; in full, unless set."""
        return self.recording or Recording.FULL


class IncidentSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may report incidents by webhook, and how its words map to ours.

    Attributes:
        id: Configured name, part of the webhook's path.
        kind: ``alertmanager``.
        token_sha256: Hex SHA-256 of the bearer token that it must send.
        severity: Its severity words to ours, for instance ``critical`` to ``sev1``.
        targets: Its service words to our target names.
        severity_label: The label that holds the severity.
        target_label: The label that holds the service.
        stale_after: When nothing was heard for so long, its incidents are *unknown* (I11).
    """

    id: str
    kind: str
    token_sha256: str
    severity: dict[str, Severity]
    targets: dict[str, tuple[str, ...]]
    severity_label: str = "severity"
    target_label: str = "service"
    stale_after: timedelta = timedelta(hours=8)


class Governance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may change the rules (I15).

    Attributes:
        governors: Person id to raw Ed25519 public key, standard base64.
        quorum: How many of them must sign what widens access.
        security: Groups that supply the added approver when a budget is spent or a review late.
    """

    governors: dict[str, str]
    quorum: int
    security: tuple[str, ...]


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that is governed, but the policies' text."""

    governance: Governance
    persons: dict[str, Person]
    groups: dict[str, Group]
    principals: dict[str, Principal]
    targets: dict[str, Target]
    eligibilities: dict[str, Eligibility]
    sources: dict[str, IncidentSource] = {}
    # Not written while they are unset, so that bundles of before keep their digest.
    witnessing: Witnessing | msgspec.UnsetType = msgspec.UNSET
    gateways: dict[str, Gateway] | msgspec.UnsetType = msgspec.UNSET
    signals: dict[str, SignalStream] | msgspec.UnsetType = msgspec.UNSET

    @property
    def streams(self) -> dict[str, SignalStream]:
        """Who outside is told that access began and ended."""
        return self.signals or {}

    @property
    def watched(self) -> Witnessing:
        """Who sees the log; nobody when nothing is configured."""
        return self.witnessing or Witnessing()

    @property
    def known_gateways(self) -> dict[str, Gateway]:
        """Gateways by name; none when none is configured."""
        return self.gateways or {}

    def gateway(self, name: str) -> Gateway:
        """The gateway of that name, or NotFoundError."""
        return _known(self.known_gateways, name, "gateway")

    def principal(self, name: str) -> Principal:
        """The principal of that name, or NotFoundError."""
        return _known(self.principals, name, "principal")

    def target(self, name: str) -> Target:
        """The target of that name, or NotFoundError."""
        return _known(self.targets, name, "target")

    def eligibility(self, name: str) -> Eligibility:
        """The eligibility of that name, or NotFoundError."""
        return _known(self.eligibilities, name, "eligibility")

    def groups_of(self, principal: Principal) -> frozenset[str]:
        """Ids of the groups that hold it: a human by its person, another by its own id."""
        own = set(principal.persons) if principal.kind == "human" else {principal.id}
        return frozenset(g.id for g in self.groups.values() if own & set(g.members))

    def is_among(self, principal: Principal, subjects: tuple[str, ...]) -> bool:
        """Whether ``group:x`` or principal ids in ``subjects`` cover the principal."""
        if principal.id in subjects:
            return True
        return any(GROUP + group in subjects for group in self.groups_of(principal))

    def persons_in(self, subjects: tuple[str, ...]) -> frozenset[str]:
        """Natural persons that ``subjects`` name, through groups and human principals."""
        found: set[str] = set()
        for subject in subjects:
            if subject.startswith(GROUP):
                group = self.groups.get(subject.removeprefix(GROUP))
                found |= {m for m in (group.members if group else ()) if m in self.persons}
            elif (who := self.principals.get(subject)) and who.kind == "human":
                found |= set(who.persons)
        return frozenset(found)

    def has_opening(self, opening: Opening) -> bool:
        """Whether such a target role is configured."""
        target = self.targets.get(opening.target)
        return target is not None and any(r.id == opening.role for r in target.roles)


def _known(table: dict[str, _V], name: str, what: str) -> _V:
    found = table.get(name)
    if found is None:
        near = difflib.get_close_matches(name[:80], table, n=1)
        raise NotFoundError(
            f"no {what} is called {name[:80]!r}",
            way_out=f"did you mean {near[0]!r}?" if near else "",
        )
    return found
