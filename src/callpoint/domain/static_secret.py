"""The secret of one checked-out account, as Callpoint holds it: never lost, held by one lease.

A secret is written down here *before* the target hears of it, and the former ones are forgotten
only after the target was seen to accept it. So whatever fails between, and however often, the
secret that is in force is among ``candidates`` (unless somebody else changed it at the target).
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from callpoint.domain.errors import ConflictError
from callpoint.domain.record import Index

LATE = timedelta(minutes=2)
"""A call to a target that was given up may still take effect so long after its secret was made."""

_MICROSECONDS = 1_000_000


class Purpose(StrEnum):
    """Why a secret was made."""

    CHECK_OUT = "check-out"
    CHECK_IN = "check-in"


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret that may be in force at the target.

    Attributes:
        generation: Microseconds since 1970 by the store's clock, and more than any before: so it
            grows even when an older copy of the store was restored.
        box: The secret, sealed to the installation (an age file, base64).
        at: When it was made.
        purpose: Why.
    """

    generation: int
    box: str
    at: datetime
    purpose: Purpose


class StaticSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored row of one checked-out account.

    Attributes:
        target: The target's configured name.
        account: The account there.
        lease: Who has it out; empty while nobody has. Two can never have it.
        candidates: Oldest first. The last one is pending until ``is_settled``.
        is_settled: The last candidate was seen in force.
        changed_at: When that was, last.
        looked_at: When it was tried last while nobody had the account.
        is_changed: Then no stored secret was right: somebody else changed it.
    """

    target: str
    account: str
    lease: str = ""
    candidates: tuple[Candidate, ...] = ()
    is_settled: bool = True
    changed_at: datetime | None = None
    looked_at: datetime | None = None
    is_changed: bool = False
    version: int = 0

    def key(self) -> str:
        return static_secret_key(self.target, self.account)

    def index(self) -> Index:
        return Index(state="out" if self.lease else "in", parent=self.lease, subject=self.target)

    def stored(self, version: int) -> "StaticSecret":
        return msgspec.structs.replace(self, version=version)

    @property
    def newest(self) -> Candidate | None:
        """The last one that was made."""
        return self.candidates[-1] if self.candidates else None

    def is_prepared(self, lease: str, purpose: Purpose) -> bool:
        """Whether the newest is what this lease made for this purpose, and not settled yet."""
        newest = self.newest
        return (
            self.lease == lease
            and not self.is_settled
            and newest is not None
            and newest.purpose is purpose
        )

    def taken(self, lease: str) -> "StaticSecret":
        """Held by this lease from now on.

        Raises:
            ConflictError: Another lease has it.
        """
        if self.lease and self.lease != lease:
            raise ConflictError(
                f"{self.account} on {self.target} is checked out by lease {self.lease}",
                way_out="one account serves one activation at a time: wait until that one has"
                " ended and is proven dead (`callpoint status`), then issue again",
            )
        return msgspec.structs.replace(self, lease=lease)

    def seized(self, lease: str) -> "StaticSecret":
        """Held by this lease, whatever the row says: for what takes away (I11)."""
        return msgspec.structs.replace(self, lease=lease)

    def prepared(self, purpose: Purpose, box: str, now: datetime) -> "StaticSecret":
        """With one more candidate; none is forgotten."""
        return msgspec.structs.replace(
            self,
            candidates=(
                *self.candidates,
                Candidate(generation=self._next(now), box=box, at=now, purpose=purpose),
            ),
            is_settled=False,
        )

    def settled(self, generation: int, now: datetime) -> "StaticSecret":
        """The newest is in force: the former ones go, but for those that a late call could set.

        Raises:
            ConflictError: The newest is another one, or nothing is pending.
        """
        newest = self.newest
        if newest is None or self.is_settled or newest.generation != generation:
            raise ConflictError(
                f"the secret of {self.account} on {self.target} was replaced meanwhile"
            )
        late = tuple(c for c in self.candidates[:-1] if now - c.at < LATE)
        return msgspec.structs.replace(
            self,
            candidates=(*late, newest),
            is_settled=True,
            changed_at=now,
            looked_at=now,
            is_changed=False,
        )

    def released(self) -> "StaticSecret":
        """Held by nobody."""
        return msgspec.structs.replace(self, lease="")

    def _next(self, now: datetime) -> int:
        by_clock = int(now.timestamp()) * _MICROSECONDS + now.microsecond
        newest = self.newest
        return max(by_clock, newest.generation + 1 if newest else 0)


def static_secret_key(target: str, account: str) -> str:
    """One record for each account of a target."""
    return f"{target}/{account}"
