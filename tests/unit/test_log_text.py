"""`callpoint log status` in words: what holds, what is missing, and the next command."""

from datetime import UTC, datetime, timedelta

import msgspec

from callpoint.api.log_messages import AskedView, LogView, WitnessView
from callpoint.cli.log_text import asked_lines, status_lines

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NORTH = WitnessView(
    "north", "https://north.example/w", 40, NOW - timedelta(seconds=9), True, "", ""
)
GOOD = LogView(
    origin="callpoint/4f2c1a",
    size=41,
    root=bytes(32),
    logged_at=NOW - timedelta(minutes=2),
    now=NOW,
    works=True,
    waiting=0,
    kept=41,
    published=40,
    cosigned_by=("north",),
    quorum=1,
    within=900,
    witnesses=(NORTH,),
    witness_key="callpoint/4f2c1a/witness+00000000+AA",
    logs={"callpoint/other": 7},
)


def told(**changes: object) -> str:
    """The words."""
    return "\n".join(status_lines(msgspec.structs.replace(GOOD, **changes)))


def test_a_log_that_is_as_it_should_be_asks_for_nothing():
    """Size, age, who has seen it, what it sees of others; no line begins with `!`."""
    text = told()
    assert "log callpoint/4f2c1a: 41 entries, the newest 2m ago" in text
    assert "outsiders are shown 40 entries, cosigned by north" in text
    assert "witnesses: 1 of 1 needed have seen it within 15m" in text
    assert "north: saw 40 entries 9s ago" in text
    assert "callpoint/other: 7 entries cosigned" in text
    assert "!" not in text


def test_each_thing_that_is_missing_has_its_next_command():
    """What is wrong is said with what to do about it, and nothing else is."""
    silent = msgspec.structs.replace(NORTH, counts=False, answer="silent", detail="no answer")
    liar = msgspec.structs.replace(NORTH, answer="contradicted", detail="it has seen 50 entries")
    for changes, words in (
        ({"works": False}, "nothing is issued: `callpoint status`"),
        ({"kept": None}, "no checkpoint is kept outside the database"),
        ({"kept": 40}, "the kept checkpoint is of 40 entries, not 41"),
        ({"witnesses": (), "quorum": 0}, "nobody witnesses this log"),
        ({"witnesses": (silent,)}, "`callpoint log witness`"),
        ({"witnesses": (liar,)}, "north CONTRADICTS this log"),
    ):
        (line,) = [line for line in told(**changes).splitlines() if line.startswith("!")]
        assert words in line
    assert "2 events without a number" in told(waiting=2)
    assert "(too long ago); silent: no answer (https://north.example/w)" in told(
        witnesses=(silent,)
    )
    never = msgspec.structs.replace(NORTH, seen_at=None, size=0, counts=False)
    assert "north: has seen nothing" in told(witnesses=(never,))


def test_what_witnesses_answered_is_listed():
    """One line each; without any, where to begin."""
    assert list(
        asked_lines(AskedView(41, {"north": "cosigned", "south": "silent: no answer"}))
    ) == [
        "the checkpoint of 41 entries was sent",
        "  north: cosigned",
        "  south: silent: no answer",
    ]
    assert "no witness is configured" in next(asked_lines(AskedView(0, {})))
