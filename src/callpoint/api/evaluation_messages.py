"""What an enforcement point is answered (AuthZEN Authorization API 1.0)."""

from datetime import datetime

import msgspec

from callpoint.api.access_request_messages import AccessRequestHint, ApprovalView


class Refusal(msgspec.Struct, frozen=True):
    """Why one evaluation of a batch could not be decided, in the form of AuthZEN, section 7."""

    status: int
    message: str


class ObligationView(msgspec.Struct, frozen=True):
    """What must be done for a yes to count (AuthZEN Obligations Profile); else it is a no."""

    id: str
    type: str
    properties: dict[str, str]


class AnswerContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why, and where it is on record.

    Attributes:
        evaluation_id: Of the entries ``decision:made`` in the log.
        reasons: One sentence for each rule that refused.
        policies: Ids of the policies that decided.
        policy_digest: SHA-256 hex of the policy set; absent when policy was not asked.
        reason: Why not, for a machine.
        access_request: How to ask for what was denied; without it the denial is final.
        approval: Which approval the yes goes by, and until when at most.
        next_action: Where an approval was presented and did not help: ``request``, ``retry``
            (after ``retry_after`` seconds) or ``none``.
        obligations: All of them must be met; whoever cannot must deny.
    """

    evaluation_id: str = ""
    evaluated_at: datetime | None = None
    reasons: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    policy_digest: str = ""
    error: Refusal | None = None
    reason: str = ""
    access_request: AccessRequestHint | None = None
    approval: ApprovalView | None = None
    next_action: str = ""
    retry_after: int | None = None
    obligations: tuple[ObligationView, ...] = ()


class DecisionView(msgspec.Struct, frozen=True):
    """The answer to one evaluation."""

    decision: bool
    context: AnswerContext


class DecisionList(msgspec.Struct, frozen=True):
    """The answers to a batch, in its order; fewer where its semantic ended it before."""

    evaluations: tuple[DecisionView, ...]


class FoundEntity(msgspec.Struct, frozen=True):
    """A subject or resource that a search found."""

    type: str
    id: str


class FoundAction(msgspec.Struct, frozen=True):
    """An action that a search found."""

    name: str


class PageView(msgspec.Struct, frozen=True):
    """``next_token`` is empty on the last page. A page may be short and not be the last one."""

    next_token: str
    count: int


class EntityPage(msgspec.Struct, frozen=True):
    """A page of subjects or resources."""

    page: PageView
    results: tuple[FoundEntity, ...]


class ActionPage(msgspec.Struct, frozen=True):
    """A page of actions."""

    page: PageView
    results: tuple[FoundAction, ...]


class AuthzenConfiguration(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where this decision point is, and what it serves (AuthZEN, section 9)."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str
    search_resource_endpoint: str
    search_action_endpoint: str
    supported_obligations: tuple[str, ...]
    access_request_endpoint: str = ""
    jwks_uri: str = ""
    capabilities: tuple[str, ...] = ()
