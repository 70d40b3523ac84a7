"""Notices as log lines: one line each, whatever they say."""

import io
import json
from typing import Any

from callpoint.adapters.notifiers.log import LogNotifier
from callpoint.ports.notifiers import Notice
from tests.fakes.clock import SimulatedClock

ASKED = Notice("activation:requested", "act-7", ("bo", "cy"), "Ana asks for orders-db:repair.")


async def written(*notices: Notice) -> list[dict[str, Any]]:
    stream = io.StringIO()
    notifier = LogNotifier(SimulatedClock(), stream)
    for notice in notices:
        await notifier.notify(notice)
    text = stream.getvalue()
    assert text.isascii()
    assert text.count("\n") == len(notices)
    return [json.loads(line) for line in text.splitlines()]


async def test_a_notice_is_one_json_line():
    """Everything that a notice says is in its line, with the clock's time."""
    assert await written(ASKED) == [
        {
            "at": "2026-03-01T03:00:00+00:00",
            "level": "info",
            "event": "activation:requested",
            "about": "act-7",
            "to": ["bo", "cy"],
            "text": "Ana asks for orders-db:repair.",
        }
    ]


async def test_an_urgent_notice_is_a_warning():
    """The level tells urgent notices from the others."""
    (line,) = await written(Notice("lease:stuck", "l", (), "x", urgent=True))
    assert line["level"] == "warning"


async def test_untrusted_words_cannot_forge_a_line():
    """Line ends, escapes and direction marks stay inside their line, escaped and cut."""
    evil = '\n{"event":"forged"}\x1b[2J\u202e\u2028'
    (line,) = await written(Notice(evil, evil, (evil,), evil + "x" * 5000))
    assert line["event"] == line["about"] == line["to"][0]
    assert line["event"].isprintable()
    assert line["text"].startswith('\\n{"event":"forged"}\\x1b[2J')
    assert len(line["text"]) == 1000


async def test_a_crowd_is_counted():
    """After a hundred persons the rest is a number."""
    (line,) = await written(Notice("k", "a", tuple(f"p{n}" for n in range(150)), "t"))
    assert len(line["to"]) == 100
    assert line["to_left_out"] == 50


async def test_a_dead_stream_stops_nobody():
    """When the stream is closed or full, the notice is counted as lost and nothing is raised."""

    class FullDisk(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    closed = io.StringIO()
    closed.close()
    for stream in (FullDisk(), closed):
        notifier = LogNotifier(SimulatedClock(), stream)
        await notifier.notify(ASKED)
        await notifier.notify(ASKED)
        assert notifier.lost == 2
