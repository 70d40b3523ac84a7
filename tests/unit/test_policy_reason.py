"""Sentences for people: lists, spans and placeholders."""

import re
from datetime import timedelta

import pytest

from callpoint.config.default_policies import default_pack
from callpoint.domain.decision import Action
from callpoint.policy import reason
from tests.fakes.policy_world import activation_of, asked, small_world

WORLD = small_world()


@pytest.mark.parametrize(
    "values, expected",
    [
        ((), "nothing"),
        (("a",), "a"),
        (("a", "b"), "a and b"),
        (("a", "b", "c"), "a, b and c"),
        (tuple("abcdefgh"), "a, b, c, d, e, f and 2 more"),
    ],
)
def test_lists_read_as_a_person_writes_them(values, expected) -> None:
    """Few names are all said, many are cut."""
    assert reason.listed(values) == expected


@pytest.mark.parametrize(
    "seconds, expected",
    [(0, "0 s"), (0.5, "0 s"), (59, "59 s"), (3600, "1 h"), (5401, "1 h 30 min 1 s")],
)
def test_spans_are_in_the_largest_units(seconds, expected) -> None:
    """Hours, minutes and seconds, without those that are zero."""
    assert reason.span(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize("word", sorted(reason.PLACEHOLDERS))
def test_every_placeholder_has_words_for_every_request(word) -> None:
    """A reason never fails and never shows a brace, with or without incident and activation."""
    full = asked(WORLD, "ann", Action.ACTIVATION_REQUEST, activation=activation_of(WORLD, "ann"))
    bare = asked(WORLD, "ann", Action.LOG_READ, opening=None, incident=None)
    for request in (full, bare):
        assert reason.words(f"{{{word}}}", request).strip()
        assert "{" not in reason.words(f"{{{word}}}", request)


@pytest.mark.parametrize("policy", ["incident-must-be-open", "incident-must-be-confirmed"])
def test_a_refusal_names_the_command_that_helps(policy) -> None:
    """An incident on one person's word: the refusal holds the line that the other one runs."""
    (template,) = re.findall(
        rf'@id\("{policy}"\)\n@reason\("(.*)"\)', "".join(default_pack().values())
    )
    asking = asked(WORLD, "ann", Action.ACTIVATION_REQUEST, activation=activation_of(WORLD, "ann"))
    assert asking.incident is not None
    line = f"another person can: `callpoint incident confirm {asking.incident.ref}`"
    assert line in reason.words(template, asking)
