"""Checked-out accounts: they are not made for an activation, they were there before and stay.

Such an account has one secret at a time. It cannot be disabled or removed, so what ends an access
is a new secret. The life cycle makes every secret and stores it *before* the target hears of it, so
that a crash at any moment leaves a secret that works among those that are stored.
"""

from datetime import datetime
from typing import Protocol

import msgspec

from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.credential import Credential, ProbeResult


class Rotation(msgspec.Struct, frozen=True):
    """One change of an account's secret. Its ``repr`` hides the secrets.

    Attributes:
        new: The secret to set; printable ASCII.
        former: Secrets of which one may be in force now, newest first, for targets that want the
            old one with the new one; empty when none is known.
        generation: Grows with every rotation of the account. A target that can keeps the last one
            and refuses an older one, so that a call that arrives late changes nothing.
        open_until: The holder's end, or None: nobody has it out. A target that can locks the
            account then.
    """

    new: str
    former: tuple[str, ...]
    generation: int
    open_until: datetime | None

    def __repr__(self) -> str:
        return f"Rotation(generation={self.generation}, secrets=<hidden>)"


class Presence(msgspec.Struct, frozen=True):
    """Who is on the account now.

    Attributes:
        sessions: Live sessions over all declared endpoints; None when the target cannot say.
        unreachable: Endpoints that did not answer: unknown.
    """

    sessions: int | None
    unreachable: tuple[str, ...] = ()


class Rotator(Protocol):
    """What a connector does with accounts that are checked out. Errors are those of a connector."""

    def first_secret(self, plan: UndoPlan) -> str:
        """The secret that the owner gave us for the first rotation; empty where none is needed."""
        ...

    def credential(self, plan: UndoPlan, secret: str) -> Credential:
        """How the account is used with this secret. Pure."""
        ...

    async def rotate(self, plan: UndoPlan, rotation: Rotation) -> None:
        """Set the new secret; may be repeated with the same generation.

        Raises:
            TargetRefusedError: Not done: the old secret is in force as before.
            TargetUnknownError: Perhaps done.
        """
        ...

    async def attempt(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        """Try a secret at every door; the most permissive answer counts. Never raises for a no.

        ``locked`` proves that the secret is the right one on an account that lets nobody in.
        """
        ...

    async def baseline(self, plan: UndoPlan) -> dict[str, list[str]]:
        """The target's state, for ``diff_persistence``."""
        ...

    async def end_sessions(self, plan: UndoPlan) -> None:
        """End every session of the account, as far as the target can. ``presence`` tells the rest.

        Raises:
            TargetError: Some may live on.
        """
        ...

    async def presence(self, plan: UndoPlan) -> Presence:
        """Look; reports, never repairs."""
        ...
