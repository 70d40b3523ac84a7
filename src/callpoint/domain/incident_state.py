"""The states of an incident as decisions see them."""

from enum import StrEnum


class IncidentState(StrEnum):
    """``none`` and ``unknown`` are answers about an incident that we do not hold or cannot see."""

    DECLARED = "declared"
    OPEN = "open"
    RESOLVED = "resolved"
    UNKNOWN = "unknown"
    NONE = "none"
