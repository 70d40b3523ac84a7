"""Reviews that are late, or that nobody could do."""

from collections.abc import Iterator

from callpoint.domain.activation import ActivationState
from callpoint.lifecycle.review import who_may_review
from callpoint.lifecycle.symptoms.observed import Observed, ago, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom


def check_reviews(seen: Observed) -> Iterator[Symptom]:
    """Every activation that has ended and was not reviewed in its time (R6)."""
    if seen.configuration is None:
        return
    for found in seen.activations:
        if found.state is not ActivationState.ENDED or found.review is None:
            continue
        able = sorted(who_may_review(found, seen.configuration))
        if not able:
            yield symptom(
                Severity.WARNING,
                Code.REVIEW_STRANDED,
                found.id,
                f"nobody is left who could review {found.id}: whoever is not absent asked for it"
                " or approved it",
                f"two governors publish another person for {', '.join(found.request.reviewers)}",
                activation=found.id,
            )
        elif found.review.overdue(seen.now):
            due = found.review.next_deadline() or found.review.close_by
            yield symptom(
                Severity.WARNING,
                Code.REVIEW_LATE,
                found.id,
                f"the review of {found.id} was due {ago(due, seen.now)} ago ({clock(due)});"
                " further requests need an added approver meanwhile",
                f"one of {', '.join(able)} runs `callpoint review {found.id}`",
                activation=found.id,
            )
