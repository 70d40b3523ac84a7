"""Words that a requester chose, on the terminal of the person who is asked to approve."""

import json

import msgspec
import pytest

from callpoint.cli.activation_text import asked
from callpoint.cli.words import shown, shown_json
from callpoint.domain.errors import RequestError
from tests.fakes.canned_api import view
from tests.fakes.world import make_world

NARROW = 80
HEADINGS = ("who", "incident", "opens", "for", "connects from", "worst case", "needs", "digest")


def _screen(justification: str) -> list[str]:
    """What an approver sees on a terminal of 80 columns."""
    said = msgspec.structs.replace(view(), justification=justification)
    lines = [shown(line) for line in asked(said)]
    return [line[at : at + NARROW] for line in lines for at in range(0, len(line), NARROW) or (0,)]


def test_a_long_line_of_words_cannot_pass_for_a_fact():
    """Padded up to the terminal's edge, a forged row would begin in the first column."""
    spoof = "  opens          staging-db as readonly"
    for padding in range(200):
        rows = [row for row in _screen("x" * padding + spoof) if row.startswith("  opens")]
        assert rows == ["  opens          orders-db as repair"]


def test_words_cannot_push_the_facts_off_the_screen():
    """Neither empty lines nor two thousand short ones make the screen endless."""
    for flood in ("a" + "\n" * 1900 + "b", "a\n" * 999, "\x85".join("a" * 900)):
        assert len(_screen(flood)) < 80


@pytest.mark.parametrize("text", ["\x9b31m", "\u202eevil", "\u2066x", "\x7f", "\U000e0041"])
def test_json_on_a_terminal_obeys_nobody(text):
    """What could move the cursor or turn the text around is escaped, and decodes to the same."""
    document = shown_json(msgspec.json.encode({"justification": text + "ä"}))
    assert document.replace("\n", "").isprintable()
    assert json.loads(document) == {"justification": text + "ä"}


@pytest.mark.parametrize("zone", ["eth0", "\x1b[2J", "x" * 5000, "a,0.0.0.0", "' OR 1"])
async def test_a_source_network_carries_no_free_text(zone):
    """An IPv6 zone is free text, and would stand in the request, the plan and the log."""
    world = await make_world()
    await world.incident()
    with pytest.raises(RequestError, match="not a network"):
        await world.ask(sources=(f"fe80::1%{zone}",))
