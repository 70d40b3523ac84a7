"""Fewer eyes on the log widen access, and nothing about witnesses changes unseen."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.domain.configuration import Configuration
from callpoint.domain.widening import compare, is_widening
from callpoint.domain.witnessing import Witness, WitnessedLog, Witnessing
from tests.fakes import orders
from tests.unit.test_widening import bent, leaves, replaced


def watched(**changes: object) -> Configuration:
    """The usual rules, seen by two witnesses, one of which must have seen what is issued."""
    made = Witnessing(
        quorum=1,
        witnesses={n: Witness(n, f"https://{n}.example", f"{n}+key") for n in ("north", "south")},
        logs={"theirs": WitnessedLog("theirs", "callpoint/theirs", ("a", "b"))},
    )
    return replaced(witnessing=msgspec.structs.replace(made, **changes))


@pytest.mark.parametrize("path", list(leaves(watched().watched, ("witnessing",))), ids=str)
def test_no_field_of_a_witness_is_forgotten(path: tuple[str | int, ...]):
    """Nothing about witnesses changes unseen either."""
    assert compare(watched(), bent(watched(), path), {}, {})


def test_fewer_eyes_on_the_log_widen():
    """A witness that goes, a lower quorum and older cosignatures widen; the other way tightens."""
    two = watched().watched.witnesses
    for weaker in (
        watched(quorum=0),
        watched(within=timedelta(days=1)),
        watched(witnesses={"north": two["north"]}),
        watched(witnesses={**two, "south": Witness("south", "https://other.example", "south+key")}),
        orders.configuration(),
    ):
        assert is_widening(compare(watched(), weaker, {}, {}))
    tighter = watched(quorum=2, within=timedelta(minutes=5), logs={})
    assert not is_widening(compare(watched(), tighter, {}, {}))
    # Nothing counted witnesses before, so a first one lets nobody in.
    first = msgspec.structs.replace(watched().watched, logs={})
    assert not is_widening(compare(orders.configuration(), replaced(witnessing=first), {}, {}))


def test_one_more_witness_makes_a_quorum_easier():
    """Where one of two must have cosigned, a third that the operator runs must be signed for."""
    more = {**watched().watched.witnesses, "own": Witness("own", "http://127.0.0.1", "own+key")}
    assert is_widening(compare(watched(), watched(witnesses=more), {}, {}))
