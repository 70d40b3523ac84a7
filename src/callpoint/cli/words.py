"""Spans, times and strangers' words, as a person at a terminal reads them."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from callpoint.domain.untrusted import printable

_LINE = 4000
_LONGEST_ESCAPE = len("\\U0010ffff")


def shown(line: str) -> str:
    """One line fit for a terminal: it may quote what strangers sent (I14)."""
    return printable(line, _LINE)


def whole(line: str) -> str:
    """Likewise, and nothing is cut off: for who must read all of it, before a signature for one."""
    return printable(line, _LONGEST_ESCAPE * len(line))


def shown_json(document: bytes) -> str:
    """The same document, with what a terminal could obey written as JSON's own escapes.

    JSON escapes the C0 controls alone; C1 controls and what reverses the reading order go through.
    """
    text = document.decode()
    if text.isascii():
        return text
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def span(value: timedelta) -> str:
    """``2 d 3 h``, ``1 h 5 min``, ``4 min 10 s``, ``9 s``: two units, the rest cut off."""
    left = max(0, int(value.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and not count):  # noqa: PLR2004 -- two units
            break
    return " ".join(parts) or "0 s"


def clock_time(at: datetime) -> str:
    """``03:12:45 UTC``; the date only where it matters."""
    return f"{at:%H:%M:%S} UTC"


def moment(at: datetime) -> str:
    """``2026-11-24 03:12:45 UTC``."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def until(at: datetime, now: datetime) -> str:
    """``in 4 min 10 s (03:12:45 UTC)``, or how long ago; with the date on another day."""
    when = clock_time(at) if at.date() == now.date() else moment(at)
    if at >= now:
        return f"in {span(at - now)} ({when})"
    return f"{span(now - at)} ago ({when})"


def listed(items: Iterable[str], nothing: str = "(nobody)") -> str:
    """``ana, bo``, or words for none."""
    return ", ".join(items) or nothing
