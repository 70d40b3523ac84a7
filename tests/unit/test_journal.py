"""The process's own log: one JSON object a line, no foreign message, never an exception."""

import io
import json

from callpoint.bootstrap.journal import make_logger
from callpoint.domain.errors import StoreUnavailableError
from tests.fakes.clock import SimulatedClock


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_and_facts():
    """What is told is there, whatever its type."""
    stream = io.StringIO()
    make_logger(SimulatedClock(), stream).warning("targets_differ", unknown=("a",), what={1}, n=3)
    ((line),) = lines(stream)
    assert line["at"] == "2026-03-01T03:00:00+00:00"
    assert (line["level"], line["event"], line["n"]) == ("warning", "targets_differ", 3)


def test_a_librarys_message_is_not_written():
    """Of a foreign exception its class and places are told, of ours the message as well (I14)."""
    stream = io.StringIO()
    logger = make_logger(SimulatedClock(), stream)
    try:
        try:
            raise ConnectionError("postgresql://broker:hunter2@db")  # noqa: TRY301 -- a cause
        except ConnectionError as cause:
            raise StoreUnavailableError("the store does not answer") from cause
    except StoreUnavailableError as error:
        logger.critical("pass_crashed", exc_info=error)
    ((line),) = lines(stream)
    where = str(line["where"])
    assert "StoreUnavailableError: the store does not answer" in where
    assert "ConnectionError" in where
    assert "test_journal.py" in where
    assert "hunter2" not in stream.getvalue()


def test_a_dead_stream_ends_nothing():
    """Where nothing can be written, nothing is raised."""
    stream = io.StringIO()
    stream.close()
    make_logger(SimulatedClock(), stream).error("pass_failed")
