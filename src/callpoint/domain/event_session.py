"""Events of a session through a gateway, and of what is done in it.

That it opened, paused, went on and ended is told in its activation's stream. Its many actions
have a stream of their own (``ids.session_stream``), which ``session:closed`` closes: so whoever
proves an activation reads none of them, and whoever reads them sees that none is missing.
"""

from datetime import datetime, timedelta
from typing import ClassVar

import msgspec

from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision
from callpoint.domain.event_form import Event, Private
from callpoint.domain.gateway import Evidence
from callpoint.domain.offline import OfflineRule
from callpoint.domain.operation import Operation


class SessionOpened(Event, frozen=True, kw_only=True, tag="session:opened"):
    """A connection secret was spent; written before the gateway gets the lease's credential.

    ``session_sha256`` is of all that never changes in the stored row. ``source``, the address, and
    ``client``, what it calls itself, are personal. ``offline``: it may go on without the
    authority, within these bounds; null: it is cut.
    """

    session: str
    session_sha256: str
    connection: str
    lease: str
    target: str
    role: str
    gateway: str
    not_after: datetime
    decision: Decision
    asked: Asked
    offline: OfflineRule | None = None
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class SessionPaused(Event, frozen=True, kw_only=True, tag="session:paused"):
    """An allowance is spent: in none of these sessions anything is done until a person resumes.

    ``session`` is the one that met it, ``because`` which allowance, in words.
    """

    session: str
    sessions: tuple[str, ...]
    because: str


class SessionResumed(Event, frozen=True, kw_only=True, tag="session:resumed"):
    """A person let the sessions go on, with one more allowance of the same size.

    ``grants`` counts them; why is personal (``reason``).
    """

    person: str
    sessions: tuple[str, ...]
    grants: int
    decisions: tuple[Decision, ...]
    asked: Asked
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class SessionEnded(Event, frozen=True, kw_only=True, tag="session:ended"):
    """Nothing more is let through. What was under way is still told, in the session's stream."""

    session: str
    reason: str


class ActionDecided(Event, frozen=True, kw_only=True, tag="action:decided"):
    """Something was asked for in a session; written before it is let through, or refused.

    The facts that policy was asked about are the same for many actions, so they are written once:
    in the first entry of their session that has them. The question is those facts with one of
    ``operations``, each of which has its decision.

    Attributes:
        number: Within the session, from 1 on; also those that were refused count.
        operations: All must be allowed.
        text_sha256: Of the exact text; what of it is kept is personal (``text``, ``parameters``).
        basis: SHA-256 hex of the facts (``asked``); empty where no policy was asked.
        asked: The facts, where they are new in this session.
        decisions: One for each of ``operations``, in order.
        reason: Why not, where it was not policy that refused: an allowance, a pause, no such verb.
        evidence: ``with``: it was answered before this entry was durable.
        answered_at: When, by the store's clock; only there, for the entry's own time is later.
    """

    session: str
    number: int
    operations: tuple[Operation, ...]
    allowed: bool
    text_sha256: str = ""
    basis: str = ""
    asked: Asked | None = None
    decisions: tuple[Decision, ...] = ()
    reason: str = ""
    evidence: Evidence = Evidence.BEFORE
    answered_at: datetime | None = None
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class ActionFinished(Event, frozen=True, kw_only=True, tag="action:finished"):
    """What became of an allowed action, as the gateway saw it.

    ``code`` is the target's error code; empty when it worked, ``cut`` when the gateway ended it.
    """

    session: str
    number: int
    rows: int
    bytes: int
    duration: timedelta
    code: str = ""


class SessionClosed(Event, frozen=True, kw_only=True, tag="session:closed"):
    """Nothing more comes of it: its gateway has told everything, or is not heard of any more.

    Attributes:
        actions: The number of its last action, as the process says that numbered them; None when
            that one did not end it, so that nobody can say which was the last.
    """

    CLOSES: ClassVar[bool] = True
    session: str
    actions: int | None = None
