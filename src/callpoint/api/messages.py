"""What goes over the wire, both ways; the CLI decodes with the same types.

Requests refuse members that they do not know. Answers are read leniently, so that a newer server
may add members. ``bytes`` are standard base64, times RFC 3339 in UTC, spans ISO 8601 durations.
Requests that are a step's own input are that type itself: ``domain.request.Ask``,
``domain.approval.Vote``, ``domain.declaration.Declaration``, ``domain.review.Judgement``.
"""

from datetime import datetime

import msgspec

from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.approval import Verdict
from callpoint.domain.eligibility import Severity
from callpoint.domain.event import SignatureRecord
from callpoint.domain.governance import Bundle
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.kill import Scope
from callpoint.domain.lease import LeaseState, Rung
from callpoint.domain.request import Request
from callpoint.domain.review import Finding, ReviewVerdict
from callpoint.ports.box import Box

MAX_BODY = 1 << 20
"""Longest body of a request, bytes: a bundle or a webhook delivery; all else is far shorter."""

PAGE = 1000
"""Most entries of the log in one answer."""

LISTED = 200
"""Most activations and incidents in one list: the newest."""


# -- requests ---------------------------------------------------------------------------------


class Return(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/activations/{id}/return``; ``used``: the work is done, not handed back unused."""

    used: bool = False


class KillOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/kill``; ``about`` is the name of what to kill, empty for ``everything``."""

    scope: Scope
    about: str = ""


class Attestation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/leases/{id}/attest``: how the caller knows that the target no longer exists."""

    because: str


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/configuration``: a bundle and the governors' signatures over it."""

    bundle: Bundle
    signatures: tuple[SignatureRecord, ...]


# -- answers ----------------------------------------------------------------------------------


class InstallationView(msgspec.Struct, frozen=True):
    """``GET /v1/installation``, public: whose log this is.

    Attributes:
        trial: One governor alone rules; every face says so.
        version: Of the program.
    """

    id: str
    origin: str
    log_key: str
    trial: bool
    version: str


class IncidentView(msgspec.Struct, frozen=True):
    """An incident.

    Attributes:
        state: As it counts now; a source that fell silent makes it ``unknown``.
        title: Untrusted words; empty when erased or never given.
    """

    id: str
    source: str
    severity: Severity
    targets: tuple[str, ...]
    state: IncidentState
    opened_at: datetime
    declared_by: str = ""
    confirmed_by: str = ""
    resolved_at: datetime | None = None
    fresh_until: datetime | None = None
    title: str = ""


class IncidentList(msgspec.Struct, frozen=True):
    """``GET /v1/incidents``, newest first."""

    incidents: tuple[IncidentView, ...]


class Received(msgspec.Struct, frozen=True):
    """``POST /v1/webhooks/{source}``: the incidents that the delivery concerned."""

    incidents: tuple[str, ...]


class VoteView(msgspec.Struct, frozen=True):
    """One recorded vote."""

    approver: str
    person: str
    verdict: Verdict
    at: datetime
    comment: str = ""


class TallyView(msgspec.Struct, frozen=True):
    """Where the quorum stands under the configuration in force.

    Attributes:
        needed: Distinct persons in all.
        counted: Persons whose approval counts.
        missing: Approvals that still lack from the approvers.
        missing_security: The same from security (I16).
        can_still_approve: Persons who may still fill what is missing.
    """

    needed: int
    counted: tuple[str, ...]
    missing: int
    missing_security: int
    can_still_approve: tuple[str, ...]
    met: bool


class Attested(msgspec.Struct, frozen=True):
    """What an attestation did.

    Attributes:
        attested_by: Persons who have said so; two close the lease.
        needed: How many it takes.
    """

    lease: str
    target: str
    state: LeaseState
    attested_by: tuple[str, ...]
    needed: int


class LeaseView(msgspec.Struct, frozen=True):
    """One credential, without the secret.

    Attributes:
        id: The handle.
        account: What exists on the target.
        not_after: When the target itself refuses.
        attempts: Revocation attempts so far.
        rung: Where on the ladder the last attempt failed; says something only with ``last_error``.
        evidence: Once ended: how it is known to be dead.
        is_lost: Its target was silent for minutes: if that is gone for good, governors attest it.
        attested_by: Persons who did.
        gateway: Whose it is; empty: the requester's.
    """

    id: str
    activation: str
    target: str
    role: str
    account: str
    state: LeaseState
    not_after: datetime
    attempts: int = 0
    rung: Rung = Rung.REVOKE
    last_error: str = ""
    due_at: datetime | None = None
    ended_at: datetime | None = None
    evidence: str = ""
    is_lost: bool = False
    attested_by: tuple[str, ...] = ()
    gateway: str = ""


class ReviewView(msgspec.Struct, frozen=True):
    """Where the review stands; ``can_review`` are the persons who may still do it."""

    triage_by: datetime
    close_by: datetime
    overdue: bool
    can_review: tuple[str, ...] = ()
    triaged_by: str = ""
    triaged_at: datetime | None = None
    closed_by: str = ""
    closed_at: datetime | None = None
    verdict: ReviewVerdict | None = None
    findings: tuple[Finding, ...] = ()
    follow_ups: tuple[str, ...] = ()


class ActivationView(msgspec.Struct, frozen=True):
    """An activation as a person needs to see it; every activation verb answers with it.

    An approver's client must check before it signs that ``request.digest()`` is what the statement
    names, and that ``Private(justification_salt, justification)`` has the commitment
    ``request.justification``: then what was shown is what is signed.

    Attributes:
        request: The exact request that votes are signed over.
        digest: The request's digest, as stored.
        justification: The requester's words; empty once erased.
        justification_salt: Of its commitment.
        now: The store's clock, to which all times here belong.
        lapses_at: While pending: when silence becomes a no.
        idle_at: While active: when it ends for not being used.
        uses: How often a credential was revealed.
        next: One sentence: what happens next, and whose turn it is.
        voided: Still pending, but asked for under rules that are no longer in force: nobody can
            approve it or take it up.
        incident: What justifies it, as it counts now. Only its id is in the request, so no vote
            covers the rest. None for planned work.
        connectors: By target of the request: how it is reached, so that a client can see in time
            whether it has the program for it. Of the configuration in force; without targets that
            it no longer has.
        gateways: By target of the request: the gateway in front of it, in the same way.
    """

    id: str
    state: ActivationState
    next: str
    now: datetime
    request: Request
    digest: str
    tally: TallyView
    justification: str = ""
    justification_salt: bytes = b""
    votes: tuple[VoteView, ...] = ()
    lapses_at: datetime | None = None
    approved_at: datetime | None = None
    activated_at: datetime | None = None
    not_after: datetime | None = None
    idle_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    uses: int = 0
    leases: tuple[LeaseView, ...] = ()
    findings: tuple[Finding, ...] = ()
    review: ReviewView | None = None
    voided: bool = False
    incident: IncidentView | None = None
    connectors: dict[str, str] = {}
    gateways: dict[str, str] = {}


class ActivationList(msgspec.Struct, frozen=True):
    """``GET /v1/activations?state=&mine=``: those the caller may see, newest first.

    ``state`` may be given several times; ``mine`` keeps those that the caller asked for or answers
    for.
    """

    activations: tuple[ActivationView, ...]


class StatementView(msgspec.Struct, frozen=True):
    """``GET /v1/activations/{id}/statement?verdict=``: what the caller would sign, and for what.

    The message to sign is ``domain.approval.signed_message(statement)``.
    """

    statement: bytes
    activation: ActivationView


class Credentials(msgspec.Struct, frozen=True):
    """``POST /v1/activations/{id}/credentials``: the sealed box of every live lease."""

    boxes: tuple[Box, ...]


class OverdueReview(msgspec.Struct, frozen=True):
    """A review whose deadline passed."""

    activation: str
    deadline: datetime
    reviewers: tuple[str, ...]


class LogStatus(msgspec.Struct, frozen=True):
    """The event log.

    Attributes:
        works: Whether something could be numbered and signed now; if not, nothing is issued.
        size: Entries under the newest checkpoint.
        waiting: Events of revocations that wait for a number.
    """

    works: bool
    size: int
    waiting: int


class StatusView(msgspec.Struct, frozen=True):
    """``GET /v1/status``: the overview.

    Attributes:
        activations: Count by state.
        leases: Count by state.
        stuck: Credentials whose revocation failed at least once and is not proven.
        targets: Configured targets that this process cannot use, and why; empty is good.
        trouble: What stops Callpoint from giving anything out now; empty is good. Then ``stuck``
            and ``overdue`` may be incomplete: who may see them cannot be decided.
    """

    installation: str
    trial: bool
    now: datetime
    configuration: int
    configuration_digest: str
    activations: dict[str, int]
    leases: dict[str, int]
    stuck: tuple[LeaseView, ...]
    overdue: tuple[OverdueReview, ...]
    log: LogStatus
    targets: dict[str, str]
    trouble: tuple[str, ...] = ()


class ConfigurationView(msgspec.Struct, frozen=True):
    """``GET /v1/configuration``: the bundle in force, or the one of a number."""

    bundle: Bundle
    digest: str
    configuration_digest: str
    policy_digest: str


class LogEntry(msgspec.Struct, frozen=True):
    """One entry: its place and its exact bytes."""

    index: int
    leaf: bytes


class LogEntries(msgspec.Struct, frozen=True):
    """``GET /v1/log/entries?start=&limit=``: entries under ``checkpoint``, a signed note.

    Attributes:
        size: Of the log under that checkpoint; ask again from ``start + len(entries)`` until then.
    """

    checkpoint: str
    size: int
    entries: tuple[LogEntry, ...]


class Health(msgspec.Struct, frozen=True):
    """``GET /healthz``, public: the process answers. Whether it can issue: ``/v1/status``."""

    ok: bool = True
