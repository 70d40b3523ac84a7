"""Why a decision came out as it did, policy by policy, in Cedar's own judgement.

Nothing of Cedar is imitated here: each policy is asked alone, once without its conditions (is the
request within its scope?) and once with them (does it hold?).
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.policy import reason
from callpoint.policy.pdp import Pdp
from callpoint.policy.policy_set import PERMIT, Policy


class Outcome(StrEnum):
    """What one policy said to the request."""

    DECIDED = "decided"
    HELD = "held"
    DID_NOT_HOLD = "did not hold"
    OUT_OF_SCOPE = "out of scope"


class Considered(msgspec.Struct, frozen=True):
    """One policy and what it said.

    Attributes:
        outcome: ``held`` means that it matched and was outvoted: a permit beside a forbid.
        words: What a forbid that held says, or what a permit that did not hold needs; else empty.
    """

    policy: Policy
    outcome: Outcome
    words: str


class Explanation(msgspec.Struct, frozen=True):
    """A decision with the working shown: what decided first, what is out of scope last."""

    request: DecisionRequest
    decision: Decision
    considered: tuple[Considered, ...]


def explain(pdp: Pdp, request: DecisionRequest) -> Explanation:
    """Decide, and say of every policy what it contributed.

    When the decision failed with errors nothing is said of single policies.
    """
    decision = pdp.evaluate(request)
    if decision.errors:
        return Explanation(request, decision, ())
    scope = {policy.id for policy in pdp.in_scope(request)}
    held = set(pdp.ask(pdp.policy_set.alone, request).diagnostics.reasons)
    considered = [
        _considered(policy, _outcome(name, decision, scope, held), request)
        for name, policy in pdp.policy_set.policies.items()
    ]
    considered.sort(key=lambda item: list(Outcome).index(item.outcome))
    return Explanation(request, decision, tuple(considered))


def lines(explanation: Explanation, *, everything: bool = False) -> Iterator[str]:
    """The explanation as text; policies that are out of scope only when ``everything``."""
    request, decision = explanation.request, explanation.decision
    where = request.resource.opening or "this installation"
    yield f"{reason.clean(request.actor.principal)} · {request.verb} · {where}"
    by = f" by {', '.join(decision.policies)}" if decision.policies else ""
    yield f"{decision.effect}{by}"
    yield from (f"  {sentence}" for sentence in decision.reasons)
    yield from (f"  error: {error}" for error in decision.errors)
    for item in explanation.considered:
        if everything or item.outcome is not Outcome.OUT_OF_SCOPE:
            yield _line(item)


def _outcome(name: str, decision: Decision, scope: set[str], held: set[str]) -> Outcome:
    if name in decision.policies:
        return Outcome.DECIDED
    if name in held:
        return Outcome.HELD
    return Outcome.DID_NOT_HOLD if name in scope else Outcome.OUT_OF_SCOPE


def _considered(policy: Policy, outcome: Outcome, request: DecisionRequest) -> Considered:
    held = outcome in {Outcome.DECIDED, Outcome.HELD}
    spoken = policy.reason if held else ""
    if policy.effect == PERMIT:
        spoken = policy.needs if outcome is Outcome.DID_NOT_HOLD else ""
    return Considered(policy, outcome, reason.words(spoken, request))


def _line(item: Considered) -> str:
    policy = item.policy
    place = f"{policy.file}:{policy.line}" if policy.line else policy.file
    would = "would, if " if policy.effect == PERMIT else ""
    words = f": {would}{item.words}" if item.words else ""
    return f"  {item.outcome:<12}  {policy.effect:<6} {policy.id}  ({place}){words}"
