"""What an incident source says, in our words."""

from datetime import datetime
from typing import Protocol

import msgspec

from callpoint.domain.configuration import IncidentSource
from callpoint.domain.eligibility import Severity


class Report(msgspec.Struct, frozen=True):
    """One incident in one delivery of a source.

    Attributes:
        id: Stable over deliveries of the same incident: ``<source>-<fingerprint>``.
        firing: False when the source says that it is over.
        targets: Configured targets that it names; may be empty.
        title: For people; untrusted, already cut to 200 printable characters.
    """

    id: str
    firing: bool
    severity: Severity
    targets: tuple[str, ...]
    started_at: datetime
    title: str = ""


class IncidentFeed(Protocol):
    """Reads the deliveries of one kind of source."""

    @property
    def kind(self) -> str:
        """For instance ``alertmanager``."""
        ...

    def parse(self, source: IncidentSource, body: bytes) -> tuple[Report, ...]:
        """Untrusted bytes to reports.

        Raises:
            RequestError: Not a delivery of this kind; nothing of it was used.
        """
        ...
