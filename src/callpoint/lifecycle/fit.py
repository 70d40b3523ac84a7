"""Whether a request is one that the rules in force could have made.

A request stands in the log, and its votes are signed over it; but who writes to the database can
log a request that was never checked: with a lower quorum, or with themselves as approver. So issue
derives from the configuration again whatever the request says about its own terms.
"""

from collections.abc import Iterator

import msgspec

from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Eligibility
from callpoint.domain.errors import TamperError
from callpoint.domain.request import Request


def must_fit(request: Request, configuration: Configuration) -> None:
    """The request's terms are those of its eligibility, or harder ones (I16).

    The caller has seen that it was made under exactly this configuration.

    Raises:
        TamperError: They are not, so it was not made by `callpoint request`.
    """
    eligibility = configuration.eligibilities.get(request.eligibility)
    principal = configuration.principals.get(request.principal)
    if eligibility is None or principal is None:
        wrong = ["eligibility" if eligibility is None else "principal"]
    else:
        wrong = [*_wrong(request, eligibility), *_wrong_quorum(request, eligibility, configuration)]
        if not set(principal.persons) <= set(request.persons):
            wrong.append("persons")
        if not configuration.is_among(principal, eligibility.who):
            wrong.append("principal")
    if wrong:
        raise TamperError(
            f"the request of {request.activation} is not one that the configuration in force"
            f" allows: {', '.join(wrong)}",
            way_out="somebody wrote to the database by hand; find out who could",
        )


def _wrong(request: Request, eligibility: Eligibility) -> Iterator[str]:
    """Names of the members that are not as the eligibility says."""
    opens = {str(opening) for opening in eligibility.opens}
    review = eligibility.review
    holds = {
        "lane": request.lane is eligibility.lane,
        "mode": request.mode is eligibility.mode,
        "opens": bool(request.opens) and set(request.opens) <= opens,
        "purpose": request.purpose in eligibility.purposes,
        "ttl": request.ttl <= eligibility.ttl,
        "idle": request.idle == eligibility.idle,
        "incident": bool(request.incident) or eligibility.incident is None,
        "lapses_at": request.lapses_at - request.requested_at == eligibility.approval.within,
        "reviewers": request.reviewers == review.by,
        "triage": request.triage == review.triage,
        "close": request.close == review.close,
        "allowance": request.allowance == eligibility.allowance,
        "offline": request.offline == (eligibility.offline or msgspec.UNSET),
    }
    return (name for name, fits in holds.items() if not fits)


def _wrong_quorum(
    request: Request, eligibility: Eligibility, configuration: Configuration
) -> Iterator[str]:
    quorum, rule = request.quorum, eligibility.approval
    if quorum.need < rule.quorum or quorum.extra < 0 or quorum.approvers != rule.approvers:
        yield "quorum"
    if quorum.extra and quorum.security != configuration.governance.security:
        yield "quorum.security"
