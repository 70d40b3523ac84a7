"""Events: what happened, in the past tense, each with one stable name.

An event becomes one entry of the log. ``type`` is the stable name, its fields are the entry's
``data``, its ``private`` values go into the entry as salted commitments only and are kept beside
it, erasable. Fields are only ever added, with defaults.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar

import msgspec

from callpoint.domain import canonical
from callpoint.domain.approval import Approval, Quorum
from callpoint.domain.canonical import Plain
from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.eligibility import Lane, Mode, Purpose, Severity
from callpoint.domain.review import Finding, ReviewVerdict
from callpoint.domain.undo_plan import UndoPlan

EVENT_VERSION = 1


class Private(msgspec.Struct, frozen=True):
    """A personal value with its 128-bit salt; only the commitment enters the log."""

    salt: bytes
    value: str

    def commitment(self) -> str:
        """``SHA-256(salt || UTF-8 value)``, hex: what the log holds (docs/audit-log-format.md)."""
        return hashlib.sha256(self.salt + self.value.encode()).hexdigest()


class Event(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=False
):
    """Base of all events.

    Attributes:
        actor: Principal id of who did it; empty when Callpoint itself did (time, recovery).
    """

    CLOSES: ClassVar[bool] = False
    """Whether it is the last event of its stream; the log then states the stream's length."""

    actor: str = ""


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


# -- incidents --------------------------------------------------------------------------------


class IncidentDeclared(Event, frozen=True, kw_only=True, tag="incident:declared"):
    """A person says there is an incident; it counts only once another person confirms."""

    incident: str
    severity: Severity
    targets: tuple[str, ...]
    person: str
    private: dict[str, Private] = {}


class IncidentReported(Event, frozen=True, kw_only=True, tag="incident:reported"):
    """A configured source reports a firing incident; it is open at once."""

    incident: str
    source: str
    severity: Severity
    targets: tuple[str, ...]
    fresh_until: datetime
    body_sha256: str
    private: dict[str, Private] = {}


class IncidentConfirmed(Event, frozen=True, kw_only=True, tag="incident:confirmed"):
    """Another person confirms."""

    incident: str
    person: str


class IncidentResolved(Event, frozen=True, kw_only=True, tag="incident:resolved"):
    """It is over; ``by`` is a person id or a source."""

    incident: str
    by: str


# -- the life of an activation ----------------------------------------------------------------


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

    def digest(self) -> str:
        """SHA-256 hex of the canonical request."""
        return canonical.digest(self)


class ActivationRequested(Event, frozen=True, kw_only=True, tag="activation:requested"):
    """Somebody may ask, and did."""

    request: Request
    digest: str
    decisions: tuple[Decision, ...]
    private: dict[str, Private] = {}


class ApprovalRecorded(Event, frozen=True, kw_only=True, tag="approval:recorded"):
    """One signed vote; the fields are those of ``Approval``."""

    approver: str
    person: str
    verdict: str
    statement: str
    signature: str
    key: str
    private: dict[str, Private] = {}


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
    """Proven dead at the target. ``evidence`` reads ``refused``, or ``absent, not tried``."""

    lease: str
    target: str
    evidence: str
    control: str
    code: str
    residue: tuple[Finding, ...] = ()


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
    | FindingRaised
    | ReviewTriaged
    | ActivationReviewed
    | AccessRefused
    | RequestRefused
    | UnknownAccountFound
    | KillOrdered
)


def name(event: Event) -> str:
    """The stable name, for instance ``lease:issued``."""
    return str(type(event).__struct_config__.tag)


def data(event: Event) -> dict[str, Plain]:
    """The entry's ``data``: canonical builtins without type and private values."""
    body = canonical.plain(event)
    if not isinstance(body, dict):
        raise TypeError("an event is an object")
    del body["type"]
    body.pop("private", None)
    return body


def private(event: Event) -> dict[str, Private]:
    """Personal values of the event, by field name."""
    values: dict[str, Private] = getattr(event, "private", {})
    return values


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
