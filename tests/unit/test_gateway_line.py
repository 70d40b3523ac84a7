"""Calls on a gateway's line: each is proven by its MAC and counts once."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpoint.api.gateway_lines import GatewayCall, GatewayLines
from callpoint.domain.address import is_confidential
from callpoint.domain.errors import AuthenticationError, DeniedError
from callpoint.domain.gateway_line import LIFETIME, WINDOW, Seen, credentials
from tests.fakes.authority_site import GATEWAY, PRINCIPAL, guarded
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.world import configuration

RULES = guarded(configuration())
BODY = b'{"sessions":[]}'


class Door:
    """Lines under a configuration that a test changes."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.rules = RULES
        self.lines = GatewayLines(lambda: self.rules, self.clock, SeededRandom(1))

    def open(self, who: str = PRINCIPAL, gateway: str = GATEWAY):
        return self.lines.open(RULES.principals[who], gateway, "age1")

    def accepted(self, sent: str) -> GatewayCall:
        """A call of the usual kind."""
        call = self.lines.recognise(sent, GATEWAY, "standing", BODY)
        self.lines.accept(call)
        return call


@given(st.lists(st.integers(1, 3 * WINDOW) | st.integers(1, 40), max_size=60))
def test_a_number_counts_once(numbers):
    """A number is spent once, and what the window no longer knows is refused, not believed."""
    seen = Seen()
    spent: set[int] = set()
    for number in numbers:
        is_known = number > max(spent, default=0) - WINDOW
        assert seen.spend(number) is (is_known and number not in spent)
        spent.add(number)


def test_a_number_far_behind_costs_nothing():
    """From the highest number that can be sent, the lowest one is refused without a bit for it."""
    seen = Seen()
    assert seen.spend(10**16 - 1)
    assert not seen.spend(1)
    assert seen.spend(10**16 - WINDOW)


def test_a_call_counts_once_and_as_it_was_sent():
    """The same call again, another body, call or gateway is refused; the next one counts."""
    door = Door()
    line = door.open()
    sent = credentials(line.key, line.name, 1, "standing", BODY)
    for gateway, call, body in (
        (GATEWAY, "standing", BODY + b" "),
        (GATEWAY, "decide", BODY),
        ("inside", "standing", BODY),
    ):
        with pytest.raises(AuthenticationError):
            door.lines.recognise(sent, gateway, call, body)
    with pytest.raises(AuthenticationError, match="MAC"):
        door.lines.recognise(sent.replace(".1.", ".2."), GATEWAY, "standing", BODY)
    assert door.accepted(sent) == GatewayCall(line, 1, "standing")
    with pytest.raises(AuthenticationError, match="accepted before"):
        door.accepted(sent)
    again = credentials(line.key, line.name, 2, "standing", BODY)
    assert door.accepted(again) == GatewayCall(line, 2, "standing")


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Bearer x",
        "Callpoint-Line",
        "Callpoint-Line a.1.b",
        "Callpoint-Line ..",
        "\x00",
        "é" * 99,
    ],
)
def test_what_is_no_call_is_refused(field):
    """Other schemes, and what only looks like a call, are refused without a word about lines."""
    with pytest.raises(AuthenticationError, match="no call on a gateway's line"):
        Door().lines.recognise(field, GATEWAY, "standing", BODY)


def test_a_line_is_for_the_configured_principal():
    """Nobody else opens one: not a person, not the principal for another gateway or for none."""
    door = Door()
    for who, gateway in ((PRINCIPAL, "inside"), ("alice", GATEWAY), (PRINCIPAL, "nowhere")):
        with pytest.raises(DeniedError, match="is not the principal of"):
            door.open(who, gateway)


def test_a_line_ends_with_its_gateway_and_its_key():
    """A gateway, or a key, that the governors took out of the configuration is refused at once."""
    door = Door()
    line = door.open()
    other = msgspec.structs.replace(RULES.principals[PRINCIPAL], key=RULES.principals["bob"].key)
    for rules in (
        msgspec.structs.replace(RULES, gateways={}),
        msgspec.structs.replace(RULES, principals={**RULES.principals, PRINCIPAL: other}),
    ):
        door.rules = rules
        with pytest.raises(DeniedError):
            door.accepted(credentials(line.key, line.name, 1, "standing", BODY))


def test_lines_grow_old_and_are_few():
    """A line is over after its time, and a gateway that opens many loses its oldest."""
    door = Door()
    first = door.open()
    call = credentials(first.key, first.name, 1, "cuts", b"")
    door.clock.advance(LIFETIME - timedelta(seconds=1))
    last = [door.open() for _ in range(64)][-1]
    with pytest.raises(AuthenticationError, match="knows no such line"):
        door.lines.recognise(call, GATEWAY, "cuts", b"")
    call = credentials(last.key, last.name, 1, "cuts", b"")
    door.clock.advance(LIFETIME)
    with pytest.raises(AuthenticationError, match="knows no such line"):
        door.lines.recognise(call, GATEWAY, "cuts", b"")


@pytest.mark.parametrize(
    "address, is_safe",
    [
        ("https://callpoint.example", True),
        ("http://127.0.0.1:8750", True),
        ("http://localhost:8750/x", True),
        ("http://[::1]:8750", True),
        ("http://callpoint.example", False),
        ("http://192.0.2.7", False),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost@192.0.2.7", False),
        ("ftp://127.0.0.1", False),
        ("http://[::1", False),
        ("https://", False),
        ("", False),
    ],
)
def test_what_can_be_read_on_the_way(address, is_safe):
    """Only HTTPS and this machine itself are safe; what looks like it is not."""
    assert is_confidential(address) is is_safe
