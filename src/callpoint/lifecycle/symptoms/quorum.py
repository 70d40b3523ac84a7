"""Requests that wait for people, and rules under which no people could ever be enough."""

from collections.abc import Iterator

from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import Quorum, tally
from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Eligibility
from callpoint.domain.principal import Principal
from callpoint.lifecycle.announce import standing
from callpoint.lifecycle.symptoms.observed import Observed, ago, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom

_LAST_PART = 4
"""In the last quarter of its time a request is no longer merely waiting."""


def check_requests(seen: Observed) -> Iterator[Symptom]:
    """Every request that is not active yet: for whom it waits, until when, or why in vain."""
    for found in seen.activations:
        if seen.configuration is None or seen.now >= found.lapse_at():
            continue  # the sweep's turn; a sweep that does not come is told by its leases
        if found.state not in (ActivationState.REQUESTED, ActivationState.APPROVED):
            continue
        if seen.rules is not None and not seen.rules.covers(found.request):
            yield _outdated(found)
        elif found.state is ActivationState.APPROVED:
            yield _approved(seen, found)
        else:
            yield _waiting(seen, found, seen.configuration)


def _outdated(found: Activation) -> Symptom:
    return symptom(
        Severity.WARNING,
        Code.REQUEST_OUTDATED,
        found.id,
        f"{found.id} was asked for under rules that were replaced meanwhile: its votes no longer"
        " count",
        f"{found.request.principal} asks again: `callpoint request {found.request.eligibility}`",
        activation=found.id,
    )


def _approved(seen: Observed, found: Activation) -> Symptom:
    return symptom(
        _by_time(seen, found),
        Code.APPROVED_NOT_ISSUED,
        found.id,
        f"{found.id} is approved and not taken up; it lapses at {clock(found.lapse_at())}",
        f"{found.request.principal} runs `callpoint credentials {found.id}`",
        activation=found.id,
    )


def _waiting(seen: Observed, found: Activation, configuration: Configuration) -> Symptom:
    now = standing(found, seen.incident(found.request.incident), configuration)
    missing = now.missing + now.missing_security
    if not now.can_be_met:
        return symptom(
            Severity.URGENT,
            Code.REQUEST_STRANDED,
            found.id,
            f"{found.id} can never be approved: {missing} more must, and only"
            f" {', '.join(now.can_still_approve) or 'nobody'} can",
            f"`callpoint withdraw {found.id}`, and let somebody ask for whom others approve; or"
            " two governors publish more approvers",
            activation=found.id,
        )
    security = f" ({now.missing_security} of security)" if now.missing_security else ""
    return symptom(
        _by_time(seen, found),
        Code.REQUEST_WAITING,
        found.id,
        f"{found.id} of {found.request.principal} waits for {missing} more{security}; asked"
        f" {ago(found.request.requested_at, seen.now)} ago, it lapses at"
        f" {clock(found.lapse_at())}",
        f"one of {', '.join(now.can_still_approve)} runs `callpoint approve {found.id}`",
        activation=found.id,
    )


def _by_time(seen: Observed, found: Activation) -> Severity:
    whole = found.request.lapses_at - found.request.requested_at
    left = found.lapse_at() - seen.now
    return Severity.WARNING if left * _LAST_PART < whole else Severity.NOTICE


def check_quorums(seen: Observed) -> Iterator[Symptom]:
    """Each eligibility that somebody may ask for and that nobody could approve for them."""
    rules = seen.configuration
    if rules is None:
        return
    for eligibility in rules.eligibilities.values():
        short = [
            principal.id
            for principal in rules.principals.values()
            if rules.is_among(principal, eligibility.who)
            and not _can_be_met(rules, eligibility, principal)
        ]
        if short:
            yield symptom(
                Severity.WARNING,
                Code.QUORUM_SHORT,
                eligibility.id,
                f"{eligibility.id} needs {eligibility.approval.quorum} approvers, and too few are"
                f" configured when it is asked for by {', '.join(sorted(short))}",
                "two governors publish more approvers or a lower quorum; `callpoint check` names"
                " the line",
            )


def _can_be_met(rules: Configuration, eligibility: Eligibility, principal: Principal) -> bool:
    quorum = Quorum(need=eligibility.approval.quorum, approvers=eligibility.approval.approvers)
    return tally(quorum, (), rules, frozenset(principal.persons)).can_be_met
