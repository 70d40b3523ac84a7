"""Who asks for a decision, by the rules in force, once: looked at where the decision is made.

The request was recognised by the rules that this process knew, and its nonce is not spent yet. Both
are settled in the view and in the transaction of the decision itself, so that neither costs a turn
through the store of its own.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from callpoint.domain.errors import AuthenticationError, ConflictError, UnavailableError
from callpoint.lifecycle.rules import Rules, must_be_in_force
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller, PendingNonce
from callpoint.ports.stores import Transaction, View

T = TypeVar("T")

_NOTHING_TO_RECORD = (AuthenticationError, ConflictError, UnavailableError)
"""Of these nothing goes on record: a copy, what is decided anew, what nobody knows."""


class Asker(msgspec.Struct, frozen=True):
    """A caller, and what must be spent before it is told anything.

    Attributes:
        nonce: None where the nonce is spent already, and the rules were read for the caller.
    """

    caller: Caller
    nonce: PendingNonce | None = None

    def must_be_known(self, view: View, rules: Rules) -> None:
        """By the rules in force, which may be others than when the request was recognised.

        Raises:
            ConflictError: ``rules`` are not in force any more: begin anew.
            AuthenticationError: They do not know the caller as it was recognised, or it is a copy.
        """
        must_be_in_force(view, rules)
        if self.nonce is None:
            return
        principal = self.caller.principal
        if rules.configuration.principals.get(principal.id) != principal:
            raise AuthenticationError(
                "the configuration changed this moment, and so did what it says of the caller",
                way_out="sign again, with the key that is published now",
            )
        self.nonce.must_be_new(view)

    async def read(self, services: Services, look: Callable[[View], T]) -> T:
        """What is found in a view.

        A refusal goes on record: the nonce is spent before it, so that of a copy none does.
        """
        try:
            return await services.store.read(look)
        except _NOTHING_TO_RECORD:
            raise
        except Exception:
            if self.nonce is not None:
                await self.nonce.settle()
            raise

    async def record(self, services: Services, work: Callable[[Transaction], T]) -> T:
        """One transaction, the nonce in it."""
        if self.nonce is None:
            return await services.store.transact(work)
        return await self.nonce.record(work)
