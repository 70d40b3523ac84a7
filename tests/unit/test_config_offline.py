"""``on_loss`` of an eligibility: what a file may say, what it means, and what widens."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.config.soundness import verify_sound
from callpoint.domain.configuration import Configuration
from callpoint.domain.offline import OfflineAllowance, OfflineRule
from callpoint.domain.widening import compare
from tests.fakes import orders
from tests.unit.test_config_gateways import file, problems

KEY = "eligibilities.orders-repair"
BARE = 'on_loss = "offline"\n'
WHOLE = (
    BARE + 'offline_for = "2m"\noffline_allowance = { actions = 3, rows = 9, destructive = 1 }\n'
)


def rule(toml: str) -> OfflineRule | None:
    found = orders.read(toml)
    verify_sound(found)
    return found.eligibility("orders-repair").offline


def test_what_is_left_out_is_small():
    """Sessions are cut unless the file says offline; the bounds then are short and take nothing."""
    assert rule(file()) is None
    assert rule(file(more='on_loss = "cut"\n')) is None
    found = rule(file(more=BARE))
    assert found == OfflineRule(timedelta(minutes=5), OfflineAllowance(20, 200, 1 << 20, 0))
    assert rule(file(more=WHOLE)) == OfflineRule(
        timedelta(minutes=2), OfflineAllowance(3, 9, 1 << 20, 1)
    )


@pytest.mark.parametrize(
    "more, key, words",
    [
        ('on_loss = "stay"\n', "on_loss", "is not a choice"),
        (BARE + 'offline_for = "16m"\n', "offline_for", "out of limits"),
        (BARE + 'offline_for = "30s"\n', "offline_for", "out of limits"),
        ('offline_for = "5m"\n', "offline_for", "bounds nothing"),
        ("offline_allowance = { actions = 1 }\n", "offline_allowance", "bounds nothing"),
        (BARE + "offline_allowance = { rows = -1 }\n", "offline_allowance.rows", "out of limits"),
        (BARE + "offline_allowance = { objects = 1 }\n", "offline_allowance.objects", "unknown"),
    ],
)
def test_bad_values_are_told_with_their_key(more: str, key: str, words: str):
    """Each mistake names its key; a bound without what it bounds is one."""
    found = problems(file(more=more))
    assert any(one == f"{KEY}.{key}" and words in message for one, message in found), found


def test_it_needs_a_gateway_and_a_person():
    """Where nothing passes a gateway, and where only machines act, it is refused."""
    found = problems(file(passage="", more=BARE, gateways=""))
    assert any(key == f"{KEY}.on_loss" and "behind no gateway" in text for key, text in found)
    automated = file(more=BARE).replace('mode = "human"', 'mode = "automated"', 1)
    assert automated != file(more=BARE)
    assert any(key == f"{KEY}.on_loss" and "machine" in text for key, text in problems(automated))


def test_going_on_widens_and_so_does_more_of_it():
    """Cutting tightens; longer, and more of anything, needs the governors' quorum."""

    def widens(old: str, new: str) -> list[tuple[str, bool]]:
        before, after = (orders.read(file(more=more)) for more in (old, new))
        return [(change.key, change.widens) for change in _changes(before, after)]

    assert widens("", BARE) == [(f"{KEY}.on_loss", True)]
    assert widens(BARE, "") == [(f"{KEY}.on_loss", False)]
    more = BARE + 'offline_for = "10m"\noffline_allowance = { actions = 19, rows = 201 }\n'
    assert widens(BARE, more) == [
        (f"{KEY}.offline_for", True),
        (f"{KEY}.offline_allowance.actions", False),
        (f"{KEY}.offline_allowance.rows", True),
    ]


def _changes(before: Configuration, after: Configuration):
    return [c for c in compare(before, after, {}, {}) if c.key.startswith(KEY)]


def test_a_configuration_without_it_is_written_as_before():
    """Its digest stays, so what governors signed counts."""
    assert b"on_loss" not in msgspec.json.encode(orders.configuration())
