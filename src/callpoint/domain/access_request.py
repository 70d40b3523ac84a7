"""Asking for what was denied: AuthZEN Access Request and Approval Profile, draft 1.

A denial that an approval would change carries a binding token: which question was denied, and
which eligibility would open it. The request that answers it is an ordinary one; its approval is
an ordinary activation.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from callpoint.domain.errors import ConflictError, RequestError
from callpoint.domain.evaluation import Claims, Evaluation
from callpoint.domain.record import Index

REQUESTABLE_FOR = timedelta(minutes=10)
"""How long a denial can be answered. It proves what was asked, nothing that could grow stale."""

BOUND_CONTEXT = ("eligibility", "incident")
"""Members of a context that decide what a request would be for; no other binds."""

EMERGENCY = "the requester calls it an emergency, which opens nothing by itself"
"""What approvers read where ``requested_access.emergency`` is true (a signal, no override)."""


class Denial(msgspec.Struct, frozen=True):
    """What a binding token says; the members are JWT claims and those of the profile.

    The bound question is inline: it is compared member by member, so nobody has to agree on one
    spelling of JSON.

    Attributes:
        jti: Id of the denied evaluation, under which it stands in the log.
        iat, exp: Seconds since 1970.
        template: The eligibility.
    """

    iss: str
    aud: str
    jti: str
    iat: int
    exp: int
    evaluation_id: str
    denial_expires_at: datetime
    binding_context_members: tuple[str, ...]
    subject: Mapping[str, object]
    action: Mapping[str, object]
    resource: Mapping[str, object]
    context: Mapping[str, object]
    template: str
    configuration_digest: str
    policy_digest: str


class AnsweredDenial(msgspec.Struct, frozen=True):
    """The denial that a request answers, as it goes on record.

    Attributes:
        evaluation: Id of the denied evaluation.
        is_emergency: The requester said so.
        client: What submitted it, by its own word.
    """

    evaluation: str
    is_emergency: bool = False
    client: str = ""


class AccessRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A denial that was answered, so that it is answered once. The evidence is in the log.

    Attributes:
        evaluation: Id of the denied evaluation.
        idempotency: SHA-256 of the requester and its Idempotency-Key; empty without one.
        body: SHA-256 of what was submitted.
    """

    evaluation: str
    activation: str
    idempotency: str
    body: str
    version: int = 0

    def key(self) -> str:
        return self.evaluation

    def index(self) -> Index:
        return Index(parent=self.activation, subject=self.idempotency)

    def stored(self, version: int) -> "AccessRequest":
        return msgspec.structs.replace(self, version=version)


class Fault(StrEnum):
    """What the profile calls wrong with a submission or a task (its section on errors)."""

    NOT_REQUESTABLE = "not_requestable"
    EXPIRED_DENIAL = "expired_denial"
    INVALID_DENIAL_BINDING = "invalid_denial_binding"
    DUPLICATE_REQUEST = "duplicate_request"
    UNKNOWN_TASK = "unknown_task"
    INVALID_TASK_STATE = "invalid_task_state"


class AccessRequestError(RequestError):
    """The submission or the task is not what the profile asks for."""

    def __init__(self, fault: Fault, message: str, *, way_out: str = "") -> None:
        super().__init__(message, way_out=way_out)
        self.fault = fault


class ApprovalReason(StrEnum):
    """Why an approval that was presented does not help (the profile's registry)."""

    EXPIRED = "approval_expired"
    OUT_OF_SCOPE = "out_of_scope"
    GRANT_PENDING = "grant_pending"
    POLICY_DENIED = "policy_denied"
    UNVERIFIABLE = "approval_unverifiable"


class NotApprovedError(ConflictError):
    """The approval that was presented does not apply."""

    def __init__(self, reason: ApprovalReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def bound(asked: Evaluation) -> dict[str, Claims]:
    """The part of a question that a denial binds, in the profile's form.

    ``subject.properties.act`` is left out: a client may say in another place who acts.
    """
    properties = {name: v for name, v in asked.subject.properties.items() if name != "act"}
    return {
        "subject": _entity(asked.subject.type, asked.subject.id, properties),
        "action": {"name": asked.action.name} | _properties(asked.action.properties),
        "resource": _entity(asked.resource.type, asked.resource.id, asked.resource.properties),
        "context": {n: asked.context[n] for n in BOUND_CONTEXT if n in asked.context},
    }


def is_same(one: object, other: object) -> bool:
    """Whether two JSON values are equal as the profile compares them: 1 is 1.0, but not true."""
    match one, other:
        case bool(), _:
            return isinstance(other, bool) and one == other
        case ((int() | float()), (int() | float())):
            return not isinstance(other, bool) and one == other
        case Mapping(), Mapping():
            return one.keys() == other.keys() and all(is_same(one[k], other[k]) for k in one)
        case ((list() | tuple()), (list() | tuple())):
            pairs = zip(one, other, strict=False)
            return len(one) == len(other) and all(is_same(a, b) for a, b in pairs)
        case _:
            return type(one) is type(other) and one == other


def _entity(kind: str, name: str, properties: Claims) -> Claims:
    return {"type": kind, "id": name} | _properties(properties)


def _properties(properties: Claims) -> dict[str, object]:
    return {"properties": dict(properties)} if properties else {}
