"""Refusals, and the kill switch: what is not one step of one activation."""

from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.event_form import Event


class AccessRefused(Event, frozen=True, kw_only=True, tag="access:refused"):
    """A question to the gate was answered no; with the whole question, so it can be replayed."""

    question: DecisionRequest
    decision: Decision


class RequestRefused(Event, frozen=True, kw_only=True, tag="request:refused"):
    """Refused before policy was asked: a rule of the life cycle or of governance."""

    action: str
    about: str
    reason: str


class KillOrdered(Event, frozen=True, kw_only=True, tag="kill:ordered"):
    """Somebody pulled the cord; ``activations`` are the first thousand of the ``count`` it ended.

    Each of them ends in its own stream too; the list is cut so that a kill of everything fits
    into one entry, whatever everything is.
    """

    scope: str
    about: str
    activations: tuple[str, ...]
    count: int = 0
