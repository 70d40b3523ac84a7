"""Bodies of the routes about sessions through gateways."""

from datetime import datetime

import msgspec

from callpoint.domain.allowance import Allowance
from callpoint.domain.session import Session, SessionState
from callpoint.domain.spending import Spending


class SessionView(msgspec.Struct, frozen=True):
    """One session through a gateway.

    Attributes:
        source: The address that it came from.
        acted_at: When something was last asked for in it, give or take half a minute.
        heard_at: When its gateway last asked about it, likewise.
    """

    id: str
    activation: str
    principal: str
    target: str
    role: str
    gateway: str
    state: SessionState
    source: str
    opened_at: datetime
    not_after: datetime
    acted_at: datetime
    heard_at: datetime


class SpentView(msgspec.Struct, frozen=True):
    """What an activation has spent of its allowance, in all of its sessions.

    Attributes:
        objects: How many distinct ones, as far as they are limited.
        grants: How often a person let it go on: each time the whole allowance again.
    """

    actions: int = 0
    rows: int = 0
    bytes: int = 0
    objects: int = 0
    destructive: int = 0
    grants: int = 0


class SessionList(msgspec.Struct, frozen=True):
    """``GET /v1/activations/{id}/sessions``: the newest first, those that are over too.

    Attributes:
        now: The store's clock, to which all times here belong.
        allowance: What approvers granted; without members it limits nothing.
    """

    activation: str
    now: datetime
    sessions: tuple[SessionView, ...]
    allowance: Allowance
    spent: SpentView


class Resumption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/activations/{id}/sessions/resume``: why it may go on, in the person's words."""

    because: str


def session_view(session: Session) -> SessionView:
    """As it is shown to who may view the activation."""
    return SessionView(
        id=session.id,
        activation=session.activation,
        principal=session.principal,
        target=session.target,
        role=session.role,
        gateway=session.gateway,
        state=session.state,
        source=session.source,
        opened_at=session.opened_at,
        not_after=session.not_after,
        acted_at=session.acted_at,
        heard_at=session.heard_at,
    )


def spent_view(spending: Spending | None) -> SpentView:
    """Nothing where nothing is counted."""
    if spending is None:
        return SpentView()
    return SpentView(
        actions=spending.actions,
        rows=spending.rows,
        bytes=spending.bytes,
        objects=len(spending.objects),
        destructive=spending.destructive,
        grants=spending.grants,
    )
