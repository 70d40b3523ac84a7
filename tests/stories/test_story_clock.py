"""The server's clock had jumped ahead, and is right again."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta

from callpoint.audit.entry import format_time, parse_time
from tests.stories.town import Town

AHEAD = timedelta(minutes=5)  # less than what approvals and credentials are given for


def test_a_clock_that_was_ahead_is_accepted(town: Town):
    """Nothing is issued behind the mark, taking away works, and an accepted clock issues again."""
    town.build()
    accept = ("clock", "accept", "--home", town.home, "--reason", "ntp-2 was ahead", "--as", "gina")
    with town.serving():
        town.incident()
        living = town.active()
        asked = town.asked("bob")
        town("carol", "approve", asked, "--yes")
        town("dave", "approve", asked, "--yes")
    assert "nothing to accept" in town("gina", *accept, code=4)
    _move_the_mark(town)
    resume = ("request", "--resume", asked, "--wait")
    with town.serving():
        refused = town("bob", *resume, code=6)
        assert "jumped back" in refused
        assert "callpoint clock accept" in refused
        assert len(town.accounts()) == 1
        assert "another Callpoint has" in town("gina", *accept, code=6)
        town("alice", "return", living, "--used")
        assert town.accounts() == []
    told = town.json("gina", *accept)
    assert set(told) == {"ahead", "accepted"}
    behind = parse_time(_utc(told["ahead"])) - parse_time(_utc(told["accepted"]))
    assert timedelta(minutes=3) < behind <= AHEAD
    again = town.run("gina", *accept, "-o", "json")
    assert (again.returncode, json.loads(again.stderr)["error"]["kind"]) == (4, "conflict")
    with town.serving():
        town("bob", *resume)
        town.session(asked, "bob").close()
        assert "verify: ok" in town.verify_log("log")
        town("bob", "kill", "everything", "--yes")


def _move_the_mark(town: Town) -> None:
    """What a server leaves that ran while the clock was ahead."""
    with closing(sqlite3.connect(town.home / "callpoint.sqlite3")) as database, database:
        ((mark,),) = database.execute("SELECT high_water FROM head").fetchall()
        ahead = format_time(parse_time(mark) + AHEAD)
        database.execute("UPDATE head SET high_water = ?", (ahead,))


def _utc(text: str) -> str:
    return text.replace("+00:00", "Z")
