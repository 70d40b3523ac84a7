"""Clocks of this node and of the store; a target's is with the target."""

from collections.abc import Iterator

from callpoint.lifecycle.symptoms.observed import Observed, offset
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom


def check_clocks(seen: Observed) -> Iterator[Symptom]:
    """Which clock is wrong, by how much, and what that stops (I4)."""
    if seen.behind > seen.limits.skew:
        yield symptom(
            Severity.URGENT,
            Code.STORE_CLOCK,
            "store",
            f"the store's clock is {seen.behind.total_seconds():.1f} s behind what it said before:"
            " nothing is issued, revocation goes on",
            "set the clock right; if it had been ahead and is right now, stop the server and run"
            " `callpoint clock accept`",
        )
    if abs(seen.node) > seen.limits.skew:
        yield symptom(
            Severity.WARNING,
            Code.NODE_SKEW,
            "node",
            f"the server's clock is {offset(seen.node)} the store's: signatures of callers can be"
            " refused, and times in its log mislead",
            "synchronise both clocks (`chronyc tracking`, `timedatectl`)",
        )
