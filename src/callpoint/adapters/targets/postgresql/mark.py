"""The comment that the owner's functions write on every role that they make."""

from datetime import UTC, datetime

_WORDS = 5


def marked_end(mark: str | None) -> datetime | None:
    """The end that stands there; VALID UNTIL is lost by disabling."""
    words = (mark or "").split(" ")
    if len(words) < _WORDS or words[0] != "callpoint" or not words[3].isdecimal():
        return None
    return datetime.fromtimestamp(int(words[3]), tz=UTC)
