"""Events of one credential on one target, and of accounts that no lease explains."""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision
from callpoint.domain.event_form import Event, Private
from callpoint.domain.review import Finding


class LeaseIssued(Event, frozen=True, kw_only=True, tag="lease:issued"):
    """The credential exists on the target; ``box_sha256`` is of the sealed box (I2)."""

    lease: str
    target: str
    box_sha256: str
    residual: timedelta | None = None
    residual_because: str = ""


class LeaseFailed(Event, frozen=True, kw_only=True, tag="lease:failed"):
    """The target did not, or may have, created it: it is ending."""

    lease: str
    target: str
    error: str
    code: str = ""


class CredentialRevealed(Event, frozen=True, kw_only=True, tag="credential:revealed"):
    """The sealed box was handed to the requester; written before it leaves."""

    lease: str
    decision: Decision
    asked: Asked | None = None


class ConnectionOffered(Event, frozen=True, kw_only=True, tag="connection:offered"):
    """The requester was given a connection secret for a gateway; written before it leaves.

    ``connection_sha256`` is of all that the stored row says of it; the secret is not in there. The
    address that may use it is personal (``source``).
    """

    connection: str
    connection_sha256: str
    lease: str
    target: str
    gateway: str
    expires_at: datetime
    decision: Decision
    asked: Asked | None = None
    logins: int = 1
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class SecretPrepared(Event, frozen=True, kw_only=True, tag="secret:prepared"):
    """A new secret of a checked-out account is stored; the target hears of it after this.

    ``purpose`` is ``check-out`` or ``check-in``; ``box_sha256`` is of the secret's sealed box.
    """

    lease: str
    target: str
    account: str
    purpose: str
    generation: int
    box_sha256: str


class SecretPromoted(Event, frozen=True, kw_only=True, tag="secret:promoted"):
    """The target was seen to accept it: the former secrets of the account are forgotten."""

    lease: str
    target: str
    account: str
    generation: int


class StaticSecretChanged(Event, frozen=True, kw_only=True, tag="secret:changed"):
    """The target accepts no stored secret of an account that nobody has checked out (I8)."""

    target: str
    account: str


class LeaseEnding(Event, frozen=True, kw_only=True, tag="lease:ending"):
    """Revocation has begun."""

    lease: str
    target: str
    reason: str


class LeaseProbed(Event, frozen=True, kw_only=True, tag="lease:probed"):
    """The control attempt just before disabling: ``accepted``, ``refused`` or ``unknown`` (I5)."""

    lease: str
    control: str
    control_code: str = ""


class LeaseStuck(Event, frozen=True, kw_only=True, tag="lease:stuck"):
    """Revocation failed again; it is retried for ever (I6)."""

    lease: str
    target: str
    attempts: int
    rung: str
    error: str
    code: str = ""


class LeaseEnded(Event, frozen=True, kw_only=True, tag="lease:ended"):
    """Dead. ``evidence``: ``absent, refused``, ``absent, not tried`` or ``attested by`` whom.

    Of a checked-out account: ``rotated, old refused``, ``rotated, old not tried``, followed by
    ``, sessions not seen`` where the target cannot tell.
    """

    lease: str
    target: str
    evidence: str
    control: str
    code: str
    residue: tuple[Finding, ...] = ()


class LeaseAttested(Event, frozen=True, kw_only=True, tag="lease:attested"):
    """A governor says that the target no longer exists; two of them close the lease."""

    lease: str
    target: str
    person: str
    private: dict[str, Private] = msgspec.field(default_factory=dict)


class UnknownAccountFound(Event, frozen=True, kw_only=True, tag="account:unknown"):
    """A target holds an account with our handle that no lease explains (I8)."""

    target: str
    handle: str
    account: str
