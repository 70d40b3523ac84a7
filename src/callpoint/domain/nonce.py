"""A nonce that was accepted, remembered so that it is never accepted again."""

from datetime import datetime

import msgspec

from callpoint.domain.errors import AuthenticationError
from callpoint.domain.record import Index


class Nonce(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One spent nonce of one key. It is no evidence: a store may forget it after ``due_at``.

    Attributes:
        key_id: The principal whose key signed it.
        nonce: As it was sent; it holds no colon, so that ``key`` is unambiguous.
        due_at: When it may be forgotten, by the store's clock.
    """

    key_id: str
    nonce: str
    due_at: datetime
    version: int = 0

    def key(self) -> str:
        return f"{self.key_id}:{self.nonce}"

    def index(self) -> Index:
        return Index(subject=self.key_id, due_at=self.due_at)

    def stored(self, version: int) -> "Nonce":
        return msgspec.structs.replace(self, version=version)


def spent_before() -> AuthenticationError:
    """For a request that was accepted once."""
    return AuthenticationError(
        "this request was accepted before: its nonce is spent",
        way_out="sign again with a new nonce; a retry is a new request",
    )
