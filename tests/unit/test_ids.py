"""Identifiers: their forms, limits and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpoint.domain.errors import RequestError
from callpoint.domain.ids import (
    ACTIVATION_LENGTH,
    HANDLE_LIMIT,
    LEASES_PER_ACTIVATION,
    activation_of,
    activation_stream,
    handle,
    incident_stream,
    is_installation,
    parse_activation,
    parse_name,
    target_stream,
)

ACTIVATION = "a23456789012"


def test_handles_are_unique_short_and_safe_as_an_account_name():
    """Each n of an activation has its own handle, within what a target must take."""
    made = [handle("tstinc", ACTIVATION, n) for n in range(LEASES_PER_ACTIVATION)]
    assert len(set(made)) == LEASES_PER_ACTIVATION
    assert made == sorted(made)
    assert all(re.fullmatch(r"[a-z0-9]{20}", one) for one in made)
    assert len(made[0]) <= HANDLE_LIMIT
    assert {activation_of(one) for one in made} == {ACTIVATION}


@pytest.mark.parametrize("n", [-1, LEASES_PER_ACTIVATION])
def test_a_handle_beyond_the_last_is_refused(n):
    """There is no silent wrap to somebody else's handle."""
    with pytest.raises(RequestError, match="at most"):
        handle("tstinc", ACTIVATION, n)


@pytest.mark.parametrize("text", ["a", "orders-db", "a.b_c-d", "0", "x" * 64])
def test_a_name_is_taken_as_it_is(text):
    """Lower case, digits and three marks, up to 64."""
    assert parse_name(text, "target") == text


@pytest.mark.parametrize("text", ["", "A", "-a", "a-", "a b", "a\n", "é", "x" * 65, "a:b", "a/b"])
def test_anything_else_is_no_name_and_says_what_it_should_have_been(text):
    """The refusal names the kind of name, and shows what was typed, cut."""
    with pytest.raises(RequestError, match=r"target .* is not a name"):
        parse_name(text, "target")


@given(st.text())
def test_an_activation_id_has_one_form(text):
    """A letter and eleven letters or digits, and nothing else, is an activation's id."""
    if re.fullmatch(r"[a-z][a-z0-9]{11}", text) and text.isascii():
        assert parse_activation(text) == text
    else:
        with pytest.raises(RequestError, match="not an activation id"):
            parse_activation(text)
    assert len(ACTIVATION) == ACTIVATION_LENGTH
    assert parse_activation(ACTIVATION) == ACTIVATION


@pytest.mark.parametrize("text, yes", [("tstinc", True), ("1stinc", False), ("tst", False)])
def test_an_installation_id_has_one_form(text, yes):
    """A letter and five letters or digits."""
    assert is_installation(text) is yes


def test_streams_say_what_they_are_about():
    """Evidence about one thing is kept under one name."""
    assert activation_stream(ACTIVATION) == f"activation:{ACTIVATION}"
    assert incident_stream("inc-7") == "incident:inc-7"
    assert target_stream("orders-db") == "target:orders-db"
