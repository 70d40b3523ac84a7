"""The process's own log: JSON lines on standard error, without secrets (I14).

Of an exception outside the tree only its class and the places in the code are written: what a
library puts into its message may quote a connection string.
"""

import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from callpoint.domain.errors import CallpointError
from callpoint.domain.untrusted import printable
from callpoint.ports.clock import Clock

_MAX_TEXT = 2000


def make_logger(clock: Clock, stream: TextIO) -> structlog.typing.FilteringBoundLogger:
    """A logger of one JSON object a line: ``at``, ``level``, ``event``, and facts."""

    def stamp(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 -- structlog's signature
        return {"at": clock.now().isoformat(), **line}

    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _LineLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            stamp,
            _without_messages,
            structlog.processors.JSONRenderer(default=_text),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        context_class=dict,
    )
    return logger


class _LineLogger:
    """Writes lines, and never raises: a full disk under the log must not end a revocation.

    Attributes:
        lost: Lines that could not be written. The stream being dead, there is nowhere to say so.
    """

    def __init__(self, stream: TextIO) -> None:
        self.lost = 0
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.lost += 1

    debug = info = warning = error = critical = exception = msg


def _without_messages(
    _: Any,  # noqa: ANN401 -- structlog's signature
    __: str,
    line: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException):
        line["where"] = _places(error)
    return line


def _places(error: BaseException) -> list[str]:
    """Class and frames of an error and of what caused it; messages only of our own."""
    places: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        words = (
            f": {printable(seen.message, _MAX_TEXT)}" if isinstance(seen, CallpointError) else ""
        )
        places.append(type(seen).__name__ + words)
        frames = traceback.extract_tb(seen.__traceback__)
        places += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        seen = seen.__cause__ or seen.__context__
    return places


def _text(value: object) -> str:
    return printable(str(value), _MAX_TEXT)
