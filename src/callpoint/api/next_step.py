"""What happens next with an activation, and whose turn it is, in one sentence."""

from collections.abc import Sequence
from datetime import datetime

from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import QuorumTally
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.attest import is_lost


def next_step(
    found: Activation,
    standing: QuorumTally,
    leases: Sequence[Lease],
    reviewers: Sequence[str],
    now: datetime,
    *,
    voided: bool = False,
) -> str:
    """The sentence; ``reviewers`` are the persons who may still review it."""
    if voided:
        return (
            f"the configuration changed after it was asked for, so no approval counts any more:"
            f" {found.request.principal} asks again with `callpoint request`"
        )
    match found.state:
        case ActivationState.REQUESTED:
            return _requested(found, standing, now)
        case ActivationState.APPROVED:
            return (
                f"{found.request.principal} takes it up before {_clock(found.lapse_at(), now)}"
                f" (`callpoint connect {found.id}`)"
            )
        case ActivationState.ACTIVE:
            return _active(found, now)
        case ActivationState.ENDED:
            return _ended(found, leases, reviewers, now)
        case ActivationState.REVIEWED:
            verdict = found.review.verdict if found.review else None
            return f"the verdict is {verdict}; nothing is left to do"
        case ActivationState.DENIED | ActivationState.LAPSED | ActivationState.WITHDRAWN:
            return "it opened nothing, and nothing is left to do"


def _requested(found: Activation, standing: QuorumTally, now: datetime) -> str:
    if now >= found.lapse_at():
        return "nobody answered in time: it lapses now"
    lacking = []
    if standing.missing:
        lacking.append(f"{standing.missing} more of the approvers")
    if standing.missing_security:
        lacking.append(f"{standing.missing_security} of security")
    who = ", ".join(standing.can_still_approve) or "nobody is left who could"
    needed = " and ".join(lacking) or "one more person"
    return f"{needed} must approve before {_clock(found.lapse_at(), now)}: {who}"


def _active(found: Activation, now: datetime) -> str:
    ends = [moment for moment in (found.not_after, found.idle_at()) if moment is not None]
    until = f" until {_clock(min(ends), now)}" if ends else ""
    return (
        f"{found.request.principal} can use it{until};"
        f" `callpoint return {found.id}` gives it back early"
    )


def _ended(
    found: Activation, leases: Sequence[Lease], reviewers: Sequence[str], now: datetime
) -> str:
    alive = [lease for lease in leases if lease.state is not LeaseState.ENDED]
    if alive:
        where = ", ".join(sorted({lease.plan.target for lease in alive}))
        tried = f"revocation on {where} is not proven yet and is tried again until it is"
        return tried + _lost(alive)
    who = ", ".join(reviewers) or "nobody is left who could"
    if found.review is None:
        return f"every credential is proven dead; a review follows by {who}"
    deadline = found.review.next_deadline() or found.review.close_by
    step = "the verdict" if found.review.triaged_at else "a first look"
    late = "was due" if now > deadline else "is due"
    return (
        f"every credential is proven dead; {step} {late} {deadline:%Y-%m-%d %H:%M} UTC by one of:"
        f" {who}"
    )


def _lost(alive: Sequence[Lease]) -> str:
    """The way out where no attempt can ever prove anything."""
    lost = [lease.plan for lease in alive if is_lost(lease)]
    if not lost:
        return ""
    more = f", and so for {len(lost) - 1} more" if len(lost) > 1 else ""
    return (
        f"; if {lost[0].target} is gone for good, two governors run"
        f" `callpoint attest {lost[0].handle}`{more}"
    )


def _clock(moment: datetime, now: datetime) -> str:
    """The time of day; with its date on another day than today."""
    date = "" if moment.date() == now.date() else f"{moment:%Y-%m-%d} "
    return f"{date}{moment:%H:%M:%S} UTC"
