"""Values of entries as a person reads them; whatever strangers wrote becomes one harmless line."""

import re
from datetime import datetime, timedelta

from callpoint.audit.entry import parse_time

MAX_TEXT = 2000
"""Longest text that a story shows of one value; the machine part has all of it."""

_SPAN = re.compile(
    r"P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12})(?:\.\d+)?S)?)?"
)
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """One line of visible characters.

    What could end a line, move a cursor, hide, or turn the reading order (control and format
    characters, line separators, surrogates) is shown as an escape.
    """
    head = text[:limit]
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in head)
    left = len(text) - len(head)
    return f"{shown} [… {left} more characters in the machine part]" if left else shown


def moment(at: str) -> str:
    """``2026-11-24 03:12:45 UTC`` of an entry's time; what is no time is shown as it stands."""
    try:
        return f"{parse_time(at):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return clean(at)


def seconds(span: timedelta) -> str:
    """``2 d 3 h``, ``4 min 10 s``, ``0.4 s``: two units; below a minute a tenth counts."""
    total = span.total_seconds()
    if total < 0:
        return f"-{seconds(-span)}"
    if total < 10:  # noqa: PLR2004 -- a fraction is only of interest for a short time
        return f"{total:.1f} s"
    left, parts = int(total), []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and not count):  # noqa: PLR2004 -- two units
            break
    return " ".join(parts)


def duration(text: str) -> str:
    """An ISO 8601 duration of days and below in words; anything else as it stands."""
    found = _SPAN.fullmatch(text)
    if found is None or not any(found.groups()):
        return clean(text)
    days, hours, minutes, secs = (int(part or 0) for part in found.groups())
    try:
        return seconds(timedelta(days=days, hours=hours, minutes=minutes, seconds=secs))
    except OverflowError:
        return clean(text)


def between(first: datetime | None, second: datetime | None) -> str:
    """How long it was from one moment to another; empty when either is missing."""
    if first is None or second is None:
        return ""
    return seconds(second - first)


def plain(value: object) -> str:
    """Any value of an entry's data as one line, empty for nothing."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return clean(value)
        case int():
            return str(value)
        case list():
            return clean(", ".join(map(plain, value)))
        case dict():
            return clean("; ".join(f"{name} {plain(item)}" for name, item in value.items()))
        case _:
            return clean(str(value))
