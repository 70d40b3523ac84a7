"""Going on without the authority: who may, for how long, how much, and what exactly (I13).

Nobody can ask policy then, and no kill arrives. So what may be done is fixed beforehand, in a
signed grant: operations that were allowed in this very activation already, and to which policy says
yes once more when the grant is made, for its beginning and for its end (docs/adr/0024).
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from callpoint.domain.allowance import Portion, Used, countable
from callpoint.domain.errors import DeniedError
from callpoint.domain.operation import DESTRUCTIVE, Operation

LONGEST: Final = timedelta(minutes=15)
"""So long a kill may stay unheard, at most."""

USUAL: Final = timedelta(minutes=5)

RENEWED: Final = timedelta(seconds=10)
"""A grant is renewed when it is so old, as long as the authority answers: so its time begins at
most so long before the last answer."""

MOST_OPERATIONS: Final = 64
MAX_GRANT: Final = 1 << 15
"""Characters of a signed grant."""

_AT_LEAST: Final = 16
"""Rows that one action is given at once, if there are so many."""


class OnLoss(StrEnum):
    """What becomes of a session whose gateway lost the authority."""

    CUT = "cut"
    OFFLINE = "offline"


class OfflineAllowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much an activation may do without the authority, in all of its losses together."""

    actions: int = 20
    rows: int = 200
    bytes: int = 1 << 20
    destructive: int = 0

    def less(self, spent: "OfflineAllowance") -> "OfflineAllowance":
        """What is left of it."""
        return OfflineAllowance(
            actions=max(self.actions - spent.actions, 0),
            rows=max(self.rows - spent.rows, 0),
            bytes=max(self.bytes - spent.bytes, 0),
            destructive=max(self.destructive - spent.destructive, 0),
        )

    def exceeded(self, spent: "OfflineAllowance", operations: Iterable[Operation]) -> str:
        """Which limit one more action would go beyond, in words; empty for none."""
        if spent.actions + 1 > self.actions:
            return f"{self.actions} actions"
        if spent.rows + 1 > self.rows:
            return f"{self.rows} rows"
        if spent.bytes + 1 > self.bytes:
            return f"{self.bytes} bytes"
        if is_destructive(operations) and spent.destructive + 1 > self.destructive:
            return f"{self.destructive} destructive actions"
        return ""

    def portion(self, spent: "OfflineAllowance") -> Portion:
        """What one action may let through at first: half of what is left, for others ask, too."""
        left = self.less(spent)
        return Portion(_half(left.rows, _AT_LEAST), _half(left.bytes, _AT_LEAST << 10))

    def acted(self, operations: Iterable[Operation], portion: Portion) -> "OfflineAllowance":
        """Read as what is spent: with one more action, which holds that portion."""
        return OfflineAllowance(
            actions=self.actions + 1,
            rows=countable(self.rows + (portion.rows or 0)),
            bytes=countable(self.bytes + (portion.bytes or 0)),
            destructive=self.destructive + is_destructive(operations),
        )

    def settled(self, held: Portion, used: Used) -> "OfflineAllowance":
        """Read as what is spent: with what was used in the place of what was held."""
        return msgspec.structs.replace(
            self,
            rows=countable(self.rows + used.rows - (held.rows or 0)),
            bytes=countable(self.bytes + used.bytes - (held.bytes or 0)),
        )


NOTHING: Final = OfflineAllowance(0, 0, 0, 0)


class OfflineRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an eligibility says about it, and approvers sign.

    Attributes:
        span: How long after the authority's last answer, at most.
    """

    span: timedelta = USUAL
    allowance: OfflineAllowance = OfflineAllowance()


class OfflineGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the authority signs; times are whole seconds of the store's clock.

    Attributes:
        iss: The installation.
        aud: The gateway (``gateway_audience``).
        jti: Names the grant.
        journal: The gateway's journal in which its use goes on record, and in no other.
        allowance: What is left for the activation, over all of its sessions in that gateway.
        operations: Exactly what may be done; sorted.
    """

    iss: str
    aud: str
    jti: str
    iat: int
    exp: int
    journal: str
    session: str
    activation: str
    principal: str
    persons: tuple[str, ...]
    incident: str
    target: str
    role: str
    configuration_digest: str
    policy_digest: str
    allowance: OfflineAllowance
    operations: tuple[Operation, ...]

    @property
    def issued_at(self) -> datetime:
        """``iat`` as a moment."""
        return datetime.fromtimestamp(self.iat, UTC)

    @property
    def expires_at(self) -> datetime:
        """``exp`` as a moment."""
        return datetime.fromtimestamp(self.exp, UTC)

    def refuses(self, operations: Iterable[Operation]) -> str:
        """Why these are not what it grants; empty when they are."""
        known = frozenset(self.operations)
        strange = next((one for one in sorted(operations) if one not in known), None)
        if strange is None:
            return ""
        return (
            f"{strange} was not allowed in this session before the authority fell silent,"
            " and nobody can be asked now"
        )


class GrantError(DeniedError):
    """A grant that does not count: unreadable, of another key, for somebody else, or too old."""


def gateway_audience(installation: str, gateway: str) -> str:
    """Whom a grant is for."""
    return f"urn:callpoint:{installation}:gateway:{gateway}"


def grant_digest(token: str) -> str:
    """How journal and log name a signed grant: SHA-256 hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_destructive(operations: Iterable[Operation]) -> bool:
    """Whether something may be gone afterwards."""
    return any(one.verb in DESTRUCTIVE for one in operations)


def _half(left: int, at_least: int) -> int:
    return min(left, max(left // 2, at_least))
