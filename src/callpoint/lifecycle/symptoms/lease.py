"""Credentials that do not die."""

from collections.abc import Iterator
from datetime import timedelta

from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.attest import is_lost
from callpoint.lifecycle.symptoms.observed import Observed, ago, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom

_GRACE = timedelta(minutes=2)
"""A sweep runs each second and a claim holds a minute; what is due longer is nobody's work."""


def check_leases(seen: Observed) -> Iterator[Symptom]:
    """Revocations that fail, and those that nobody tries."""
    for lease in seen.leases:
        if lease.state is LeaseState.ENDING and lease.last_error:
            yield _stuck(seen, lease)
        elif lease.due_at is not None and lease.due_at + _GRACE < seen.now:
            yield _unattended(seen, lease)


def _stuck(seen: Observed, lease: Lease) -> Symptom:
    found = seen.activation(lease.activation)
    ended = found.ended_at if found else None
    since = f" {ago(ended, seen.now)} after its end ({clock(ended)})" if ended else ""
    plan = lease.plan
    if is_lost(lease):
        said = f" ({', '.join(lease.attested_by)} did)" if lease.attested_by else ""
        step = (
            f"bring {plan.target} back; if it is gone for good, two governors run"
            f" `callpoint attest {lease.id}`{said}"
        )
    else:
        step = (
            f"run `callpoint target selftest {plan.target}` on the server and repair what it"
            " names; the revocation is retried for ever by itself"
        )
    return symptom(
        Severity.URGENT,
        Code.LEASE_STUCK,
        plan.account,
        f"{plan.account} on {plan.target} is not proven dead{since}: {lease.attempts} attempts,"
        f" stuck at {lease.rung}: {lease.last_error}",
        step,
        activation=lease.activation,
    )


def _unattended(seen: Observed, lease: Lease) -> Symptom:
    due = lease.due_at or seen.now
    return symptom(
        Severity.URGENT,
        Code.LEASE_UNATTENDED,
        lease.plan.account,
        f"{lease.plan.account} on {lease.plan.target} ({lease.state}) was due"
        f" {ago(due, seen.now)} ago ({clock(due)}) and no worker has taken it up",
        "look for `pass_failed` and `sweep_could_not` in the server's log, then restart"
        " `callpoint serve`; `callpoint kill everything` revokes at once",
        activation=lease.activation,
    )
