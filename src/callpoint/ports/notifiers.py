"""Telling people. A notification never carries a secret and never decides anything."""

from typing import Protocol

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """Something that people should know.

    Attributes:
        kind: The event's stable name, for instance ``activation:requested``.
        about: Activation, incident or target id.
        to: Person ids that are asked or told; empty for everybody who watches.
        text: One sentence.
        urgent: It should wake somebody.
    """

    kind: str
    about: str
    to: tuple[str, ...]
    text: str
    urgent: bool = False


class Notifier(Protocol):
    """Delivers notices, at best effort: a failure is logged by the adapter and never raised."""

    async def notify(self, notice: Notice) -> None:
        """Deliver or queue it; returns quickly."""
        ...
