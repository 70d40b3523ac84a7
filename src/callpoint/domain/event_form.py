"""How an event is written: its name, its data, and what of it is personal.

``type`` is the stable name, the fields are the entry's ``data``, the ``private`` values go into the
entry as salted commitments only and are kept beside it, erasable. Fields are only ever added, with
defaults. The events themselves are in ``event``.
"""

import hashlib
from typing import ClassVar

import msgspec

from callpoint.domain import canonical
from callpoint.domain.canonical import Plain

EVENT_VERSION = 1


class Private(msgspec.Struct, frozen=True):
    """A personal value with its 128-bit salt; only the commitment enters the log."""

    salt: bytes
    value: str

    def commitment(self) -> str:
        """``SHA-256(salt || UTF-8 value)``, hex: what the log holds (docs/audit-log-format.md)."""
        return hashlib.sha256(self.salt + self.value.encode()).hexdigest()


class Event(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=False
):
    """Base of all events.

    Attributes:
        actor: Principal id of who did it; empty when Callpoint itself did (time, recovery).
    """

    CLOSES: ClassVar[bool] = False
    """Whether it is the last event of its stream; the log then states the stream's length."""

    actor: str = ""


def name(event: Event) -> str:
    """The stable name, for instance ``lease:issued``."""
    return str(type(event).__struct_config__.tag)


def data(event: Event) -> dict[str, Plain]:
    """The entry's ``data``: canonical builtins without type and private values."""
    body = canonical.plain(event)
    if not isinstance(body, dict):
        raise TypeError("an event is an object")
    del body["type"]
    body.pop("private", None)
    return body


def private(event: Event) -> dict[str, Private]:
    """Personal values of the event, by field name."""
    values: dict[str, Private] = getattr(event, "private", {})
    return values
