"""Notices as JSON lines, by default on standard error: what is always there."""

import sys
from typing import TextIO

import structlog

from callpoint.domain.untrusted import printable
from callpoint.ports.clock import Clock
from callpoint.ports.notifiers import Notice

MAX_TEXT = 1000
"""Longest text of a notice in a log line, in characters."""

MAX_NAMES = 100
"""Most persons in one line; the rest is counted."""


class LogNotifier:
    """Implements ``ports.notifiers.Notifier``: one JSON object per line, ASCII only.

    Members: ``at`` (RFC 3339, UTC), ``level`` (``warning`` when urgent, else ``info``), ``event``
    (the notice's kind), ``about``, ``to``, ``text``, and ``to_left_out`` when there are too many
    persons to list.

    Args:
        clock: For ``at``.
        stream: Where lines go; standard error when None.

    Attributes:
        lost: How many notices could not be written. The stream being dead, there is nowhere else
            to say so.
    """

    def __init__(self, clock: Clock, stream: TextIO | None = None) -> None:
        self.lost = 0
        self._clock = clock
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(stream or sys.stderr),
            processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
        )

    async def notify(self, notice: Notice) -> None:
        """See the port."""
        line: dict[str, object] = {
            "at": self._clock.now().isoformat(),
            "about": printable(notice.about),
            "to": [printable(person) for person in notice.to[:MAX_NAMES]],
            "text": printable(notice.text, MAX_TEXT),
        }
        if len(notice.to) > MAX_NAMES:
            line["to_left_out"] = len(notice.to) - MAX_NAMES
        write = self._logger.warning if notice.urgent else self._logger.info
        try:
            write(printable(notice.kind), **line)
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.lost += 1
