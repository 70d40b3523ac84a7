"""Spans as people write them: ``30m``, ``24h``, ``90d``, ``1h30m``."""

import re
from datetime import timedelta

_SPAN = re.compile(
    r"(?:([0-9]{1,5})d)?(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,5})s)?", re.ASCII
)
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def parse_span(text: str) -> timedelta:
    """Read days, hours, minutes and seconds, in that order, each at most once.

    Raises:
        ValueError: Another form, or nothing.
    """
    found = _SPAN.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text[:40]!r} is not a span")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def format_span(span: timedelta) -> str:
    """The shortest text that ``parse_span`` reads as the same span.

    A span that has no such text (negative, or not of whole seconds) is written as Python does,
    so that two different spans never look the same.
    """
    if span < timedelta(0) or span.microseconds:
        return str(span)
    left, words = span // timedelta(seconds=1), ""
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        words += f"{count}{unit}" if count else ""
    return words or "0s"
