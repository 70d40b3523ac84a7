"""Who is calling. For now: principals with an Ed25519 key; people's identity providers later.

An authenticator proves *who*; what they may do is the PDP's business.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from callpoint.domain.configuration import Configuration
from callpoint.domain.principal import Principal
from callpoint.domain.tombstone import Tombstone
from callpoint.ports.stores import Transaction, View

T = TypeVar("T")


class SignedRequest(msgspec.Struct, frozen=True):
    """An HTTP request as it arrived, for an authenticator to judge.

    Attributes:
        headers: Lower-case names.
        url: Absolute, as the client addressed it.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class Caller(msgspec.Struct, frozen=True):
    """An authenticated principal.

    Attributes:
        key_id: Which key proved it.
        strength: ``key`` now; ``passkey``, ``hardware`` … later.
        acts_for: Chain of principals that it acts for.
    """

    principal: Principal
    key_id: str
    strength: str = "key"
    acts_for: tuple[str, ...] = ()


class Recognised(msgspec.Struct, frozen=True):
    """Whose signature a request bears. Whether it was accepted before is another question.

    Attributes:
        caller: Whose.
        nonce: What must be spent, once, before anything is given for it.
        signed_at: By the signer's clock, in whole seconds.
    """

    caller: Caller
    nonce: str
    signed_at: datetime


class Authenticator(Protocol):
    """Proves who sent a request."""

    def recognise(self, request: SignedRequest) -> Recognised:
        """Who signed it, without a look at the nonce: asks nobody and waits for nothing.

        Raises:
            AuthenticationError: Not signed, wrong key, or older than 60 s.
            UnavailableError: No configuration is known.
        """
        ...

    async def authenticate(self, request: SignedRequest) -> Caller:
        """The caller.

        Raises:
            AuthenticationError: Not signed, wrong key, older than 60 s, or a nonce seen before.
        """
        ...


class PendingNonce(Protocol):
    """A recognised request whose nonce is spent in the transaction that records what it did.

    Nothing may be said to the caller before ``record`` or ``settle`` has returned: until then it
    is not known whether the same request was accepted before.
    """

    def must_be_new(self, view: View) -> None:
        """Refuse early what a reading shows to be a copy; ``record`` is what decides.

        Raises:
            AuthenticationError: Its nonce is spent.
        """
        ...

    async def record(self, work: Callable[[Transaction], T]) -> T:
        """Spend the nonce and do the work in one transaction: both, or neither.

        Raises:
            ConflictError: Somebody spends it at this moment, or the work's own.
            StoreUnavailableError, LogUnavailableError: As ``Store.transact``.
        """
        ...

    async def settle(self) -> None:
        """Spend the nonce alone, unless it is spent by this request: for who records nothing.

        Raises:
            AuthenticationError: Another request has spent it.
            StoreUnavailableError: It is not known whether it was spent.
        """
        ...


class OrderJudge(Protocol):
    """Judges a kill order that was received while the store was down, at any later time."""

    def judge(self, tombstone: Tombstone, configuration: Configuration) -> Caller:
        """Who signed it, by ``configuration``. Its nonce is not looked at.

        Raises:
            AuthenticationError: Nobody whom the configuration knows, not within a minute of
                ``tombstone.at``, for the address of another installation, or it says other things
                than the tombstone.
        """
        ...


class NonceBook(Protocol):
    """Remembers which nonces were accepted, durably, for at least two minutes."""

    async def spend(self, key_id: str, nonce: str) -> bool:
        """True the first time, False ever after (within the window)."""
        ...
