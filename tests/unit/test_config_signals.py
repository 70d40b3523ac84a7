"""``[signals.NAME]``: what a file may say, and that governors decide who is told."""

import tomllib

import msgspec
import pytest

from callpoint.config.document import Document
from callpoint.config.positions import Lines
from callpoint.config.reader import read_configuration
from callpoint.config.soundness import as_document, verify_sound
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import ConfigError, ConfigErrors
from callpoint.domain.signal_stream import EVERY_KIND, Delivery, SignalKind, SignalStream
from callpoint.domain.widening import compare
from tests.fakes import orders

HASH = "a" * 64
SAID = f"""
[signals.siem]
delivery = "push"
audience = "https://siem.example"
url = "https://siem.example/events"
authorization = {{ env = "SIEM_AUTHORIZATION" }}
events = ["session-revoked"]
users = {{ alice = "alice@example.com" }}
[signals.idp]
delivery = "poll"
audience = "https://idp.example"
receiver = "alice"
token_sha256 = "{HASH}"
"""


def read(text: str) -> Configuration:
    """The usual configuration, and this beside it."""
    data = {**as_document(orders.configuration()), **tomllib.loads(text)}
    return read_configuration([Document("callpoint.toml", data, Lines(), without_lines=True)])


def test_whole_tables_are_read_and_are_sound():
    """What a file says arrives, and survives being checked as a bundle."""
    found = read(SAID)
    assert found.streams["siem"] == SignalStream(
        "siem",
        Delivery.PUSH,
        "https://siem.example",
        url="https://siem.example/events",
        authorization_env="SIEM_AUTHORIZATION",
        events=(SignalKind.SESSION_REVOKED,),
        users={"alice": "alice@example.com"},
    )
    assert found.streams["idp"].events == EVERY_KIND
    verify_sound(found)


@pytest.mark.parametrize(
    "old, new, says",
    [
        ('url = "https://siem.example/events"\n', "", "signals.siem.url: is missing"),
        ("https://siem.example/events", "http://siem.example/events", "has another form"),
        ("https://siem.example/events", "https://u:p@siem.example/", "has another form"),
        ("https://siem.example/events", "http://localhost.example/", "has another form"),
        ("https://siem.example/events", "https://", "has another form"),
        ('{ env = "SIEM_AUTHORIZATION" }', '"Bearer hunter2"', "a secret is written out here"),
        ('delivery = "push"', 'delivery = "fax"', "'fax' is not a choice"),
        ('delivery = "push"', 'delivery = "poll"', "goes with push"),
        ('receiver = "alice"\ntoken_sha256', "#", "nobody could fetch it"),
        ('receiver = "alice"', 'receiver = "nobody"', "no principal is called 'nobody'"),
        ("{ alice =", "{ nobody =", "no principal is called 'nobody'"),
        ("alice@example.com", "alice@exa mple", "has another form"),
        ('["session-revoked"]', "[]", "is empty"),
        ('["session-revoked"]', '["risk-level-change"]', "is not a choice"),
        ('audience = "https://idp.example"', "", "signals.idp.audience: is missing"),
    ],
)
def test_what_a_table_may_not_say(old, new, says):
    """Each with its key and the way out; a secret that was written out is not repeated."""
    assert old in SAID
    with pytest.raises(ConfigErrors) as error:
        read(SAID.replace(old, new))
    assert says in str(error.value)
    assert "hunter2" not in str(error.value)


def test_no_streams_leave_no_trace():
    """Bundles of before keep their digest, and an empty table says nothing."""
    assert b"signals" not in msgspec.json.encode(read(""))
    assert read("[signals]") == read("")


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://siem.example/events"},
        {"events": ()},
        {"token_sha256": "x"},
        {"receiver": "nobody"},
        {"id": "other"},
        {"authorization_env": "lower"},
    ],
)
def test_a_bundle_cannot_say_what_no_file_can(change):
    """A stream that did not come from a file obeys the rules of one."""
    found = read(SAID)
    other = msgspec.structs.replace(found.streams["siem"], **change)
    with pytest.raises(ConfigError):
        verify_sound(msgspec.structs.replace(found, signals={"siem": other}))


def test_every_change_needs_the_governors():
    """Who is told more, elsewhere or no longer: no one decides alone; no person's address shows."""
    old, new = read(SAID), read(SAID.replace("siem.example/events", "evil.example/events"))
    (moved,) = compare(old, new, {}, {})
    assert (moved.key, moved.widens) == ("signals.siem.url", True)
    gone, added = compare(read(""), old, {}, {}), compare(old, read(""), {}, {})
    assert [c.widens for c in (*gone, *added)] == [True] * 4
    other = read(SAID.replace("alice@example.com", "jane@example.com"))
    (user,) = compare(old, other, {}, {})
    assert (user.key, user.text) == ("signals.siem.users", "another address: alice")
    assert moved.text == "https://siem.example/events -> https://evil.example/events"
