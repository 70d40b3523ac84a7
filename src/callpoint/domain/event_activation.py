"""Events of an activation's life, from the request to the review."""

from datetime import datetime
from typing import ClassVar

import msgspec

from callpoint.domain.access_request import AnsweredDenial
from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision
from callpoint.domain.event_form import Event, Private
from callpoint.domain.request import Request
from callpoint.domain.review import Finding, ReviewVerdict
from callpoint.domain.undo_plan import UndoPlan


class ActivationRequested(Event, frozen=True, kw_only=True, tag="activation:requested"):
    """Somebody may ask, and did.

    Attributes:
        answers: The denial that it answers; None when it was asked for directly.
    """

    request: Request
    digest: str
    decisions: tuple[Decision, ...]
    asked: Asked | None = None
    answers: AnsweredDenial | None = None
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class ApprovalRecorded(Event, frozen=True, kw_only=True, tag="approval:recorded"):
    """One signed vote; the fields are those of ``Approval``.

    Policy is asked about a yes alone: a no has neither ``asked`` nor ``decisions``.
    """

    approver: str
    person: str
    verdict: str
    statement: str
    signature: str
    key: str
    asked: Asked | None = None
    decisions: tuple[Decision, ...] = ()
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
    asked: Asked | None = None


class ActivationEnded(Event, frozen=True, kw_only=True, tag="activation:ended"):
    """Whatever the reason, revocation starts at this moment."""

    reason: str
    triage_by: datetime
    close_by: datetime


class FindingRaised(Event, frozen=True, kw_only=True, tag="finding:raised"):
    """Something that a reviewer must look at."""

    finding: Finding
    lease: str = ""


class ReviewTriaged(Event, frozen=True, kw_only=True, tag="review:triaged"):
    """An independent person took a first look."""

    person: str
    asked: Asked | None = None
    decisions: tuple[Decision, ...] = ()


class ActivationReviewed(Event, frozen=True, kw_only=True, tag="activation:reviewed"):
    """The verdict; the activation's last event."""

    CLOSES: ClassVar[bool] = True
    person: str
    verdict: ReviewVerdict
    findings: tuple[Finding, ...]
    follow_ups: tuple[str, ...]
    checkpoint: str
    asked: Asked | None = None
    decisions: tuple[Decision, ...] = ()
