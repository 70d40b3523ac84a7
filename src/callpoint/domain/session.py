"""A session through a gateway, and what an activation has spent in all of its sessions.

``open → paused → open → over → closed``. Nothing is done in a session that is not open. One that
is over may still tell what became of what was under way; of one that is closed nothing more comes.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from callpoint.domain import canonical
from callpoint.domain.errors import ConflictError
from callpoint.domain.record import Index

HEARD_EVERY = timedelta(seconds=30)
"""So often a session's row is told that its gateway still asks: not with every action."""

SILENT_FOR = timedelta(seconds=90)
"""Of a gateway that was not heard so long nothing more comes: its sessions are over."""


class SessionState(StrEnum):
    """Where a session is in its life."""

    OPEN = "open"
    PAUSED = "paused"
    OVER = "over"
    CLOSED = "closed"


NOBODY = ""
"""No process numbers a session's actions: the next one that is asked takes it over."""

LIVE = (SessionState.OPEN, SessionState.PAUSED)


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored row of one session.

    Attributes:
        lease: Handle of the credential that the gateway uses.
        source: The address that it came from.
        strength: How the principal authenticated when it fetched the connection secret.
        acts_for: For whom it acted then.
        keeper: The process that numbers its actions: another one that takes over writes itself
            here, and the first one, should it still live, finds that out. ``NOBODY``: a process
            that does not keep it put an outcome on record.
        heard_at: When its gateway last asked about it, give or take ``HEARD_EVERY``.
        acted_at: When something was last decided in it, give or take the same.
        offline_until: No offline grant of it holds longer: its gateway may be silent until then.
    """

    id: str
    activation: str
    lease: str
    principal: str
    target: str
    role: str
    gateway: str
    source: str
    not_after: datetime
    opened_at: datetime
    strength: str
    acts_for: tuple[str, ...]
    keeper: str
    heard_at: datetime
    acted_at: datetime
    state: SessionState = SessionState.OPEN
    offline_until: datetime | None = None
    version: int = 0

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index(
            state=self.state, parent=self.activation, subject=self.gateway, due_at=self.due_at()
        )

    def stored(self, version: int) -> "Session":
        return msgspec.structs.replace(self, version=version)

    def due_at(self) -> datetime | None:
        """When time itself must do something about it (``lifecycle/session_end.py``)."""
        match self.state:
            case SessionState.OPEN | SessionState.PAUSED:
                heard = max(self.heard_at, self.offline_until or self.heard_at)
                return min(self.not_after, heard + SILENT_FOR)
            case SessionState.OVER:
                return self.heard_at + SILENT_FOR
            case SessionState.CLOSED:
                return None

    def digest(self) -> str:
        """SHA-256 hex of all that never changes: who writes rows by hand cannot open one."""
        fixed = (
            *(self.id, self.activation, self.lease, self.principal, self.target, self.role),
            *(self.gateway, self.source, self.not_after, self.opened_at),
            *(self.strength, self.acts_for),
        )
        return canonical.digest(fixed)

    def moved(self, state: SessionState) -> "Session":
        """In another state.

        Raises:
            ConflictError: What is over never opens again.
        """
        order = tuple(SessionState)
        goes_back = order.index(state) < order.index(self.state)
        if goes_back and self.state is not SessionState.PAUSED:
            raise ConflictError(f"session {self.id} is {self.state} and cannot become {state}")
        return msgspec.structs.replace(self, state=state)


class Resumed(msgspec.Struct, frozen=True):
    """What goes on.

    Attributes:
        sessions: Their ids.
        grants: How often the allowance was granted anew, this time included.
    """

    activation: str
    sessions: tuple[str, ...]
    grants: int
