"""Which decisions an event holds, and whether they can be asked again."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from callpoint.domain import canonical
from callpoint.domain import event as ev
from callpoint.domain.approval import Verdict
from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.event import AnyEvent

_DECIDED = (
    ev.AccessRefused,
    ev.ActionDecided,
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
    ev.SessionOpened,
    ev.SessionResumed,
    ev.TokenIssued,
)

KINDS = frozenset(str(kind.__struct_config__.tag) for kind in _DECIDED)
"""Names of the events that hold decisions; what they hold is ``recorded_in``'s to say."""


NOTHING_TOLD: Mapping[str, Asked] = MappingProxyType({})


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


def recorded_in(event: AnyEvent, told: Mapping[str, Asked] = NOTHING_TOLD) -> Held:
    """What policy decided for this event to come about; nothing where it was not asked.

    Args:
        event: Of the log.
        told: Facts that earlier actions in sessions were asked about, by their digest.
    """
    match event:
        case ev.ActionDecided():
            return _acted(event, told)
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
            | ev.SessionResumed()
        ):
            return _held(event.asked, event.decisions)
        case (
            ev.CredentialRevealed() | ev.ConnectionOffered() | ev.SessionOpened() | ev.TokenIssued()
        ):
            return _held(event.asked, (event.decision,))
        case _:
            return Held()


def told_in(event: AnyEvent) -> Asked | None:
    """The facts that an action was asked about, if they are the ones that it names."""
    if not isinstance(event, ev.ActionDecided) or event.asked is None:
        return None
    return event.asked if canonical.digest(event.asked) == event.basis else None


def _acted(event: ev.ActionDecided, told: Mapping[str, Asked]) -> Held:
    """One decision for each operation, about facts that stand here or in an earlier action."""
    facts = told_in(event) if event.asked is not None else told.get(event.basis)
    if facts is None or len(event.decisions) != len(event.operations):
        return Held(unasked=len(event.decisions))
    asked = msgspec.structs.replace(facts, operations=event.operations)
    pairs = zip(asked.questions(), event.decisions, strict=True) if event.decisions else ()
    return Held(tuple(Recorded(q, d, asked.configuration_digest) for q, d in pairs))


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
