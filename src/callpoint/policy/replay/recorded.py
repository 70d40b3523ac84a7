"""Which decisions an event holds, and whether they can be asked again."""

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.approval import Verdict
from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.event import AnyEvent

_DECIDED = (
    ev.AccessRefused,
    ev.ActivationActivated,
    ev.ActivationRequested,
    ev.ActivationReviewed,
    ev.ApprovalRecorded,
    ev.ConnectionOffered,
    ev.CredentialRevealed,
    ev.DecisionMade,
    ev.IncidentConfirmed,
    ev.IncidentDeclared,
    ev.ReviewTriaged,
    ev.TokenIssued,
)

KINDS = frozenset(str(kind.__struct_config__.tag) for kind in _DECIDED)
"""Names of the events that hold decisions; what they hold is ``recorded_in``'s to say."""


class Recorded(msgspec.Struct, frozen=True):
    """One decision with its question, and the configuration that described who and what."""

    question: DecisionRequest
    decision: Decision
    configuration_digest: str


class Held(msgspec.Struct, frozen=True):
    """The decisions of one event.

    Attributes:
        decisions: Those that can be asked again.
        unasked: How many more were taken whose question the event does not hold: an earlier
            version wrote it.
    """

    decisions: tuple[Recorded, ...] = ()
    unasked: int = 0


def recorded_in(event: AnyEvent) -> Held:
    """What policy decided for this event to come about; nothing where it was not asked."""
    match event:
        case ev.AccessRefused() | ev.DecisionMade():
            return _whole(event.question, event.decision, event.configuration_digest)
        case ev.ApprovalRecorded(verdict=Verdict.DENY):
            return Held()  # who says no asks nobody
        case (
            ev.ActivationRequested()
            | ev.ApprovalRecorded()
            | ev.ActivationActivated()
            | ev.IncidentDeclared()
            | ev.IncidentConfirmed()
            | ev.ReviewTriaged()
            | ev.ActivationReviewed()
        ):
            return _held(event.asked, event.decisions)
        case ev.CredentialRevealed() | ev.ConnectionOffered() | ev.TokenIssued():
            return _held(event.asked, (event.decision,))
        case _:
            return Held()


def _whole(question: DecisionRequest | None, decision: Decision | None, digest: str) -> Held:
    """One question and its answer; without either policy was not asked (``decision:made``)."""
    if question is None or decision is None:
        return Held()
    return Held((Recorded(question, decision, digest),)) if digest else Held(unasked=1)


def _held(asked: Asked | None, decisions: tuple[Decision, ...]) -> Held:
    """An event without ``asked`` was written before questions were kept: policy did decide."""
    if asked is None or len(asked.resources) != len(decisions):
        return Held(unasked=max(len(decisions), 1))
    questions = asked.questions()
    return Held(
        tuple(
            Recorded(question, decision, asked.configuration_digest)
            for question, decision in zip(questions, decisions, strict=True)
        )
    )
