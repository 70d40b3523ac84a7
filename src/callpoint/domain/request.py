"""The exact request: what is asked, under which rules, and what every vote is signed over (I9)."""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain import canonical
from callpoint.domain.allowance import Allowance
from callpoint.domain.approval import Quorum
from callpoint.domain.eligibility import Lane, Mode, Purpose
from callpoint.domain.offline import OfflineRule


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The exact request. Its SHA-256 is the request digest that every vote is signed over (I9).

    Attributes:
        persons: Who asks (human), or who answers for it (workload, agent).
        opens: Target roles, ``target:role``, sorted.
        ttl: How long, once active; already shortened where a budget is spent (I16).
        justification: Commitment to the requester's words.
        seal_to: The requester's one-time age recipient (``age1…``) for the credential.
        sources: Networks that it will connect from.
        lapses_at: Silence until then is a no (I10).
        findings: Why the quorum was raised or the time shortened.
        allowance: What it may spend through gateways, and approvers grant; ``spends`` reads it.
        offline: How its sessions go on when their gateway lost the authority; unset: they are cut.
    """

    installation: str
    activation: str
    eligibility: str
    principal: str
    persons: tuple[str, ...]
    incident: str
    opens: tuple[str, ...]
    purpose: Purpose
    lane: Lane
    mode: Mode
    ttl: timedelta
    idle: timedelta | None
    justification: str
    seal_to: str
    sources: tuple[str, ...]
    nonce: str
    quorum: Quorum
    triage: timedelta
    close: timedelta
    reviewers: tuple[str, ...]
    configuration_digest: str
    policy_digest: str
    requested_at: datetime
    lapses_at: datetime
    findings: tuple[str, ...] = ()
    # Not written while it is unset, so that requests of before keep their digest.
    allowance: Allowance | msgspec.UnsetType = msgspec.UNSET
    offline: OfflineRule | msgspec.UnsetType = msgspec.UNSET

    @property
    def spends(self) -> Allowance:
        """What it may spend through gateways; without limits when nothing is said."""
        return self.allowance or Allowance()

    def digest(self) -> str:
        """SHA-256 hex of the canonical request."""
        return canonical.digest(self)


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller asks for; untrusted.

    Attributes:
        opens: ``target:role``; empty for all that the eligibility opens.
        ttl: Shorter than the eligibility's, or None.
        seal_to: One-time age recipient that the credential is sealed to.
        sources: Networks (CIDR) that will connect.
    """

    eligibility: str
    incident: str
    justification: str
    seal_to: str
    purpose: Purpose = Purpose.RECOVER
    opens: tuple[str, ...] = ()
    ttl: timedelta | None = None
    sources: tuple[str, ...] = ()
