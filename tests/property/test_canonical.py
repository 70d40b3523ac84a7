"""The canonical form against ``rfc8785``, the independent implementation of RFC 8785."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from callpoint.domain import canonical

LIMIT = 2**53 - 1
texts = st.text()
keys = st.text(st.characters(max_codepoint=127))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-LIMIT, LIMIT) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_bytes_are_those_of_rfc_8785(value):
    """Whatever may stand in an event is encoded as RFC 8785 says, byte for byte."""
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(values)
def test_reading_and_writing_again_changes_nothing(value):
    """There is one spelling: decoding and encoding gives the same bytes."""
    encoded = canonical.encode(value)
    assert canonical.encode(json.loads(encoded)) == encoded


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_the_order_of_texts_is_the_order_of_times(one, other):
    """Times can be compared as they are written."""
    as_text = canonical.wire_time(one) < canonical.wire_time(other)
    assert as_text == (one < other)


@pytest.mark.parametrize(
    "value",
    [1.0, [0.5], 2**53, -(2**53), {"clé": 1}, {1: 2}, b"bytes".decode, object()],
    ids=[
        "float",
        "float within",
        "too large",
        "too small",
        "not ASCII",
        "number as key",
        "function",
        "object",
    ],
)
def test_what_has_two_spellings_is_refused(value):
    """Floats, large integers, foreign keys and unknown things never reach a digest."""
    with pytest.raises((ValueError, TypeError)):
        canonical.encode(value)


def test_a_time_elsewhere_is_refused():
    """Only UTC is written, so that one moment has one spelling."""
    elsewhere = datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(ValueError, match="UTC"):
        canonical.encode(elsewhere)
    with pytest.raises(ValueError, match="UTC"):
        canonical.wire_time(elsewhere.replace(tzinfo=None))


@given(st.timedeltas(), st.timedeltas())
def test_different_spans_have_different_spellings(one, other):
    """Spans are durations in text, never floats."""
    assert (canonical.encode(one) == canonical.encode(other)) == (one == other)
    assert canonical.encode(timedelta(minutes=30)) == b'"PT1800S"'
