"""A tombstone: the proof, on one node, that somebody ordered a kill while the store was down (I13).

It holds the signed request as it was received, so that whoever merges it later judges the
signature again instead of believing the node or whoever could write to its disk.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec

from callpoint.domain.record import Index

SIGNED_FIELDS = ("content-digest", "signature-input", "signature")
MAX_ORDER = 4096
"""Longest body of an order, bytes: it stands in one entry of the log; names are far shorter."""

_ID_LENGTH = 32


class SignedOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed kill request.

    Attributes:
        url: As it was received; only path and query count.
        headers: ``SIGNED_FIELDS``; nothing else is signed, so nothing else is kept.
        body: The exact bytes (base64 in JSON).
        origins: The addresses that the receiver answered for: it was signed for one of them.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    origins: tuple[str, ...]


class Tombstone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order.

    Attributes:
        id: Of the signature, so that one signed order is one tombstone however often it arrives.
        at: When it was accepted, by the node's clock.
        principal: Who signed it, as the node judged then.
        scope: What to kill.
        about: Its name; empty for everything.
    """

    id: str
    at: datetime
    principal: str
    scope: str
    about: str
    order: SignedOrder


class MergedTombstone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The record that a tombstone was merged, or (``refused:`` and its id) that it was refused.

    A second time it does nothing: neither an order nor its refusal is repeated.
    """

    id: str
    at: datetime
    version: int = 0

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index()

    def stored(self, version: int) -> "MergedTombstone":
        return msgspec.structs.replace(self, version=version)


def tombstone_id(headers: Mapping[str, str]) -> str:
    """The id of the tombstone of a signed order; fit for a file's name."""
    return hashlib.sha256(headers["signature"].encode()).hexdigest()[:_ID_LENGTH]


def offline_origin(installation: str) -> str:
    """The address for which an order is signed that goes to no server.

    It names the installation, and no server ever answers there (RFC 2606), so that an order for
    one installation means nothing to another.
    """
    return f"https://{installation}.callpoint.invalid"
