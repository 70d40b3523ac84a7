"""Obligations of a yes: met here for Callpoint's own steps, told to others for theirs.

Whoever enforces and cannot meet one must deny (AuthZEN Obligations Profile, section on compliance).
"""

from collections.abc import Iterable, Sequence

from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.evaluation import Evaluation, Owed
from callpoint.domain.obligation import Obligation, ObligationKind
from callpoint.lifecycle.rules import Rules
from callpoint.ports.notifiers import Notice

SUPPORTED = "supported_obligations"
"""Member of a context: the types that an enforcement point can meet."""

TYPES = {
    ObligationKind.RECORD: "custom",
    ObligationKind.NOTIFY: "notification",
    ObligationKind.STEP_UP: "step-up",
}
"""Names of the profile."""


def union(decisions: Iterable[Decision]) -> tuple[Obligation, ...]:
    """Of all decisions together, each once."""
    return tuple(dict.fromkeys(o for decision in decisions for o in decision.obligations))


def owed(questions: Sequence[DecisionRequest], decisions: Sequence[Decision]) -> tuple[Owed, ...]:
    """What an enforcement point must do, each once; no step up that its subject has behind it."""
    found: dict[Obligation, Owed] = {}
    for question, decision in zip(questions, decisions, strict=True):
        for one in decision.obligations:
            is_done = one.kind is ObligationKind.STEP_UP and question.actor.strength == one.about
            if not is_done:
                found.setdefault(one, Owed(one, sentence(question)))
    return tuple(found.values())


def unmet_by(asked: Evaluation, owed: Sequence[Obligation]) -> str:
    """Why the enforcement point cannot meet them; empty when it can, or does not say.

    What it names that we never ask for has no effect; a member that is no list names nothing.
    """
    if SUPPORTED not in asked.context:
        return ""
    told = asked.context[SUPPORTED]
    able = {text for text in told if isinstance(text, str)} if isinstance(told, list) else set()
    lacking = [str(one) for one in owed if TYPES[one.kind] not in able]
    return f"policy obliges to {lacking[0]}, which this enforcement point cannot" if lacking else ""


def unmet(
    question: DecisionRequest, owed: Sequence[Obligation], *, can_tell: bool
) -> Obligation | None:
    """The first that an own step cannot meet: then its yes does not count."""
    for one in owed:
        match one.kind:
            case ObligationKind.RECORD:
                pass
            case ObligationKind.STEP_UP if question.actor.strength != one.about:
                return one
            case ObligationKind.NOTIFY if not can_tell:
                return one
            case _:
                pass
    return None


def notices(
    rules: Rules, question: DecisionRequest, owed: Sequence[Obligation]
) -> tuple[Notice, ...]:
    """What people are told of an own step that is allowed."""
    return tuple(
        Notice(
            kind="access:allowed",
            about=question.activation.id if question.activation else "",
            to=tuple(sorted(rules.configuration.persons_in((one.about,)))),
            text=sentence(question),
        )
        for one in owed
        if one.kind is ObligationKind.NOTIFY
    )


def sentence(question: DecisionRequest) -> str:
    """What those are told who must be."""
    on = f" on {question.resource.opening}" if question.resource.opening else ""
    about = question.activation.id if question.activation else ""
    return f"{question.actor.principal} may {question.action}{on}" + (
        f" ({about})" if about else ""
    )
