"""The one gate: only this module asks the PDP (architecture, "Deciding").

Whatever *gives* something calls ``enforce`` first. A refusal, and a PDP that fails, become a
durable event and a DeniedError. What takes away is not here at all (I11). Who only tells somebody
else what would be decided calls ``decisions``, and keeps the record itself (``evaluations``).
"""

from collections.abc import Sequence

from callpoint.domain import event as ev
from callpoint.domain.asked import Decided, asked_of
from callpoint.domain.decision import Decision, DecisionRequest, Effect
from callpoint.domain.errors import DeniedError
from callpoint.domain.ids import REFUSALS_STREAM
from callpoint.domain.obligation import Obligation, ObligationKind
from callpoint.lifecycle import obligations
from callpoint.lifecycle.rules import Rules
from callpoint.ports.notifiers import Notifier
from callpoint.ports.stores import Store


class Pep:
    """Policy enforcement point.

    Args:
        notifier: Tells whom a permit obliges to tell; without one such a yes does not count.
    """

    def __init__(self, store: Store, notifier: Notifier | None = None) -> None:
        self._store = store
        self._notifier = notifier

    async def enforce(self, rules: Rules, questions: Sequence[DecisionRequest]) -> Decided:
        """All must be allowed; the first refusal ends it, on record.

        Returns:
            What the step's own event keeps of it: an allowed decision has no other record.

        Raises:
            DeniedError: With the reasons of the policies that refused.
        """
        if not questions:
            raise DeniedError("nothing was asked, so nothing is allowed")
        decisions = tuple([await self._one(rules, question) for question in questions])
        return Decided(asked_of(questions, rules.configuration_digest), decisions)

    def may(self, rules: Rules, questions: Sequence[DecisionRequest]) -> bool:
        """Whether all are allowed, for leaving out of a list what the caller may not see.

        Nothing was asked for by name, so nothing is refused and nothing is recorded.
        """
        return bool(questions) and all(self._may(rules, question) for question in questions)

    def _may(self, rules: Rules, question: DecisionRequest) -> bool:
        decision = _ask(rules, question)
        return decision.allowed and self._lacking(question, decision) is None

    def decisions(self, rules: Rules, questions: Sequence[DecisionRequest]) -> tuple[Decision, ...]:
        """Every answer, one for each question; nothing is given, raised or recorded here."""
        return tuple(_ask(rules, question) for question in questions)

    async def _one(self, rules: Rules, question: DecisionRequest) -> Decision:
        decision = _ask(rules, question)
        lacking = self._lacking(question, decision)
        if decision.allowed and lacking is None:
            await self._tell(rules, question, decision)
            return decision
        refused = ev.AccessRefused(
            actor=question.actor.principal,
            question=question,
            decision=decision,
            configuration_digest=rules.configuration_digest,
        )
        await self._store.transact(lambda tx: tx.append(REFUSALS_STREAM, refused), urgent=True)
        raise DeniedError(
            f"{question.verb} is denied to {question.actor.principal}",
            reasons=_reasons(decision, lacking),
            way_out=_way_out(decision, lacking),
        )

    def _lacking(self, question: DecisionRequest, decision: Decision) -> Obligation | None:
        """What of a yes this process cannot do: then it must not count it."""
        can_tell = self._notifier is not None
        return obligations.unmet(question, decision.obligations, can_tell=can_tell)

    async def _tell(self, rules: Rules, question: DecisionRequest, decision: Decision) -> None:
        for notice in obligations.notices(rules, question, decision.obligations):
            if self._notifier is not None:
                await self._notifier.notify(notice)


def _ask(rules: Rules, question: DecisionRequest) -> Decision:
    """The decision; whatever goes wrong inside the PDP is a deny (I11)."""
    try:
        return rules.decider.evaluate(question)
    except Exception as error:  # noqa: BLE001 -- a broken PDP must deny, whatever it raises
        return Decision(
            effect=Effect.DENY,
            policies=(),
            reasons=(),
            policy_digest=rules.policy_digest,
            errors=(f"the policy engine failed: {type(error).__name__}",),
        )


def _reasons(decision: Decision, lacking: Obligation | None) -> tuple[str, ...]:
    if decision.allowed and lacking is not None:
        return (f"policy obliges to {lacking}",)
    return decision.reasons or decision.errors


def _way_out(decision: Decision, lacking: Obligation | None) -> str:
    if decision.allowed and lacking is not None:
        if lacking.kind is ObligationKind.STEP_UP:
            return f"authenticate with {lacking.about}"
        return "this process tells nobody; ask another node"
    if decision.errors:
        return "policy could not be evaluated; ask a governor to run `callpoint policy check`"
    return ""
