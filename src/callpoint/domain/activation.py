"""An activation: one emergency use of an eligibility, from request to review.

``requested → approved → active → ended → reviewed``, and ``denied``, ``lapsed``, ``withdrawn``.
The state is the fold of the activation's events, so a row that was changed by hand disagrees with
the log, and issue refuses (I9). One table holds the legal transitions.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.approval import Approval
from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.event import AnyEvent
from callpoint.domain.record import Index
from callpoint.domain.request import Request
from callpoint.domain.review import Finding, Review


class ActivationState(StrEnum):
    """Where an activation is in its life."""

    REQUESTED = "requested"
    APPROVED = "approved"
    ACTIVE = "active"
    ENDED = "ended"
    REVIEWED = "reviewed"
    DENIED = "denied"
    LAPSED = "lapsed"
    WITHDRAWN = "withdrawn"


class EndReason(StrEnum):
    """Why it ended; whatever it is, revocation starts at that moment."""

    USED = "used"
    RETURNED = "returned"
    IDLE = "idle"
    EXPIRED = "expired"
    INCIDENT_RESOLVED = "incident_resolved"
    KILLED = "killed"
    POLICY_VIOLATION = "policy_violation"
    ISSUE_FAILED = "issue_failed"
    RECOVERED = "recovered"


TRANSITIONS: dict[ActivationState, frozenset[ActivationState]] = {
    ActivationState.REQUESTED: frozenset(
        {
            ActivationState.APPROVED,
            ActivationState.DENIED,
            ActivationState.LAPSED,
            ActivationState.WITHDRAWN,
        }
    ),
    ActivationState.APPROVED: frozenset(
        {ActivationState.ACTIVE, ActivationState.LAPSED, ActivationState.WITHDRAWN}
    ),
    ActivationState.ACTIVE: frozenset({ActivationState.ENDED}),
    ActivationState.ENDED: frozenset({ActivationState.REVIEWED}),
    ActivationState.REVIEWED: frozenset(),
    ActivationState.DENIED: frozenset(),
    ActivationState.LAPSED: frozenset(),
    ActivationState.WITHDRAWN: frozenset(),
}

PENDING = (ActivationState.REQUESTED, ActivationState.APPROVED)
UNFINISHED = (*PENDING, ActivationState.ACTIVE)


class Activation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The aggregate. ``apply`` is the only way to change it.

    Attributes:
        digest: The request digest.
        not_after: Fixed when it becomes active, the minimum of all caps; never moves (I3).
        last_used_at: For ``idle``: the last reveal of a credential, offer of a connection, or
            opening of a session.
        uses: How often any of them was done.
    """

    request: Request
    digest: str
    state: ActivationState = ActivationState.REQUESTED
    approvals: tuple[Approval, ...] = ()
    approved_at: datetime | None = None
    activated_at: datetime | None = None
    not_after: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    last_used_at: datetime | None = None
    uses: int = 0
    findings: tuple[Finding, ...] = ()
    review: Review | None = None
    version: int = 0

    @property
    def id(self) -> str:
        """The activation's id."""
        return self.request.activation

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index(
            state=self.state,
            parent=self.request.incident,
            subject=self.request.eligibility,
            due_at=self.due_at(),
        )

    def stored(self, version: int) -> "Activation":
        return msgspec.structs.replace(self, version=version)

    def due_at(self) -> datetime | None:
        """When time itself must do something about it (``lifecycle/sweep.py``)."""
        match self.state:
            case ActivationState.REQUESTED | ActivationState.APPROVED:
                return self.lapse_at()
            case ActivationState.ACTIVE:
                return min(d for d in (self.not_after, self.idle_at()) if d is not None)
            case ActivationState.ENDED:
                return self.review.next_deadline() if self.review else None
            case _:
                return None

    def lapse_at(self) -> datetime:
        """When silence becomes a no; approved but not taken up within the same span lapses too.

        Never later than the votes allow, which are signed over the request: genuine votes that
        somebody puts into the log once more, with a new time, open nothing.
        """
        if self.approved_at is None:
            return self.request.lapses_at
        within = self.request.lapses_at - self.request.requested_at
        return min(self.approved_at, self.request.lapses_at) + within

    def idle_at(self) -> datetime | None:
        """When it counts as idle, None when that never ends it."""
        since = self.last_used_at or self.activated_at
        if self.request.idle is None or since is None:
            return None
        return since + self.request.idle

    def apply(  # noqa: C901, PLR0911, PLR0912 -- one table from event to change, read in one look
        self, event: AnyEvent, at: datetime
    ) -> "Activation":
        """The activation after ``event``; events that do not concern its state leave it.

        Raises:
            ConflictError: The transition table has no such step.
        """
        match event:
            case ev.ApprovalRecorded():
                self._must_be(ActivationState.REQUESTED, event)
                return self._with(approvals=(*self.approvals, ev.approval_of(event, at)))
            case ev.ActivationApproved():
                return self._to(ActivationState.APPROVED, approved_at=at)
            case ev.ActivationDenied():
                return self._to(ActivationState.DENIED)
            case ev.ActivationLapsed():
                return self._to(ActivationState.LAPSED)
            case ev.ActivationWithdrawn():
                return self._to(ActivationState.WITHDRAWN)
            case ev.ActivationActivated():
                return self._to(ActivationState.ACTIVE, activated_at=at, not_after=event.not_after)
            case ev.ActivationEnded():
                return self._ended(event, at)
            case ev.CredentialRevealed() | ev.ConnectionOffered() | ev.SessionOpened():
                self._must_be(ActivationState.ACTIVE, event)
                return self._with(uses=self.uses + 1, last_used_at=at)
            case ev.TokenIssued():
                # No use: who only asks for the next token is idle.
                self._must_be(ActivationState.ACTIVE, event)
                return self
            case ev.FindingRaised():
                return self._with(findings=(*self.findings, event.finding))
            case ev.LeaseEnded():
                return self._with(findings=(*self.findings, *event.residue))
            case ev.ReviewTriaged() | ev.ActivationReviewed():
                return self._reviewed(event, at)
            case ev.ActivationRequested():
                raise ConflictError(f"activation {self.id} was requested already")
            case _:
                return self

    def _ended(self, event: ev.ActivationEnded, at: datetime) -> "Activation":
        review = Review(opened_at=at, triage_by=event.triage_by, close_by=event.close_by)
        reason = EndReason(event.reason)
        return self._to(ActivationState.ENDED, ended_at=at, end_reason=reason, review=review)

    def _reviewed(
        self, event: ev.ReviewTriaged | ev.ActivationReviewed, at: datetime
    ) -> "Activation":
        self._must_be(ActivationState.ENDED, event)
        if self.review is None:
            raise ConflictError(f"activation {self.id} has no review")
        first = msgspec.structs.replace(
            self.review,
            triaged_at=self.review.triaged_at or at,
            triaged_by=self.review.triaged_by or event.person,
        )
        if isinstance(event, ev.ReviewTriaged):
            return self._with(review=first)
        closed = msgspec.structs.replace(
            first,
            closed_at=at,
            closed_by=event.person,
            verdict=event.verdict,
            findings=event.findings,
            follow_ups=event.follow_ups,
            checkpoint=event.checkpoint,
        )
        return self._to(ActivationState.REVIEWED, review=closed)

    def _must_be(self, state: ActivationState, event: AnyEvent) -> None:
        if self.state is not state:
            raise ConflictError(
                f"activation {self.id} is {self.state}, so {ev.name(event)} cannot happen"
            )

    def _to(self, state: ActivationState, **changes: object) -> "Activation":
        if state not in TRANSITIONS[self.state]:
            raise ConflictError(f"activation {self.id} is {self.state} and cannot become {state}")
        return self._with(state=state, **changes)

    def _with(self, **changes: object) -> "Activation":
        return msgspec.structs.replace(self, **changes)


def begin(event: ev.ActivationRequested) -> Activation:
    """A new activation, from the event that asks for it."""
    return Activation(request=event.request, digest=event.digest)


def fold(events: Iterable[tuple[AnyEvent, datetime]]) -> Activation:
    """Replay an activation from its events, first to last.

    Raises:
        TamperError: The events are not a life that an activation can have.
    """
    state: Activation | None = None
    try:
        for event, at in events:
            if state is not None:
                state = state.apply(event, at)
            elif isinstance(event, ev.ActivationRequested):
                state = begin(event)
            else:
                raise TamperError("an activation's first entry must be its request")
    except ConflictError as error:
        raise TamperError(f"the log holds an impossible life: {error.message}") from error
    if state is None:
        raise TamperError("the log holds no entry of this activation")
    return state
