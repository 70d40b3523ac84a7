"""Events: what happened, in the past tense, each with one stable name.

An event becomes one entry of the log; ``event_form`` says how it is written. Fields are only ever
added, with defaults. ``AnyEvent`` is the closed list.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar

import msgspec

from callpoint.domain.approval import Approval
from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.eligibility import Severity
from callpoint.domain.event_form import EVENT_VERSION, Event, Private, data, name, private
from callpoint.domain.request import Request
from callpoint.domain.review import Finding, ReviewVerdict
from callpoint.domain.undo_plan import UndoPlan

__all__ = ["EVENT_VERSION", "AnyEvent", "Event", "Private", "Request", "data", "name", "private"]
"""The form goes with the events: who has an event can also write it."""

# -- the installation -------------------------------------------------------------------------


class InstallationCreated(Event, frozen=True, kw_only=True, tag="installation:created"):
    """Genesis (I15). ``trial`` is true for a single governor: said everywhere."""

    installation: str
    governors: dict[str, str]
    quorum: int
    log_key: str
    seal_recipient: str
    token_key: str
    trial: bool


class SignatureRecord(msgspec.Struct, frozen=True):
    """A governor's signature over a bundle or a key rotation; key and signature base64."""

    governor: str
    key: str
    signature: str


class BundlePublished(Event, frozen=True, kw_only=True, tag="bundle:published"):
    """A configuration is in force from here on; ``widens`` lists each line that widens access."""

    number: int
    digest: str
    configuration_digest: str
    policy_digest: str
    previous: str
    widens: tuple[str, ...]
    signatures: tuple[SignatureRecord, ...]


class BundleRefused(Event, frozen=True, kw_only=True, tag="bundle:refused"):
    """Somebody tried to publish what its signatures do not carry."""

    digest: str
    widens: tuple[str, ...]
    reason: str


class KeyRotated(Event, frozen=True, kw_only=True, tag="key:rotated"):
    """The log, token or sealing key was replaced; ``use`` says which."""

    use: str
    old: str
    new: str
    signatures: tuple[SignatureRecord, ...]


class LogRecovered(Event, frozen=True, kw_only=True, tag="log:recovered"):
    """First entry of a new origin: the checkpoint that was lost sight of, and the lost range."""

    old_checkpoint: str
    kept_size: int
    lost_size: int
    reason: str


class ClockAccepted(Event, frozen=True, kw_only=True, tag="clock:accepted"):
    """A store's clock had jumped ahead and was set right: an operator says which time counts (I4).

    ``at`` of the entries before may lie after ``at`` of those that follow.
    """

    ahead: datetime
    accepted: datetime
    reason: str


# -- incidents --------------------------------------------------------------------------------


class IncidentDeclared(Event, frozen=True, kw_only=True, tag="incident:declared"):
    """A person says there is an incident; it counts only once another person confirms."""

    incident: str
    severity: Severity
    targets: tuple[str, ...]
    person: str
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class IncidentReported(Event, frozen=True, kw_only=True, tag="incident:reported"):
    """A configured source reports a firing incident; it is open at once."""

    incident: str
    source: str
    severity: Severity
    targets: tuple[str, ...]
    fresh_until: datetime
    body_sha256: str
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class IncidentConfirmed(Event, frozen=True, kw_only=True, tag="incident:confirmed"):
    """Another person confirms."""

    incident: str
    person: str


class IncidentResolved(Event, frozen=True, kw_only=True, tag="incident:resolved"):
    """It is over; ``by`` is a person id or a source."""

    incident: str
    by: str


# -- the life of an activation ----------------------------------------------------------------


class ActivationRequested(Event, frozen=True, kw_only=True, tag="activation:requested"):
    """Somebody may ask, and did."""

    request: Request
    digest: str
    decisions: tuple[Decision, ...]
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class ApprovalRecorded(Event, frozen=True, kw_only=True, tag="approval:recorded"):
    """One signed vote; the fields are those of ``Approval``."""

    approver: str
    person: str
    verdict: str
    statement: str
    signature: str
    key: str
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class ActivationApproved(Event, frozen=True, kw_only=True, tag="activation:approved"):
    """The quorum is met."""

    persons: tuple[str, ...]


class ActivationDenied(Event, frozen=True, kw_only=True, tag="activation:denied"):
    """An approver said no."""

    CLOSES: ClassVar[bool] = True
    person: str


class ActivationLapsed(Event, frozen=True, kw_only=True, tag="activation:lapsed"):
    """Nobody, or not enough of them, answered in time (I10)."""

    CLOSES: ClassVar[bool] = True


class ActivationWithdrawn(Event, frozen=True, kw_only=True, tag="activation:withdrawn"):
    """The requester took it back, or it was killed before it began."""

    CLOSES: ClassVar[bool] = True
    reason: str = "withdrawn"


class ActivationActivated(Event, frozen=True, kw_only=True, tag="activation:activated"):
    """It begins: ``not_after`` is fixed here and never moves (I3); undo plans are frozen (I1)."""

    not_after: datetime
    plans: tuple[UndoPlan, ...]
    decisions: tuple[Decision, ...]


class LeaseIssued(Event, frozen=True, kw_only=True, tag="lease:issued"):
    """The credential exists on the target; ``box_sha256`` is of the sealed box (I2)."""

    lease: str
    target: str
    box_sha256: str
    residual: timedelta | None = None
    residual_because: str = ""


class LeaseFailed(Event, frozen=True, kw_only=True, tag="lease:failed"):
    """The target did not, or may have, created it: it is ending."""

    lease: str
    target: str
    error: str
    code: str = ""


class CredentialRevealed(Event, frozen=True, kw_only=True, tag="credential:revealed"):
    """The sealed box was handed to the requester; written before it leaves."""

    lease: str
    decision: Decision


class ActivationEnded(Event, frozen=True, kw_only=True, tag="activation:ended"):
    """Whatever the reason, revocation starts at this moment."""

    reason: str
    triage_by: datetime
    close_by: datetime


class LeaseEnding(Event, frozen=True, kw_only=True, tag="lease:ending"):
    """Revocation has begun."""

    lease: str
    target: str
    reason: str


class LeaseProbed(Event, frozen=True, kw_only=True, tag="lease:probed"):
    """The control attempt just before disabling: ``accepted``, ``refused`` or ``unknown`` (I5)."""

    lease: str
    control: str
    control_code: str = ""


class LeaseStuck(Event, frozen=True, kw_only=True, tag="lease:stuck"):
    """Revocation failed again; it is retried for ever (I6)."""

    lease: str
    target: str
    attempts: int
    rung: str
    error: str
    code: str = ""


class LeaseEnded(Event, frozen=True, kw_only=True, tag="lease:ended"):
    """Dead: ``evidence`` is ``absent, refused``, ``absent, not tried`` or ``attested by`` whom."""

    lease: str
    target: str
    evidence: str
    control: str
    code: str
    residue: tuple[Finding, ...] = ()


class LeaseAttested(Event, frozen=True, kw_only=True, tag="lease:attested"):
    """A governor says that the target no longer exists; two of them close the lease."""

    lease: str
    target: str
    person: str
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class FindingRaised(Event, frozen=True, kw_only=True, tag="finding:raised"):
    """Something that a reviewer must look at."""

    finding: Finding
    lease: str = ""


class ReviewTriaged(Event, frozen=True, kw_only=True, tag="review:triaged"):
    """An independent person took a first look."""

    person: str


class ActivationReviewed(Event, frozen=True, kw_only=True, tag="activation:reviewed"):
    """The verdict; the activation's last event."""

    CLOSES: ClassVar[bool] = True
    person: str
    verdict: ReviewVerdict
    findings: tuple[Finding, ...]
    follow_ups: tuple[str, ...]
    checkpoint: str


# -- refusals and targets ---------------------------------------------------------------------


class AccessRefused(Event, frozen=True, kw_only=True, tag="access:refused"):
    """A question to the gate was answered no; with the whole question, so it can be replayed."""

    question: DecisionRequest
    decision: Decision


class RequestRefused(Event, frozen=True, kw_only=True, tag="request:refused"):
    """Refused before policy was asked: a rule of the life cycle or of governance."""

    action: str
    about: str
    reason: str


class UnknownAccountFound(Event, frozen=True, kw_only=True, tag="account:unknown"):
    """A target holds an account with our handle that no lease explains (I8)."""

    target: str
    handle: str
    account: str


class KillOrdered(Event, frozen=True, kw_only=True, tag="kill:ordered"):
    """Somebody pulled the cord; ``activations`` are the first thousand of the ``count`` it ended.

    Each of them ends in its own stream too; the list is cut so that a kill of everything fits
    into one entry, whatever everything is.
    """

    scope: str
    about: str
    activations: tuple[str, ...]
    count: int = 0


AnyEvent = (
    InstallationCreated
    | BundlePublished
    | BundleRefused
    | KeyRotated
    | LogRecovered
    | ClockAccepted
    | IncidentDeclared
    | IncidentReported
    | IncidentConfirmed
    | IncidentResolved
    | ActivationRequested
    | ApprovalRecorded
    | ActivationApproved
    | ActivationDenied
    | ActivationLapsed
    | ActivationWithdrawn
    | ActivationActivated
    | LeaseIssued
    | LeaseFailed
    | CredentialRevealed
    | ActivationEnded
    | LeaseEnding
    | LeaseProbed
    | LeaseStuck
    | LeaseEnded
    | LeaseAttested
    | FindingRaised
    | ReviewTriaged
    | ActivationReviewed
    | AccessRefused
    | RequestRefused
    | UnknownAccountFound
    | KillOrdered
)


def parse(kind: str, body: Mapping[str, object]) -> AnyEvent:
    """Read an event back from an entry; private values are absent.

    Raises:
        ValueError: Not an event that this version knows, or a field of another type.
    """
    try:
        parsed: AnyEvent = msgspec.convert({**body, "type": kind}, AnyEvent)
    except msgspec.ValidationError as error:
        raise ValueError(f"{kind}: {error}") from error
    return parsed


def approval_of(event: ApprovalRecorded, at: datetime) -> Approval:
    """The vote that the event recorded."""
    return msgspec.convert(
        {
            "approver": event.approver,
            "person": event.person,
            "verdict": event.verdict,
            "statement": event.statement,
            "signature": event.signature,
            "key": event.key,
            "at": at,
        },
        Approval,
    )
