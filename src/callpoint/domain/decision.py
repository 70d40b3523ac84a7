"""What is asked of the PDP, and what it answers."""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from callpoint.domain.eligibility import Lane, Mode, Opening, Purpose, Severity
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.obligation import Obligation
from callpoint.domain.operation import Operation
from callpoint.domain.principal import PrincipalKind


class Action(StrEnum):
    """Everything that *gives* something and so is decided. What takes away is not here (I11)."""

    ACTIVATION_APPROVE = "activation:approve"
    ACTIVATION_ISSUE = "activation:issue"
    ACTIVATION_REQUEST = "activation:request"
    ACTIVATION_VIEW = "activation:view"
    CREDENTIAL_REVEAL = "credential:reveal"
    DECISION_EVALUATE = "decision:evaluate"
    INCIDENT_CONFIRM = "incident:confirm"
    INCIDENT_DECLARE = "incident:declare"
    LOG_READ = "log:read"
    REVIEW_RECORD = "review:record"
    SESSION_ACT = "session:act"
    """Something is done through a gateway; the question's ``operation`` says what."""
    SESSION_RESUME = "session:resume"


class Actor(msgspec.Struct, frozen=True):
    """The asking principal as policy sees it.

    Attributes:
        acts_for: Principals that it acts for, nearest first; empty when it acts itself.
        strength: How it authenticated, for instance ``key``.
    """

    principal: str
    kind: PrincipalKind
    persons: tuple[str, ...]
    groups: tuple[str, ...]
    acts_for: tuple[str, ...] = ()
    strength: str = "key"


class IncidentFacts(msgspec.Struct, frozen=True):
    """The incident as policy sees it. ``state`` tells *unknown* from *none* (I11)."""

    state: IncidentState
    ref: str = ""
    severity: Severity | None = None
    targets: tuple[str, ...] = ()
    age: timedelta = timedelta(0)
    confirmed: bool = False


class ActivationFacts(msgspec.Struct, frozen=True):
    """The activation, or the one that is asked for, as policy sees it.

    Attributes:
        remaining: Until it ends, zero or less once it has; None before it began: all of ``ttl``.
    """

    id: str
    eligibility: str
    lane: Lane
    mode: Mode
    purpose: Purpose
    ttl: timedelta
    requester: str
    persons: tuple[str, ...]
    quorum_needed: int
    quorum_met: bool = False
    age: timedelta = timedelta(0)
    uses: int = 0
    budget_left: int = 0
    eligible: bool = False
    allowed_severity: tuple[Severity, ...] = ()
    must_name_target: bool = False
    remaining: timedelta | None = None


class Resource(msgspec.Struct, frozen=True):
    """What is acted upon: a target role, or the installation itself when ``opening`` is None."""

    opening: Opening | None = None
    environment: str = ""


class DecisionRequest(msgspec.Struct, frozen=True):
    """One question to the PDP. It is stored with the answer, so it can be replayed.

    Attributes:
        operation: What is done through a gateway; only, and always, of ``Action.SESSION_ACT``.
    """

    actor: Actor
    action: Action
    resource: Resource
    at: datetime
    incident: IncidentFacts | None = None
    activation: ActivationFacts | None = None
    operation: Operation | None = None

    @property
    def verb(self) -> str:
        """What is to be done, in policy's word: of an operation its verb."""
        return self.action if self.operation is None else self.operation.verb


class Effect(StrEnum):
    """The answer."""

    ALLOW = "allow"
    DENY = "deny"


class Decision(msgspec.Struct, frozen=True):
    """The answer, and why.

    Attributes:
        effect: Allow or deny; an error or no applicable permit is deny (I11).
        policies: Ids (``@id``) of the policies that decided it, sorted.
        reasons: Sentences fit for a person, one per policy that refused.
        policy_digest: SHA-256 hex of the policy set that was asked.
        errors: What went wrong while deciding; never empty without ``deny``.
        obligations: Of the permits that held: what whoever enforces must do.
    """

    effect: Effect
    policies: tuple[str, ...]
    reasons: tuple[str, ...]
    policy_digest: str
    errors: tuple[str, ...] = ()
    obligations: tuple[Obligation, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether it may go on."""
        return self.effect is Effect.ALLOW and not self.errors
