"""Decisions that somebody else enforces: asked over the decision API, answered, on record."""

import msgspec

from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.evaluation import Evaluation
from callpoint.domain.event_form import Event
from callpoint.domain.untrusted import bounded

_SHOWN = 128

CONTEXT = ("activation", "incident", "eligibility")
"""Members of an evaluation's context that name something stored; no other has any effect."""


class Asked(msgspec.Struct, frozen=True):
    """What was asked about, in the asker's words, made printable and cut to 128 bytes each.

    Properties are left out: they are claims that nothing here believes, and may be personal.
    """

    subject_type: str
    subject: str
    action: str
    resource_type: str
    resource: str
    activation: str = ""
    incident: str = ""
    eligibility: str = ""
    approval: str = ""


class DecisionMade(Event, frozen=True, kw_only=True, tag="decision:made"):
    """An enforcement point asked, and this was the answer; ``actor`` is who asked.

    An evaluation that is about several target roles is one entry for each, under one id.

    Attributes:
        evaluation: The id that the answer carried.
        allowed: The answer as a whole.
        reason: Why not, where no policy was asked: unknown, over, or not possible in this state.
        question: What policy was asked, so that it can be replayed.
        decision: What policy said.
        configuration_digest: Of the configuration that described who and what in the question.
        requestable: The eligibility under which the answer invited to ask; empty without one.
    """

    evaluation: str
    asked: Asked
    allowed: bool
    reason: str = ""
    question: DecisionRequest | None = None
    decision: Decision | None = None
    configuration_digest: str = ""
    requestable: str = ""


class DecisionsSearched(Event, frozen=True, kw_only=True, tag="decision:searched"):
    """An enforcement point asked which subjects, resources or actions would be allowed.

    Attributes:
        sought: ``subject``, ``resource`` or ``action``.
        considered: How many were looked at for this page.
        found: Those that the page names.
    """

    sought: str
    asked: Asked
    considered: int
    found: tuple[str, ...]


def asked_of(evaluation: Evaluation) -> Asked:
    """What of an evaluation goes on record."""
    named = {name: evaluation.context.get(name) for name in CONTEXT}
    approval = evaluation.context.get("approval")
    named["approval"] = approval.get("id") if isinstance(approval, dict) else None
    return Asked(
        subject_type=_shown(evaluation.subject.type),
        subject=_shown(evaluation.subject.id),
        action=_shown(evaluation.action.name),
        resource_type=_shown(evaluation.resource.type),
        resource=_shown(evaluation.resource.id),
        **{name: _shown(text) for name, text in named.items() if isinstance(text, str)},
    )


def _shown(text: str) -> str:
    return bounded(text, _SHOWN)
