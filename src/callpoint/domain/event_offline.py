"""Events of what a gateway let through, or refused, while it had no authority (I13).

It told them from its journal when the authority answered again. They stand in a stream of their own
for each session (``ids.offline_stream``), which is never closed: a journal may come late, when the
session is long over. ``trouble`` says why an entry is not covered by a grant; empty: it is. An
entry in trouble is kept like any other, and is a finding.
"""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain.allowance import Portion
from callpoint.domain.event_form import Event, Private
from callpoint.domain.offline import OfflineGrant
from callpoint.domain.operation import Operation


class SessionOffline(Event, frozen=True, kw_only=True, tag="session:offline"):
    """A session went on without the authority, under this grant; ``actor`` is its principal.

    Attributes:
        journal: The gateway's journal, and ``place`` the entry's number in it.
        grant: SHA-256 hex of the signed grant.
        granted: What it says; null where its signature does not verify.
    """

    session: str
    gateway: str
    journal: str
    place: int
    grant: str
    granted: OfflineGrant | None = None
    trouble: str = ""


class ActionOffline(Event, frozen=True, kw_only=True, tag="action:offline"):
    """Something was asked for, and the gateway decided alone; ``actor`` is the session's principal.

    Attributes:
        number: Within the session, from 1 on, of what was decided without the authority.
        journal: The gateway's journal, and ``place`` the entry's number in it.
        decided_at: By the gateway's clock, before it was let through or refused.
        grant: SHA-256 hex of the signed grant that it was decided under (``session:offline``).
        portion: What it could let through at first; so much counts until its outcome is told.
        text_sha256: Of the exact text; what of it is kept is personal (``text``, ``parameters``).
        reason: Why it was refused.
    """

    session: str
    gateway: str
    journal: str
    place: int
    number: int
    operations: tuple[Operation, ...]
    allowed: bool
    decided_at: datetime
    grant: str
    portion: Portion = Portion()
    text_sha256: str = ""
    reason: str = ""
    trouble: str = ""
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class ActionFinishedOffline(Event, frozen=True, kw_only=True, tag="action:finished-offline"):
    """What became of an action that the gateway allowed alone; see ``action:finished``.

    An action without one: nobody knows what became of it, for instance because the gateway died.

    Attributes:
        is_late: Not that: of an ``action:decided`` of the session. It stands here, and is in
            trouble, because the session's own stream could not take it.
    """

    session: str
    gateway: str
    journal: str
    place: int
    number: int
    rows: int
    bytes: int
    duration: timedelta
    finished_at: datetime
    code: str = ""
    is_late: bool = False
    trouble: str = ""
