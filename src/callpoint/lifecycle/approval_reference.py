"""What ``context.approval`` refers to: an activation, judged by stored facts like any other.

An approval is no bearer grant: it names an activation, and whether that helps *this* subject with
*this* target role now is decided again each time (Access Request and Approval Profile, section on
completion). Times and state that the asker sends along are not read.
"""

from datetime import timedelta

from callpoint.domain.access_request import BOUND_CONTEXT, ApprovalReason, NotApprovedError
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.decision import Action
from callpoint.domain.evaluation import Evaluation
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle.ending import leases
from callpoint.ports.stores import View

APPROVAL = "approval"
RETRY_AFTER = timedelta(seconds=5)
"""When to ask again whether an approved activation has begun."""


def is_presented(asked: Evaluation) -> bool:
    """Whether the asker refers to an approval, and asks for what approvals are about."""
    return APPROVAL in asked.context and asked.action.name == Action.CREDENTIAL_REVEAL


def named_approval(asked: Evaluation) -> str:
    """The approval's id. NotApprovedError when there is none to read."""
    presented = asked.context[APPROVAL]
    name = presented.get("id") if isinstance(presented, dict) else None
    if not isinstance(name, str):
        raise unverifiable("context.approval has no id")
    activation = asked.context.get("activation", name)
    if activation != name:
        raise unverifiable("context.activation and context.approval name two activations")
    return name


def must_apply(view: View, found: Activation, asked: Evaluation) -> None:
    """The activation is of this subject, opens this, and is neither over nor still to begin.

    Raises:
        NotApprovedError: With what the profile calls it.
    """
    if found.request.principal != asked.subject.id:
        raise unverifiable(f"approval {found.id} is of somebody else")
    _must_be_in_scope(found, asked)
    match found.state:
        case ActivationState.REQUESTED | ActivationState.DENIED:
            raise unverifiable(f"activation {found.id} is {found.state}, not approved")
        case ActivationState.APPROVED if view.now() <= found.lapse_at():
            raise NotApprovedError(
                ApprovalReason.GRANT_PENDING,
                f"activation {found.id} is approved, and {found.request.principal} has not taken"
                " it up yet",
            )
        case ActivationState.ACTIVE if not _is_over(view, found):
            _must_be_given(view, found)
        case _:
            raise NotApprovedError(ApprovalReason.EXPIRED, f"approval {found.id} is over")


def unverifiable(message: str) -> NotApprovedError:
    """The approval says nothing about this question."""
    return NotApprovedError(ApprovalReason.UNVERIFIABLE, message)


def _must_be_in_scope(found: Activation, asked: Evaluation) -> None:
    made = found.request
    opens = (*made.opens, found.id)  # a target role of it, or it as a whole
    told = {"eligibility": made.eligibility, "incident": made.incident}
    given = {name: asked.context.get(name) or told[name] for name in BOUND_CONTEXT}
    is_other = any(not isinstance(v, str) or v.lower() != told[name] for name, v in given.items())
    if asked.resource.id not in opens or is_other:
        raise NotApprovedError(
            ApprovalReason.OUT_OF_SCOPE, f"approval {found.id} is not for what is asked"
        )


def _is_over(view: View, found: Activation) -> bool:
    return found.not_after is not None and view.now() >= found.not_after


def _must_be_given(view: View, found: Activation) -> None:
    """Its credentials are made; one that is planned still may be."""
    if any(lease.state is LeaseState.PLANNED for lease in leases(view, found.id)):
        raise NotApprovedError(
            ApprovalReason.GRANT_PENDING, f"the credentials of {found.id} are being made"
        )
