"""Refusals, and the kill switch: what is not one step of one activation."""

from datetime import datetime

from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.event_form import Event


class AccessRefused(Event, frozen=True, kw_only=True, tag="access:refused"):
    """A question to the gate was answered no; with the whole question, so it can be replayed."""

    question: DecisionRequest
    decision: Decision
    configuration_digest: str = ""


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


class TombstoneMerged(Event, frozen=True, kw_only=True, tag="tombstone:merged"):
    """A kill that was ordered while the store was down, in force here from now on (I13).

    The signed request stands here as it was received, so that anybody can judge it again: it was
    signed for one of ``origins``; ``body`` is base64. A ``kill:ordered`` says what it ended.
    """

    tombstone: str
    scope: str
    about: str
    ordered_at: datetime
    key: str
    method: str
    url: str
    origins: tuple[str, ...]
    content_digest: str
    signature_input: str
    signature: str
    body: str


class TombstoneRefused(Event, frozen=True, kw_only=True, tag="tombstone:refused"):
    """An order on a node's disk that is not believed; it ended nothing, and is kept aside."""

    tombstone: str
    reason: str
