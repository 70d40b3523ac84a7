"""Rarity with teeth: what a spent budget or a late review adds to the next request (I16).

It never closes the last way in: it adds an approver from security and shortens the time.
"""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import Quorum
from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Eligibility
from callpoint.domain.epoch import CURRENT, Epoch
from callpoint.domain.errors import ConflictError
from callpoint.domain.principal import Principal
from callpoint.domain.request import Request
from callpoint.domain.span import format_span
from callpoint.ports.stores import View, Where

_ALL = 1_000_000
_LOST = "(lost with a part of the log)"
_USED = (ActivationState.ACTIVE, ActivationState.ENDED, ActivationState.REVIEWED)


class Terms(msgspec.Struct, frozen=True):
    """What a request must meet.

    Attributes:
        left: Incidents left in the budget, this one not yet counted; never below zero.
        findings: Why the terms are harder than the eligibility's own; empty when they are not.
    """

    quorum: Quorum
    ttl: timedelta
    left: int
    findings: tuple[str, ...]


def terms(
    view: View,
    configuration: Configuration,
    eligibility: Eligibility,
    principal: Principal,
    *,
    incident: str,
    asked: timedelta | None,
    shortest: timedelta,
) -> Terms:
    """The terms of a new request, by the store's clock."""
    now = view.now()
    served = _served(view, eligibility)
    spent = _count(served, but=incident)
    left = max(eligibility.budget.incidents - _count(served), 0)
    findings = [
        *_budget_findings(eligibility, spent, repeated=_repeats(incident, served)),
        *_review_findings(view, eligibility, principal, now),
    ]
    ttl = min(asked or eligibility.ttl, eligibility.ttl)
    if findings:
        ttl = max(ttl / 2, min(shortest, ttl))
    quorum = Quorum(
        need=eligibility.approval.quorum,
        approvers=eligibility.approval.approvers,
        extra=1 if findings else 0,
        security=configuration.governance.security if findings else (),
    )
    return Terms(quorum=quorum, ttl=ttl, left=left, findings=tuple(findings))


def must_not_be_spent(view: View, eligibility: Eligibility, request: Request) -> None:
    """Requests that waited side by side did not know of each other: count again at issue (I4).

    Raises:
        ConflictError: Others took what was left, and this quorum was not asked for more.
    """
    served = _served(view, eligibility)
    if request.quorum.extra or _repeats(request.incident, served):
        return
    if _count(served) >= eligibility.budget.incidents:
        raise ConflictError(
            f"the budget of {eligibility.id} was spent while this request waited",
            way_out="ask again with `callpoint request`: it then needs an approver from security",
        )


def _served(view: View, eligibility: Eligibility) -> dict[str, int]:
    """Incidents that the eligibility served within its window, and how often each of them."""
    since = view.now() - eligibility.budget.per
    served = view.count_subjects(Activation, eligibility.id, _USED, since)
    epoch = view.find(Epoch, CURRENT)
    if epoch is not None and epoch.lost_at is not None and epoch.lost_at > since:
        served = {**served, _LOST: 1}  # what was lost with the log may have been one
    return served


def _count(served: dict[str, int], *, but: str = "") -> int:
    """Distinct incidents apart from one. Planned work names none, so each of it counts."""
    return len(served.keys() - {"", but}) + served.get("", 0)


def _repeats(incident: str, served: dict[str, int]) -> bool:
    """Whether the incident was counted before."""
    return incident != "" and incident in served


def _budget_findings(eligibility: Eligibility, spent: int, *, repeated: bool) -> list[str]:
    """A further incident over the budget; another activation for the same incident is none."""
    if repeated or spent < eligibility.budget.incidents:
        return []
    rule = eligibility.budget
    return [
        (
            f"budget spent: incidents within {format_span(rule.per)}: {spent} served by"
            f" {eligibility.id}, {rule.incidents} allowed"
        )
    ]


def _review_findings(
    view: View, eligibility: Eligibility, principal: Principal, now: datetime
) -> list[str]:
    # An ended one is due at its review's next deadline, so the others are never read: they may be
    # many, and every request waits for this.
    where = Where(states=(ActivationState.ENDED,), due_before=now, limit=_ALL)
    late = [
        a.id
        for a in view.select(Activation, where)
        if a.review is not None
        and a.review.overdue(now)
        and (
            a.request.eligibility == eligibility.id
            or set(a.request.persons) & set(principal.persons)
        )
    ]
    return [f"review overdue: activation {', '.join(sorted(late)[:5])}"] if late else []
